"""The program's own tqdm bars: they make room for workers' output, as ours do.

tqdm has ``external_write_mode`` for that. Its lock is held only while the interpreter's own streams
are written. It is not held around handlers of the program: one that uses ``tqdm.write`` takes its
own lock first and then tqdm's, which would be the opposite order. So a bar that another thread
draws at that very moment may share the handler's line.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from io import TextIOWrapper
from typing import Any


def cleared(*, handlers: bool) -> AbstractContextManager[Any]:
    """Keep tqdm's bars off the terminal meanwhile.

    Args:
        handlers: functions of the program are called, not only streams.
    """
    module = sys.modules.get("tqdm.std")
    kind = getattr(module, "tqdm", None)
    if not getattr(kind, "_instances", ()):
        return nullcontext()
    theirs = handlers or not all(type(each) is TextIOWrapper for each in (sys.stdout, sys.stderr))
    mode: AbstractContextManager[Any] = kind.external_write_mode(sys.stderr, nolock=theirs)  # type: ignore[union-attr]  # it has instances
    return mode
