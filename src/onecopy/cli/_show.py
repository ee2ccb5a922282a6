"""Results as text and as files. Text is shortened for people; ``_as_json`` has the JSON."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from itertools import count as numbers
from pathlib import Path
from typing import IO, Any

from .._system.atomic_file import appearing
from ..errors import human_bytes, kind_of, printable
from ._errors import FAILED, CommandError, reason

# The number of results of blocks that are shown, half from the front and half from the end.
_SHOWN = 6
FORMATS = (".npy", ".json", ".pkl")
FORMATS_TEXT = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def text(value: Any, whole: bool = False) -> str:
    """Return a result for people: arrays shortened by NumPy, lists of results here; or the whole,
    for other programs. Control characters are escaped."""
    if whole:
        return _whole(value)
    if not isinstance(value, list):
        return printable(str(value), kept="\n\t")
    shown = [_inline(each) for each in value]
    if len(shown) > _SHOWN + 1:
        shown[_SHOWN // 2 : -_SHOWN // 2] = ["..."]
    return f"[{', '.join(shown)}]  ({count(len(value), 'block')})"


def _whole(value: Any) -> str:
    """Return all of a result, a line for each block."""
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
    """Return ``1 task``, ``2,000 tasks``."""
    several = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else several}"


def size(number: int) -> str:
    """Return bytes as the library writes them everywhere, such as ``4.58 GB``."""
    return human_bytes(number)


def check_out(out: str, source: str) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        CommandError: an unknown format, no such directory, or the file that is read.
    """
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"--out {out!r}: the format is not known; it is {FORMATS_TEXT}")
    check_place("--out", out)
    if path.exists() and os.path.exists(source) and path.samefile(source):
        raise CommandError(f"--out {out!r} is the file that is read")


def check_place(option: str, target: str) -> None:
    """Refuse a name that no file can have: a directory, or a name in one that does not exist or is
    read-only.

    Args:
        option: the option that gave it.

    Raises:
        CommandError: says which of these it is.
    """
    folder = Path(target).parent
    if Path(target).is_dir():
        raise CommandError(f"{option} {target!r} is a directory")
    if not folder.is_dir():
        raise CommandError(f"{option} {target!r}: there is no directory {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{option} {target!r}: the directory {str(folder)!r} is read-only")


def save(out: str, value: Any) -> None:
    """Write a result: ``.npy`` as one array, ``.json`` as ``--json`` prints it, ``.pkl`` pickled.

    Results of blocks are stacked in ``.npy`` if they have one shape, and joined along the first
    axis if they differ only in its length. The file appears complete or not at all.

    Raises:
        CommandError: the format cannot hold the result, or the disk is full.
    """
    path = Path(out)
    kind = path.suffix.lower()
    made = _array(value, out) if kind == ".npy" else _text(value, out) if kind == ".json" else value
    try:
        with appearing(path) as written, open(written, "wb") as file:
            _WRITERS[kind](file, made)
            file.flush()
    except OSError as error:
        raise CommandError(f"{out!r} cannot be written: {reason(error)}", FAILED) from error


def save_beside(out: str, value: Any) -> str | None:
    """Save a result, whatever it is, if ``out`` cannot hold it.

    Returns:
        The new file, ``out`` and ``.pkl``, or with a number if there is one; None: that failed too.
    """
    names = (f"{out}{number or ''}.pkl" for number in numbers())
    name = next(each for each in names if not os.path.exists(each))
    try:
        save(name, value)
    except CommandError:
        return None
    return name


def _write_array(file: IO[bytes], array: Any) -> None:
    import numpy as np

    np.save(file, array, allow_pickle=False)


def _write_pickle(file: IO[bytes], value: Any) -> None:
    try:
        pickle.dump(value, file, pickle.HIGHEST_PROTOCOL)
    except OSError:
        raise
    except Exception as error:  # whatever the methods of its objects raise
        raise CommandError(f"the result cannot be pickled: {reason(error)}", FAILED) from error


_WRITERS: dict[str, Callable[[IO[bytes], Any], Any]] = {
    ".npy": _write_array,
    ".json": lambda file, text: file.write(text.encode()),
    ".pkl": _write_pickle,
}


def _text(value: Any, out: str) -> str:
    """Return the result as JSON's text."""
    from ._as_json import NotJson, dump

    try:
        return dump(value) + "\n"
    except NotJson as error:
        raise CommandError(
            f"{out!r}: the result holds {error}; use .pkl, or return what JSON has", FAILED
        ) from error


def _array(value: Any, out: str) -> Any:
    """Return the result as one array without Python objects."""
    import numpy as np

    try:
        if isinstance(value, list) and value:
            parts = [np.asarray(each) for each in value]
            same = len({part.shape for part in parts}) == 1
            array = np.stack(parts) if same else np.concatenate(parts)
        else:
            array = np.asarray(value)
    except ValueError as error:  # NumPy says which shapes do not match
        raise CommandError(
            f"{out!r}: the results do not make one array ({error}); use .json or .pkl", FAILED
        ) from error
    if array.dtype.hasobject:
        raise CommandError(
            f"{out!r}: {kind_of(value)} of this kind does not fit into .npy; use .json or .pkl",
            FAILED,
        )
    return array
