"""Which report a file's name asks for; files appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .._system.atomic_file import appearing
from .model import Run


def report(run: Run, path: str | os.PathLike[str] | None = None) -> None:
    """Prints ``run``, or writes it in the format that ``path``'s suffix names.

    Raises:
        ValueError: an unknown suffix.
        OSError: the file cannot be written.
    """
    if path is None:
        from .terminal import print_report

        print_report(run)
        return
    target = Path(path)
    write, mode = _writer(target)
    encoding = None if "b" in mode else "utf-8"
    with appearing(target) as draft, open(draft, mode, encoding=encoding) as file:
        write(run, file)


def check(path: str | os.PathLike[str]) -> None:
    """Raises ValueError when ``report`` would not know what to write there."""
    _writer(Path(path))


def _writer(path: Path) -> tuple[Callable[[Run, IO[Any]], None], str]:
    suffix = path.suffix.lower()
    if suffix == ".html":
        from .html import write_html

        return write_html, "x"
    if suffix == ".pftrace":
        from .perfetto import write_perfetto

        return write_perfetto, "xb"
    if suffix == ".json":
        from .chrome import write_chrome

        return write_chrome, "x"
    if suffix == ".onecopy":
        from .saved import save

        return save, "xb"
    raise ValueError(
        f"{path.name!r}: a report is .html (a page), .pftrace (Perfetto), .json (Chrome's trace "
        "format) or .onecopy (the run itself)"
    )
