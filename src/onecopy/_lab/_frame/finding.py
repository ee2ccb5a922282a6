"""Which experiments there are: the modules of the package, and nothing else knows a name."""

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
    """There is none of this name."""

    def __init__(self, name: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(name, near)
        self.name = name
        self.near = near

    def __str__(self) -> str:
        meant = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"there is no experiment {self.name!r}{meant} ('onecopy lab' lists them)"


def names() -> list[str]:
    """All experiments, in the order of the alphabet."""
    return sorted(
        found.name.replace("_", "-")
        for found in iter_modules([_FOLDER])
        if not found.ispkg and not found.name.startswith("_")
    )


def experiment(name: str) -> Experiment:
    """The experiment called ``name``; underscores may stand for hyphens.

    Raises:
        NoSuchExperiment: there is none; names those that are spelled alike.
    """
    known = names()
    wanted = name.replace("_", "-")
    if wanted not in known:
        raise NoSuchExperiment(name, tuple(difflib.get_close_matches(wanted, known, 3)))
    return cast(Experiment, import_module(f"{_PACKAGE}.{wanted.replace('-', '_')}"))
