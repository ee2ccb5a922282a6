"""Bars that the program has of tqdm: they make room for what workers say, as ours do.

tqdm has a way to be asked for that, ``external_write_mode``. Its lock is taken where nothing but
the interpreter's own streams is written to. It is not around handlers of the program: one that
writes by ``tqdm.write`` takes its own lock first and tqdm's then, which would be the other way
round; a bar that is drawn by another thread in that very moment may share its line then.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from io import TextIOWrapper
from typing import Any


def cleared(*, handlers: bool) -> AbstractContextManager[Any]:
    """No bar of tqdm's is on the terminal meanwhile.

    Args:
        handlers: functions of the program are called, and not streams alone.
    """
    module = sys.modules.get("tqdm.std")
    kind = getattr(module, "tqdm", None)
    if not getattr(kind, "_instances", ()):
        return nullcontext()
    theirs = handlers or not all(type(each) is TextIOWrapper for each in (sys.stdout, sys.stderr))
    mode: AbstractContextManager[Any] = kind.external_write_mode(sys.stderr, nolock=theirs)  # type: ignore[union-attr]  # it has instances
    return mode
