"""A file that appears whole under its name, or not at all.

A device or a pipe (``/dev/stdout``, ``/dev/null``, a FIFO) is no file that can be replaced: it gets the
bytes when all are there. Of a symbolic link, the file that it leads to is replaced.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(out: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a name to write to; the file of that name becomes ``out`` at the end of the block.

    It is in a directory of its own beside ``out``, so that it can take its place, and has the
    same name there, since writers go by suffixes. Its rights are those of any new file.

    Args:
        out: replaced when it is a file; a directory is not. See the module for others.

    Raises:
        OSError: when that cannot be. Whatever was written is removed then, and when the block
            raises.
    """
    if os.path.isdir(out):
        raise FileExistsError(17, "there is a directory of this name", os.fspath(out))
    name = Path(out).name
    path = None if _is_stream(out) else Path(os.path.realpath(out))
    folder = None if path is None else path.parent
    try:
        made = tempfile.mkdtemp(prefix=f".{name}-", dir=folder)
    except OSError as error:  # it names the temporary directory
        raise OSError(error.errno, error.strerror, os.fspath(out)) from None
    written = os.path.join(made, name)
    try:
        yield written
        if path is not None:
            os.replace(written, path)
        else:
            with open(written, "rb") as whole, open(out, "wb") as stream:
                shutil.copyfileobj(whole, stream)
    finally:
        shutil.rmtree(made)


def _is_stream(out: str | os.PathLike[str]) -> bool:
    """Return True for a device, a pipe or a socket, also behind a symbolic link."""
    try:
        return not stat.S_ISREG(os.stat(out).st_mode)
    except OSError:
        return False  # there is none yet; another error comes again when it is written
