"""The line of the program from which a pool was called.

It is the nearest frame whose code belongs to the program: neither to this library, nor to the
standard library, nor to installed packages (joblib calls a pool for the program, as scikit-learn
calls joblib). If there is none, in a thread that a library has started, the line is unknown. The
answer for each file is cached.
"""

from __future__ import annotations

from types import FrameType

from .._codec.homes import is_user_file

Line = tuple[str, int]
"""A file's name and a line's number; NOWHERE when that is not known."""
NOWHERE: Line = ("", 0)

# By file name: True if it belongs to the program. A program has few files.
_programs: dict[str, bool] = {}
_MOST = 100_000
# A program may call from deep below: the search stops after this many frames.
_DEEP = 60


def line_of_caller(frame: FrameType | None) -> Line:
    """Return the line of the program that has called, searching from this frame outwards."""
    for _ in range(_DEEP):
        if frame is None:
            break
        if is_programs(frame):
            return frame.f_code.co_filename, frame.f_lineno or 0  # an instruction may have none
        frame = frame.f_back
    return NOWHERE


def is_programs(frame: FrameType) -> bool:
    """Return True if the frame runs the program's own code."""
    return is_programs_file(frame.f_code.co_filename)


def is_programs_file(name: str) -> bool:
    """Return True if the file is the program's own."""
    owned = _programs.get(name)
    return _look(name) if owned is None else owned


def _look(name: str) -> bool:
    owned = is_user_file(name) and not name.startswith("<frozen")
    if len(_programs) < _MOST:
        _programs[name] = owned
    return owned
