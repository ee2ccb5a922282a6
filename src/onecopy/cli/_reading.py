"""The options of every command that reads files: the dialect and the types of text.

They are the same for each such command. ``reads_files`` adds them to its own options, and passes
the command one dict of them. Their names are those of ``onecopy.load``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from ._errors import CommandError

_TEXT = "How CSV is read (NDJSON: --encoding, --parse-dates, --bad-rows)"


def _option(*names: str, metavar: str | None, help: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=_TEXT)


_CHARACTER = "C"
OPTIONS: dict[str, Any] = {
    "sep": Annotated[
        str | None, _option("--sep", metavar=_CHARACTER, help="The separator. Default: detected.")
    ],
    "header": Annotated[
        bool | None,
        _option(
            "--header/--no-header", metavar=None, help="Line 1 has names or not. Default: detected."
        ),
    ],
    "names": Annotated[
        str | None, _option("--names", metavar="A,B", help="The names of all columns.")
    ],
    "quote": Annotated[
        str | None,
        _option("--quote", metavar=_CHARACTER, help="The quotes around values; '' for none."),
    ],
    "escape": Annotated[
        str | None, _option("--escape", metavar=_CHARACTER, help="The escape character.")
    ],
    "decimal": Annotated[
        str | None, _option("--decimal", metavar=_CHARACTER, help="The decimal point.")
    ],
    "thousands": Annotated[
        str | None, _option("--thousands", metavar=_CHARACTER, help="The thousands separator.")
    ],
    "na_values": Annotated[
        list[str] | None,
        _option("--na-values", metavar="TEXT", help="Also means no value; may be repeated."),
    ],
    "encoding": Annotated[
        str | None, _option("--encoding", metavar="NAME", help="The encoding. Default: detected.")
    ],
    "parse_dates": Annotated[
        list[str] | None,
        _option(
            "--parse-dates",
            metavar="NAME[=FORMAT]",
            help="A column of times; 'all' or 'none'. May be repeated.",
        ),
    ],
    "skip_rows": Annotated[
        int | None, _option("--skip-rows", metavar="N", help="Skip this many lines first.")
    ],
    "comment": Annotated[
        str | None, _option("--comment", metavar=_CHARACTER, help="Skip lines that begin with it.")
    ],
    "bad_rows": Annotated[
        str | None,
        _option(
            "--bad-rows",
            metavar="HOW",
            help="Invalid rows: error, skip, or collect (print them, go on).",
        ),
    ],
    "filter": Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="'COLUMN>=VALUE'", help="Only rows that match; may be repeated."
        ),
    ],
    "missing": Annotated[
        str | None,
        typer.Option("--missing", metavar="HOW", help="Columns that a file lacks: error or null."),
    ],
    "errors": Annotated[
        str | None,
        typer.Option("--errors", metavar="HOW", help="Files that cannot be read: error or skip."),
    ],
    "columns": Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B", help="Only these columns, fields or arrays."),
    ],
    "rows": Annotated[
        str | None,
        typer.Option("--rows", metavar="START:STOP", help="Only these rows, counted from 0."),
    ],
    "dtype": Annotated[
        list[str] | None,
        typer.Option(
            "--dtype", metavar="[NAME=]TYPE", help="The type of everything, or of a column."
        ),
    ],
}


def reads_files(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``OPTIONS`` to a command, which gets them as its argument ``reading``, with the names of
    ``onecopy.load``."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=hints[name])
        for name, each in inspect.signature(command).parameters.items()
        if name != "reading"
    ]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]

    @wraps(command)
    def with_options(**given: Any) -> Any:
        said = {name: given.pop(name) for name in OPTIONS}
        return command(**given, reading=_as_of_load(said))

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + more
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    del with_options.__wrapped__  # it has fewer parameters
    return with_options


def _as_of_load(said: dict[str, Any]) -> dict[str, Any]:
    """Return all given options, in the form that ``onecopy.load`` takes."""
    given = {name: value for name, value in said.items() if value is not None}
    if given.get("sep") in ("\\t", "tab"):
        given["sep"] = "\t"
    for name in ("names", "columns"):
        if name in given:
            given[name] = given[name].split(",")
    if "rows" in given:
        given["rows"] = _rows(given["rows"])
    if "parse_dates" in given:
        given["parse_dates"] = _dates(given["parse_dates"])
    if "dtype" in given:
        given["dtype"] = _types(given["dtype"])
    return given


def _rows(text: str) -> slice:
    start, colon, stop = text.partition(":")
    try:
        if colon:
            found = slice(int(start or 0), int(stop) if stop else None)
            if found.start >= 0 and (found.stop is None or found.stop >= 0):
                return found
    except ValueError:
        pass  # said below
    raise CommandError(
        f"--rows {text!r}: it is START:STOP, such as 0:1000 or 5:, counted from the front"
    )


def _dates(texts: list[str]) -> Any:
    if texts in (["all"], ["none"]):
        return texts == ["all"]
    formats = (text.partition("=")[::2] for text in texts)
    return {name: format or None for name, format in formats}


def _types(texts: list[str]) -> Any:
    by_name = dict(text.rpartition("=")[::2] for text in texts)
    if "" in by_name and len(by_name) > 1:
        raise CommandError(
            "--dtype is one type for everything, or NAME=TYPE, which may be repeated"
        )
    return by_name.get("", by_name or None)
