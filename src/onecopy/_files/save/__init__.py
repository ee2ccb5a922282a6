"""Writes files piece by piece, for ``onecopy convert``: tables in ``tables``, arrays in ``arrays``.
A file appears whole under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..._system.atomic_file import appearing as appearing
from ...errors import BadFile, OnecopyError
from ..load.interface import Retyped, in_a_line


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
