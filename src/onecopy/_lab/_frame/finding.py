"""The list of experiments: the modules of the package; no other place names them."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import cast

from ...errors import OnecopyError
from .face import Experiment

_PACKAGE = __package__.rpartition(".")[0]
_FOLDER = str(Path(__file__).resolve().parents[1])


class NoSuchExperiment(OnecopyError, LookupError):
    """There is no experiment of this name."""

    def __init__(self, name: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(name, near)
        self.name = name
        self.near = near

    def __str__(self) -> str:
        meant = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"there is no experiment {self.name!r}{meant} ('onecopy lab' lists them)"


def names() -> list[str]:
    """Return all experiments, in alphabetical order."""
    return sorted(
        found.name.replace("_", "-")
        for found in iter_modules([_FOLDER])
        if not found.ispkg and not found.name.startswith("_")
    )


def experiment(name: str) -> Experiment:
    """Return the experiment ``name``; underscores may replace hyphens.

    Raises:
        NoSuchExperiment: there is none; suggests similar names.
    """
    known = names()
    wanted = name.replace("_", "-")
    if wanted not in known:
        raise NoSuchExperiment(name, tuple(difflib.get_close_matches(wanted, known, 3)))
    return cast(Experiment, import_module(f"{_PACKAGE}.{wanted.replace('-', '_')}"))
