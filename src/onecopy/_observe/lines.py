"""The line of the program from which a pool was called.

The nearest frame whose code belongs to the program: neither to this library, nor to the
standard library, nor to installed packages (joblib calls a pool for the program, as
scikit-learn calls joblib). Where there is none, in a thread that a library has started, the
line is not known. What a file is, is remembered.
"""

from __future__ import annotations

import sysconfig
from types import FrameType

Line = tuple[str, int]
"""A file's name and a line's number; NOWHERE when that is not known."""
NOWHERE: Line = ("", 0)

# Files by name: does the program own it? A program has few.
_programs: dict[str, bool] = {}
_MOST = 100_000
_OURS = __file__[: -len("_observe/lines.py")]
# A program may call from deep below: it is not searched for without end.
_DEEP = 60


def line_of_caller(frame: FrameType | None) -> Line:
    """The line of the program that has called, from this frame on outwards."""
    for _ in range(_DEEP):
        if frame is None:
            break
        if is_programs(frame):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return NOWHERE


def is_programs(frame: FrameType) -> bool:
    """Is it the program's own code that runs there?"""
    return is_programs_file(frame.f_code.co_filename)


def is_programs_file(name: str) -> bool:
    """Is this file the program's own?"""
    owned = _programs.get(name)
    return _look(name) if owned is None else owned


def _look(name: str) -> bool:
    owned = not name.startswith((_OURS, *_libraries())) and not name.startswith("<frozen")
    if len(_programs) < _MOST:
        _programs[name] = owned
    return owned


def _libraries() -> tuple[str, ...]:
    """Folders of what is installed."""
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(f"{sysconfig.get_path(kind)}/" for kind in kinds)
