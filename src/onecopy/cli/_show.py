"""Results as text, as JSON and as files.

Text is shortened for people. JSON is whole and strict: what it has no number for is
written as protocol buffers do, ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; arrays become
lists, times ISO 8601, everything else its ``str``.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import IO, Any

from .._system.atomic_file import appearing
from ..errors import human_bytes, printable
from ._errors import FAILED, CommandError, reason

# So many results of blocks are shown, half from the front and half from the end.
_SHOWN = 6
FORMATS = (".npy", ".json")


def text(value: Any, whole: bool = False) -> str:
    """A result for people: arrays shortened by NumPy, lists of results here; or whole, for
    other programs. What a terminal would obey is escaped."""
    if whole:
        return _whole(value)
    if not isinstance(value, list):
        return printable(str(value), kept="\n\t")
    shown = [_inline(each) for each in value]
    if len(shown) > _SHOWN + 1:
        shown[_SHOWN // 2 : -_SHOWN // 2] = ["..."]
    return f"[{', '.join(shown)}]  ({count(len(value), 'block')})"


def _whole(value: Any) -> str:
    """All of a result, a line for each block."""
    import numpy as np

    values = value if isinstance(value, list) else [value]
    with np.printoptions(threshold=sys.maxsize, linewidth=sys.maxsize):
        return "\n".join(str(each) for each in values)


def _inline(value: Any) -> str:
    shape = getattr(value, "shape", ())
    if shape:
        return f"<{type(value).__name__} {getattr(value, 'dtype', '')} {shape}>"
    line = printable(" ".join(str(value).split()))
    return line if len(line) <= 40 else line[:37] + "..."


def count(number: int, what: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    several = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else several}"


def size(number: int) -> str:
    """Bytes as the library writes them everywhere, such as ``4.58 GB``."""
    return human_bytes(number)


def to_json(value: Any) -> Any:
    """``value`` in the types that JSON has."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in ("M", "m"):
        return value.astype(str).tolist()
    if kind:
        return to_json(value.tolist())
    return str(value)


def dump(value: Any, indent: int | None = None) -> str:
    """One JSON text, strict: no ``NaN`` that other languages' readers refuse."""
    return json.dumps(to_json(value), allow_nan=False, indent=indent)


def check_out(out: str, source: str) -> None:
    """Refuses a file that could not be written, before any work is done.

    Raises:
        CommandError: an unknown format, no such directory, or the file that is read.
    """
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"--out {out!r}: the format is not known; it is {' or '.join(FORMATS)}")
    check_place("--out", out)
    if path.exists() and os.path.exists(source) and path.samefile(source):
        raise CommandError(f"--out {out!r} is the file that is read")


def check_place(option: str, target: str) -> None:
    """Refuses what no file can be written as: a directory, or a name in one that is not there or
    that is read-only.

    Args:
        option: how it was given.

    Raises:
        CommandError: says which it is.
    """
    folder = Path(target).parent
    if Path(target).is_dir():
        raise CommandError(f"{option} {target!r} is a directory")
    if not folder.is_dir():
        raise CommandError(f"{option} {target!r}: there is no directory {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{option} {target!r}: the directory {str(folder)!r} is read-only")


def save(out: str, value: Any) -> None:
    """Writes a result: ``.npy`` as one array, ``.json`` as ``--json`` prints it.

    Results of blocks are stacked when they have one shape, and joined along the first axis
    when they differ in its length alone. The file appears whole or not at all.

    Raises:
        CommandError: the result is no array of that kind, or the disk is full.
    """
    path = Path(out)
    array = _array(value, out) if path.suffix.lower() == ".npy" else None
    try:
        with appearing(path) as written, open(written, "wb") as file:
            _write(file, array, value)
    except OSError as error:
        raise CommandError(f"{out!r} cannot be written: {reason(error)}", FAILED) from error


def _write(file: IO[bytes], array: Any, value: Any) -> None:
    if array is None:
        file.write(dump(value).encode() + b"\n")
    else:
        import numpy as np

        np.save(file, array, allow_pickle=False)
    file.flush()


def _array(value: Any, out: str) -> Any:
    """The result as one array without Python objects."""
    import numpy as np

    try:
        if isinstance(value, list) and value:
            parts = [np.asarray(each) for each in value]
            same = len({part.shape for part in parts}) == 1
            array = np.stack(parts) if same else np.concatenate(parts)
        else:
            array = np.asarray(value)
    except ValueError as error:  # NumPy says which shapes do not go together
        raise CommandError(
            f"{out!r}: the results do not make one array ({error}); use .json"
        ) from error
    if array.dtype.hasobject:
        raise CommandError(
            f"{out!r}: a {type(value).__name__} of this kind does not fit into .npy; use .json"
        )
    return array
