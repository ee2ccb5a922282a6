"""Files written piece by piece, for ``onecopy convert``: tables in ``tables``, arrays in
``arrays``. A file appears whole under its name, or not at all."""

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
    """A name beside ``out`` to write to; what is there at the end becomes ``out``.

    Args:
        out: replaced when it is a file; a directory is not.

    Raises OSError when that cannot be; whatever was written is removed then, and when the
    block raises.
    """
    path = Path(out)
    if path.is_dir():
        raise FileExistsError(17, "there is a directory of this name", out)
    # The whole of the name at the end: writers go by it.
    made = tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
    written = os.path.join(made, path.name)
    try:
        yield written
        os.replace(written, out)
    finally:
        shutil.rmtree(made)


@contextmanager
def writing(out: str) -> Iterator[None]:
    """Whatever a format's library raises because of what it is given becomes BadFile, in one
    line; what the system says (no room, no right) stays an OSError, with the file's name. What
    is read at the same time has errors of its own (``load.face.reading``)."""
    try:
        yield
    except (OnecopyError, Retyped):
        raise
    except OSError as error:
        if error.filename is not None:
            raise  # of a file that is read, maybe
        raise OSError(error.errno or 0, error.strerror or in_a_line(error), out) from error
    except MemoryError:
        raise
    except Exception as error:
        raise BadFile(f"{out!r} cannot hold this: {in_a_line(error)}") from error
