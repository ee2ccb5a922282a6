"""Every way to give items to a pool, for what has to hold in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from onecopy.pool import PoolView

Call = Callable[[PoolView, Callable[[int], Any], range], Iterable[Any]]
"""Gives items to a function in one of the pool's ways; the results in order."""

CALLS: dict[str, Call] = {
    "apply": lambda view, f, items: [view.apply(f, (i,)) for i in items],
    "submit": lambda view, f, items: [
        future.result() for future in [view.submit(f, i) for i in items]
    ],
    "apply_async": lambda view, f, items: [
        result.get() for result in [view.apply_async(f, (i,)) for i in items]
    ],
    "map": lambda view, f, items: view.map(f, items),
    "map_async": lambda view, f, items: view.map_async(f, items).get(),
    "starmap": lambda view, f, items: view.starmap(f, [(i,) for i in items]),
    "imap": lambda view, f, items: view.imap(f, items),
    "imap_unordered": lambda view, f, items: sorted(view.imap_unordered(f, items)),
    "map_blocks": lambda view, f, items: view.map_blocks(
        lambda block: f(int(block[0])), np.arange(len(items)), block=1
    ),
}
