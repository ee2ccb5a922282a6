"""The parser: ``onecopy`` itself, and the table of its commands.

To add a command, add a file beside this one with a function ``command``, and its name to
``COMMANDS``. The function's docstring and options are the help; it returns the work. Only the file
of the command that is called is imported.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ._errors import FAILED, CommandError
from ._help import Command, Help

COMMANDS = ("run", "convert", "demo", "doctor", "lab", "report", "top")

Work = Callable[[], int]
"""What a command returns: does the work, returns the exit status."""

# Typer's messages, and plainer ones.
_WORDS = (
    (r"Value error, ", ""),
    (r"Input should be greater than or equal to (\S+)", r"it is at least \1"),
    (r"Input should be greater than (\S+)", r"it is more than \1"),
    (r"Input should be less than or equal to (\S+)", r"it is at most \1"),
    (r"Input should be a valid integer.*", "it is a whole number"),
    (r"Input should be a valid number.*", "it is a number"),
)


class _Group(Help, TyperGroup):
    """``onecopy`` itself."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands in the plain help, each with the whole of its first sentence."""
        names = self.list_commands(ctx)
        rows = [(name, self.commands[name].get_short_help_str(limit=1_000)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def parse(arguments: list[str]) -> Work:
    """Return the work that ``arguments`` request.

    Raises:
        CommandError: they are wrong.
        KeyboardInterrupt: Ctrl-C came meanwhile.
    """
    try:
        found = application(arguments)(args=arguments, prog_name="onecopy", standalone_mode=False)
    except CommandError:
        raise
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # Usage errors have no common class over the versions of Typer, but all have this method.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        raise CommandError(_plain(message()), getattr(error, "exit_code", FAILED)) from error
    return found if callable(found) else lambda: int(found or 0)


def _plain(message: str) -> str:
    for theirs, ours in _WORDS:
        message = re.sub(theirs, ours, message)
    extra = re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    if extra is not None:
        return f"too many arguments: {extra[1]!r}; --help has the usage"
    if message.startswith("Missing argument"):
        return f"{message.rstrip('.')}; --help has the usage"
    option = re.match(r"No such option: (--?[\w-]+)", message)
    if option is not None:
        # Typer also names options that are hardly alike.
        others = re.findall(r"--[\w-]+", message[option.end() :])
        near = difflib.get_close_matches(option[1], others, cutoff=0.7)
        hint = f"did you mean {near[0]}?" if near else "--help lists the options"
        return f"there is no option {option[1]}; {hint}"
    unknown = re.match(r"No such command '(.*?)'", message)
    if unknown is None:
        return message
    near = difflib.get_close_matches(unknown[1], COMMANDS)
    hint = f"did you mean {near[0]!r}?" if near else "try 'onecopy --help'"
    return f"there is no command {unknown[1]!r}; {hint}"


def application(arguments: list[str]) -> typer.Typer:
    """Return the parser of the command that ``arguments`` call, or of all commands."""
    app = typer.Typer(
        cls=_Group,
        help="One copy of your data, every core on it.",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_onecopy)
    # A shell that completes a line passes it in the environment.
    words = arguments or os.environ.get("_TYPER_COMPLETE_ARGS", "").split()[1:]
    called = next((word for word in words if not word.startswith("-")), "")
    for name in (called,) if called in COMMANDS else COMMANDS:
        module = import_module(f".{name}", __package__)
        app.command(name, cls=getattr(module, "Parser", Command))(module.command)
    return app


def _onecopy(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit.")
    ] = False,
) -> None:
    if version:
        print(f"onecopy {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
