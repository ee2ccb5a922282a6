"""The help of a command, without what says nothing to its reader: ``<bool>`` and ``<str>``."""

from __future__ import annotations

from typing import Any


def without_types(parameters: list[Any]) -> list[Any]:
    """Remove the type of switches and of arguments from the help."""
    for each in parameters:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
        if each.param_type_name == "argument":
            # Newer versions of Typer ask this; older ones write no type there.
            each.display_type_rich = _no_type
    return parameters


def _no_type(ctx: Any) -> None:
    """Return no type to display."""
