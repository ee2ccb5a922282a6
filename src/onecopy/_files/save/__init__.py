"""Writes files piece by piece, for ``onecopy convert``: tables in ``tables``, arrays in ``arrays``.
A file appears whole under its name, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ..._system import atomic_file
from ..._system.interrupts import raised_by_handler
from ...errors import BadFile, OnecopyError
from ..load import places
from ..load.interface import Retyped, in_a_line


@contextmanager
def appearing(out: str) -> Iterator[str]:
    """Yield a name to write to; what is written there becomes ``out`` at the end of the block.

    A file for a URL is written in the temporary folder first: most formats are not written from the
    first byte to the last, and a server shows an object when all of it has come.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    if not places.is_remote(out):
        with atomic_file.appearing(out) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="onecopy-") as folder:
        path = os.path.join(folder, out.rstrip("/").rpartition("/")[2])
        yield path
        places.put(path, out)


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
        if error.filename is not None or raised_by_handler(error):
            raise  # of a file that is being read, perhaps; or TimeoutError
        raise OSError(error.errno or 0, error.strerror or in_a_line(error), out) from error
    except MemoryError:
        raise
    except Exception as error:
        if raised_by_handler(error):
            raise
        raise BadFile(f"{out!r} cannot hold this: {in_a_line(error)}") from error
