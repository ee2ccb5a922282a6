"""Bars that the program has of tqdm: they make room for what workers say, as ours do.

tqdm has a way to be asked for that, ``external_write_mode``. Its lock is not taken: what is
called meanwhile are handlers of the program, and one that writes by ``tqdm.write`` takes its own
lock first and tqdm's then, which would be the other way round.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def cleared() -> AbstractContextManager[Any]:
    """No bar of tqdm's is on the terminal meanwhile."""
    module = sys.modules.get("tqdm.std")
    kind = getattr(module, "tqdm", None)
    if not getattr(kind, "_instances", ()):
        return nullcontext()
    mode: AbstractContextManager[Any] = kind.external_write_mode(sys.stderr, nolock=True)  # type: ignore[union-attr]  # it has instances
    return mode
