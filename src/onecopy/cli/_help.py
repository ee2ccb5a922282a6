"""The help of a command: without what says nothing to its reader, ``<bool>`` and ``<str>``, and with
each option's name whole on any terminal.

Typer's boxes are tables. Where they are too narrow, rich cuts the names of options, which nothing
else on the screen says: such a terminal gets the plain list, which breaks lines between words.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

# The boxes of the widest command, ``run``, are whole from 76 columns on.
_BOXES = 80


class Help:
    """The help of ``onecopy`` and of each command. It comes before Typer's class."""

    rich_markup_mode: Any

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, as the help shows them."""
        return without_types(super().get_params(ctx))  # type: ignore[misc]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the help, in boxes if they fit."""
        from rich.console import Console

        # As rich measures: a pager's terminal counts too.
        width = Console().width
        if width < _BOXES:
            self.rich_markup_mode = None
            formatter.width = width - 1
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(Help, TyperCommand):
    """A command whose usage names its arguments as they are written: the metavar of an optional one
    has brackets."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage for ``--help``."""
        arguments = [each for each in self.params if each.param_type_name == "argument"]
        return ["[OPTIONS]", *(str(getattr(each, "metavar", "")) for each in arguments)]


def first_word(parameters: list[Any], words: list[str], *others: str) -> int:
    """Return where the first of ``words`` is that is no option of a command and no option's value;
    ``others`` are no options of it either."""
    takes = {name: not getattr(each, "is_flag", False) for each in parameters for name in each.opts}
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-") or word in ("-", "--", *others):
            break
        at += 2 if takes.get(word, False) else 1
    return at


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
