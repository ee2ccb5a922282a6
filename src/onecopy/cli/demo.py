"""``onecopy demo``: one job done in three ways, and a table of the cost of each.

The job is the sum of a column of records in a file. Each way (see ``_demo_ways``) runs in a fresh
interpreter, one after another, and its memory is read from here: the sum of PSS over all its
processes, at the peak. Nothing is left behind, however it ends, except after a SIGKILL of this
process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from .._system.cpus import cpu_count
from .._system.memory import available
from . import _show
from ._ending import ended_by_signals
from ._errors import FAILED, CommandError

RECORD_BYTES = 24
# Way and start method; if there is only one worker, the first of each way is used.
VARIANTS = (
    ("pickled", "spawn"),
    ("pickled", "fork"),
    ("SharedMemory", "spawn"),
    ("SharedMemory", "fork"),
    ("onecopy", "forkserver"),
)
# The greediest way, measured: pickled slices take 2.8 times the data at their peak (1.34 GB
# with two workers). The interpreters come on top.
_TIMES_DATA, _PER_WORKER = 3.0, 60_000_000
# A tenth of one core reads the memory. That slows each way down by a little, and all alike,
# and finds a peak that lasts a tenth of a second.
_BUDGET = 0.1


@dataclass(frozen=True)
class Figures:
    """The cost of one way; sizes in bytes, None if memory cannot be read."""

    way: str
    method: str
    seconds: float
    peak_pss: int | None
    through_pipes: int
    equal: bool


def command(
    records: Annotated[
        int, typer.Option(min=1, metavar="N", help="Records, of 24 bytes each.")
    ] = 20_000_000,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Default: one per CPU that it may use.")
    ] = None,
    dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Directory of the temporary file.")
    ] = None,
) -> Callable[[], int]:
    """Run one job pickled, with SharedMemory and with onecopy, and compare.

    Adds up a column of 20 million records (480 MB) in a temporary file.
    """
    folder = tempfile.gettempdir() if dir is None else dir
    if not os.path.isdir(folder):
        raise CommandError(f"--dir {folder!r} is no directory")
    return partial(execute, records, max(2, cpu_count()) if workers is None else workers, folder)


def execute(records: int, workers: int, folder: str) -> int:
    """Create the file, run every way, print the table; return the exit status."""
    check(records, workers, folder)
    size = records * RECORD_BYTES
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="onecopy-demo-", dir=folder) as at:
        file = str(Path(at, "records.npy"))
        with _saying(f"making {records:,} records, {_show.size(size)}"):
            from .._lab._records import write

            expected = write(file, records)
        figures = []
        for way, method in VARIANTS:
            with _saying(f"{way} ({method})"):
                figures.append(measure(way, method, workers, file, expected))
    print_table(
        figures, f"{records:,} records, {_show.size(size)}, {_show.count(workers, 'worker')}"
    )
    return 0 if all(each.equal for each in figures) else FAILED


def check(records: int, workers: int, folder: str) -> None:
    """Check that there is room for it.

    Raises:
        CommandError: there is too little disk or memory; says by how much, and what would fit.
    """
    size = records * RECORD_BYTES
    free = shutil.disk_usage(folder).free
    if size > free:
        _refuse("disk in " + folder, size, free, free // RECORD_BYTES)
    own = (workers + 2) * _PER_WORKER
    need, left = int(size * _TIMES_DATA) + own, available()
    if need > left:
        _refuse("memory", need, left, int((left - own) / _TIMES_DATA) // RECORD_BYTES)


def _refuse(what: str, need: int, left: int, fits: int) -> None:
    line = f"the demo needs {_show.size(need)} of {what}, and {_show.size(left)} is free"
    # Not to the last byte: other programs use it too.
    advice = f"; try --records {fits * 9 // 10}" if fits > 0 else ""
    raise CommandError(line + advice, FAILED)


def measure(way: str, method: str, workers: int, file: str, expected: float) -> Figures:
    """Run one way and read its memory meanwhile.

    Raises:
        CommandError: it failed; says which one, and why.
    """
    from .._observe.sampler import Sampler

    segment = f"onecopy-demo-{os.getpid()}-{next(_numbers)}"
    arguments = [way, method, str(workers), file, segment]
    with (
        tempfile.TemporaryFile() as errors,
        _child(arguments, errors) as child,
        Sampler(child.pid, budget=_BUDGET) as sampler,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        first = child.stdout.readline()
        sampler.sample()  # its workers wait with it
        with suppress(BrokenPipeError):  # it failed: its output has ended too
            child.stdin.write(b"\n")
            child.stdin.close()
        second = child.stdout.readline()
        if child.wait() or not second:
            errors.seek(0)
            last = (errors.read().decode(errors="replace").strip().splitlines() or ["?"])[-1]
            raise CommandError(f"the way {way} ({method}) failed: {last}", FAILED)
    said: dict[str, Any] = json.loads(first) | json.loads(second)
    return Figures(
        way,
        method,
        said["seconds"],
        sampler.peak.pss if sampler.peak else None,
        said["through_pipes"],
        said["result"] == expected,
    )


_numbers = count(1)
# Not by -m, which would put the current directory before the standard library.
_CODE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from onecopy.cli._demo_ways import main; main(*sys.argv[2:])"
)
_HOME = str(Path(__file__).resolve().parents[2])


@contextmanager
def _child(arguments: list[str], errors: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Yield an interpreter in its own process group, all of which has ended afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _CODE, _HOME, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )
    with child:
        try:
            yield child
        except BaseException:
            # SIGTERM and not SIGKILL: the resource tracker, which ignores it, then removes the
            # shared memory that the others leave behind.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            raise


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """Show on a terminal what is going on; print nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} ..."):
        yield


def print_table(figures: list[Figures], title: str) -> None:
    """Print the table and the sentence below it, as wide as the terminal, or 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("way")
    table.add_column("workers by")
    for heading in ("time", "peak PSS", "through pipes"):
        table.add_column(heading, justify="right")
    table.add_column("sum")
    for each in figures:
        table.add_row(
            each.way,
            each.method,
            f"{each.seconds:.2f} s",
            "not known" if each.peak_pss is None else _show.size(each.peak_pss),
            _show.size(each.through_pipes),
            "right" if each.equal else "WRONG",
            style="bold" if each.way == "onecopy" else None,
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(sentence(figures))


def sentence(figures: list[Figures]) -> str:
    """Return the findings in one sentence, computed from the figures."""
    ours = next(each for each in figures if each.way == "onecopy")
    seen = []
    for way in dict.fromkeys(each.way for each in figures if each is not ours):
        theirs = [each for each in figures if each.way == way]
        part = f"{_range([each.seconds / ours.seconds for each in theirs])} times the time"
        peaks = [each.peak_pss for each in theirs if each.peak_pss is not None]
        if peaks and ours.peak_pss:
            part += f" and {_range([peak / ours.peak_pss for peak in peaks])} times the memory"
        seen.append(f"{way} took {part} of onecopy")
    wrong = [each for each in figures if not each.equal]
    sums = "all sums are equal" if not wrong else f"{len(wrong)} of {len(figures)} sums are wrong"
    return f"{'; '.join([*seen, sums])}."


def _range(ratios: list[float]) -> str:
    low, high = (f"{ratio:.1f}" for ratio in (min(ratios), max(ratios)))
    return low if low == high else f"{low} to {high}"
