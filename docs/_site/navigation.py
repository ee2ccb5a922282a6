"""A pattern in the navigation stands for the pages that match it; the foot of each page has the version.

MkDocs wants each page named in ``nav``. The lab has a page for each experiment, and adding
one is adding a file: ``lab/*.md`` is all that ``mkdocs.yml`` has to say.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Called by MkDocs with what it has read from ``mkdocs.yml``."""
    config["nav"] = _expanded(config["nav"], Path(config["docs_dir"]))
    # A version between two releases ends with the commit.
    released = version("onecopy").partition("+")[0]
    config["copyright"] = f"onecopy {released}"
    return config


def _expanded(entries: list[Any], root: Path) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            found.append(
                {
                    title: _expanded(below, root) if isinstance(below, list) else below
                    for title, below in entry.items()
                }
            )
        elif "*" in entry:
            pages = [str(path.relative_to(root)) for path in root.glob(entry)]
            found += sorted(pages, key=lambda page: (not page.endswith("index.md"), page))
        else:
            found.append(entry)
    return found
