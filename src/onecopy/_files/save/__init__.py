"""Files written piece by piece, for ``onecopy convert``: tables in ``tables``, arrays in
``arrays``. A file appears whole under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..._system.atomic_file import appearing as appearing
from ...errors import BadFile, OnecopyError
from ..load.interface import Retyped, in_a_line


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
