"""The best cut-off for the codec: inline against an arena block, by payload size.

Run as ``python -m bench.cutoff``. For each size an array goes to a worker as an argument,
and comes from one as a result, once with the codec's ``CUTOFF`` far above the size (the
bytes go through the socket) and once just below it (they go through an arena block). Both
are taken in turn; a ratio above 1 means that the block is faster. The worker reads the
argument, and the owner the result, one element per page.

``CUTOFF`` is set in the owner and, by an initializer, in the worker. The figure to take is
the least size from which the block stays faster, both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from rich import box
from rich.table import Table

import onecopy as oc
from onecopy._codec import codec

from . import table
from .face import per_call
from .figures.argument import read
from .ratios import spread

# From 4 KiB on; a frame takes no more than 1 MiB, so that inline ends below that.
SIZES = [1024 << power for power in range(2, 10)]
ROUNDS = 11
SECONDS = 0.02

_kept: dict[int, np.ndarray] = {}


def set_cutoff(value: int) -> None:
    """Initializer of the worker."""
    codec.CUTOFF = value


def give(size: int) -> np.ndarray:
    """The task that sends a result; the array is made once."""
    if size not in _kept:
        _kept[size] = np.zeros(size // 8)
    return _kept[size]


def _sampler(stack: ExitStack, size: int, cutoff: int, *, result: bool) -> Callable[[int], float]:
    pool = stack.enter_context(oc.Pool(1, set_cutoff, (cutoff,)))
    array = np.zeros(size // 8)

    def call() -> float:
        return read(pool.apply(give, (size,))) if result else pool.apply(read, (array,))

    def sample(times: int) -> float:
        set_cutoff(cutoff)
        return per_call(call, times, before=2)

    return sample


def measure(size: int, *, result: bool) -> tuple[float, float, float]:
    """(seconds inline, seconds by block, median of inline / block)."""
    before = codec.CUTOFF
    try:
        with ExitStack() as stack:
            inline = _sampler(stack, size, 1 << 40, result=result)
            block = _sampler(stack, size, size - 1, result=result)
            times = max(5, int(SECONDS / max(inline(20), block(20))))
            pairs = [(inline(times), block(times)) for _ in range(ROUNDS)]
    finally:
        set_cutoff(before)
    inlines, blocks = zip(*pairs, strict=True)
    ratio = spread([one / other for one, other in pairs]).median
    return spread(inlines).median, spread(blocks).median, ratio


def main() -> None:
    console = table.console()
    console.print(f"codec.CUTOFF is {codec.CUTOFF >> 10} KiB; × is inline / block")
    shown = Table(box=box.SIMPLE, width=table.WIDTH)
    for title in ("KiB", "argument inline", "block", "×", "result inline", "block", "×"):
        shown.add_column(title, justify="right")
    for size in SIZES:
        cells = []
        for result in (False, True):
            inline, block, ratio = measure(size, result=result)
            cells += [table.number(inline, "s"), table.number(block, "s"), f"{ratio:.2f}"]
        shown.add_row(str(size >> 10), *cells)
    console.print(shown)


if __name__ == "__main__":
    main()
