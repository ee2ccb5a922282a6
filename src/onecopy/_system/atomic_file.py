"""A file that appears whole under its name, or not at all."""

from __future__ import annotations

import os
import shutil
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
        out: replaced when it is a file; a directory is not.

    Raises:
        OSError: when that cannot be. Whatever was written is removed then, and when the block
            raises.
    """
    path = Path(out)
    if path.is_dir():
        raise FileExistsError(17, "there is a directory of this name", os.fspath(out))
    try:
        made = tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:  # it names the temporary directory
        raise OSError(error.errno, error.strerror, os.fspath(out)) from None
    written = os.path.join(made, path.name)
    try:
        yield written
        os.replace(written, path)
    finally:
        shutil.rmtree(made)
