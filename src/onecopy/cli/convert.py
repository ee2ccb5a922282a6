"""``onecopy convert``: files of one format into a file of another, never whole in memory.

It parses, calls ``_files.convert``, and shows the progress. ``_files.convert`` describes the
conversions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BadFile, MissingLibrary, NotEnoughMemory
from . import _source
from ._errors import FAILED, CommandError, reason, unread
from ._messages import in_options, say
from ._reading import reads_files

if TYPE_CHECKING:
    from .._progress.bar import Progress


@dataclass(frozen=True)
class Request:
    """The request on the command line."""

    files: list[str]
    out: str
    options: dict[str, Any]
    source: str | None
    target: str | None
    progress: bool


@reads_files
def command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="IN... OUT", help="Files or patterns of one format; the target."),
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="IN's format, if its name does not say."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMAT", help="OUT's format, if its name does not say."),
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Default: only on a terminal.")
    ] = None,
    *,
    reading: dict[str, Any],
) -> Callable[[], int]:
    """Write files of one format as a file of another, piece by piece.

    onecopy convert 'part-*.csv' all.parquet --dtype id=int64

    Formats: npy, npz, hdf5, zarr; arrow, parquet, csv, ndjson.
    """
    if len(files) < 2:
        raise CommandError("convert takes what is read and, last, what is written")
    *read, out = files
    if "-" in files:
        raise CommandError("'-': files are converted, and no standard stream; ./- is a file")
    options = dict(reading)
    if len(read) == 1:
        path, member = _source.split(read[0])
        if member is not None:
            read, options["columns"] = [path], [member]
    folder = Path() if "://" in out else Path(out).parent
    if not folder.is_dir():
        raise CommandError(f"{out!r}: there is no directory {str(folder)!r}")
    if "://" not in out and not os.access(folder, os.W_OK):
        raise CommandError(f"{out!r}: the directory {str(folder)!r} is read-only")
    shown = sys.stderr.isatty() if progress is None else progress
    return partial(execute, Request(read, out, options, source, target, shown))


def execute(request: Request) -> int:
    """Convert the files; return the exit status."""
    from .._files import load
    from .._files.convert import convert
    from ..data import metered

    began: list[Progress] = []

    def begin(rows: int | None) -> Callable[[int], None]:
        if not request.progress:
            return _uncounted
        from .._progress.bar import Progress

        if began:
            began[0].again(rows)
        else:
            began.append(Progress(rows, f"to {Path(request.out).name}", "rows"))
            began[0].start()
        return began[0].advance

    try:
        wanted = load.asked(**request.options)
        names = load.files(request.files, wanted, request.source)
        what = f"to {Path(request.out).name}"
        with metered(wanted, request.progress and what) as watched:
            convert(names, request.out, watched, begin, request.source, request.target)
    except NotEnoughMemory as error:
        raise CommandError(str(error), FAILED) from error
    except (BadFile, MissingLibrary, TypeError, ValueError) as error:
        raise CommandError(in_options(str(error))) from error
    except FileNotFoundError as error:
        raise CommandError(unread(request.files[0], error)) from error
    except OSError as error:
        raise CommandError(_failure(error, request.out), FAILED) from error
    finally:
        for each in began:
            each.finish()
    say(wanted.notes)
    return 0


def _failure(error: OSError, out: str) -> str:
    """Return what happened to which file; the draft of the target is called by the target's name."""
    draft = f".{Path(out).name}-"
    name = error.filename
    if name is None or any(part.startswith(draft) for part in Path(os.fsdecode(name)).parts):
        name = out
    return f"{name!r}: {reason(error)}"


def _uncounted(rows: int) -> None:
    """Count nothing: there is no display."""
