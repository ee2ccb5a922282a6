"""Files of text for `load`: what it reads from them, reports and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import onecopy as oc
from onecopy.errors import BadFile, LoadWarning


def loaded(path: Path, data: str | bytes, **options: Any) -> dict[str, list[Any]]:
    """The columns of a file of these bytes, without a word."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    columns: dict[str, list[Any]] = oc.load(path, **options).to_pydict()
    return columns


def said(path: Path, data: str | bytes, says: str, **options: Any) -> dict[str, list[Any]]:
    """The same, with one warning."""
    with pytest.warns(LoadWarning, match=says) as caught:
        columns = loaded(path, data, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return columns


def refused(path: Path, data: str | bytes, **options: Any) -> str:
    """The one line by which it is refused."""
    with pytest.raises(BadFile) as error:
        loaded(path, data, **options)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)
    return str(error.value)
