"""Writes files piece by piece, for ``onecopy convert``: tables in ``tables``, arrays in ``arrays``.
A file appears whole under its name, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import BadFile, OnecopyError
from ..load.interface import Retyped, in_a_line


@contextmanager
def appearing(out: str) -> Iterator[str]:
    """Yield a name beside ``out`` to write to; the file there becomes ``out`` at the end.

    Args:
        out: replaced if it is a file; a directory is not.

    Raises OSError if that is impossible. What was written is removed then, and also if the block
    raises.
    """
    path = Path(out)
    if path.is_dir():
        raise FileExistsError(17, "there is a directory of this name", out)
    # The whole name at the end: writers choose by its suffix.
    made = tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
    written = os.path.join(made, path.name)
    try:
        yield written
        os.replace(written, out)
    finally:
        shutil.rmtree(made)


@contextmanager
def writing(out: str) -> Iterator[None]:
    """Turn the errors of a format's library about its data into BadFile, in one line.

    Errors of the system (no room, no permission) stay OSErrors with the file's name. Errors of
    reading in the same block are handled before (``load.interface.reading``).
    """
    try:
        yield
    except (OnecopyError, Retyped):
        raise
    except OSError as error:
        if error.filename is not None:
            raise  # of a file that is being read, perhaps
        raise OSError(error.errno or 0, error.strerror or in_a_line(error), out) from error
    except MemoryError:
        raise
    except Exception as error:
        raise BadFile(f"{out!r} cannot hold this: {in_a_line(error)}") from error
