"""Pickles: read only if the caller allows the file to run code, then shared.

Unpickling runs the file's code with this process's rights. So this module is used only with
``allow_pickle=True``, and no other format unpickles at all.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

from ..._objects.sharing import share
from ...errors import BadFile
from . import places
from .interface import Wanted, reading


def load(names: Sequence[str], wanted: Wanted) -> Any:
    """Return the object in the file, shared as by ``share``."""
    name = names[0]
    if not wanted.allow_pickle:
        raise BadFile(
            f"{name!r} is a pickle, and loading one can run any code: where you trust who wrote "
            "it, say allow_pickle=True"
        )
    if len(names) > 1:
        raise BadFile(f"{name!r} and {names[1]!r}: pickles do not make one dataset")
    if wanted.columns is not None or wanted.dtype is not None or not wanted.all_rows:
        raise BadFile(f"{name!r} is a pickle: columns=, rows= and dtype= are for tables and arrays")
    with reading(name, "pickle"), places.open(name) as file:
        buffered: Any = file if places.is_remote(name) else io.BufferedReader(file)
        loaded = pickle.load(buffered)
    return share(loaded)
