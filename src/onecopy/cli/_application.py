"""The parser: ``onecopy`` itself, and the table of its commands.

A new command is a file beside this one with a function ``command``, whose docstring and
options are its help and which returns what is to be done, and its name in ``COMMANDS``.
Only the file of the command that is called is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from .. import __version__
from ._errors import FAILED, CommandError

COMMANDS = ("run", "convert", "demo", "doctor", "lab", "report", "top")

Work = Callable[[], int]
"""What a command returns: does the work, returns the exit status."""


def parse(arguments: list[str]) -> Work:
    """What ``arguments`` ask for.

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
        # Usage errors have no common class over the versions of Typer, but this method.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        raise CommandError(message(), getattr(error, "exit_code", FAILED)) from error
    return found if callable(found) else lambda: int(found or 0)


def application(arguments: list[str]) -> typer.Typer:
    """The parser of the command that ``arguments`` call, or of all commands."""
    app = typer.Typer(
        help="One copy of your data, every core on it.",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_onecopy)
    called = next((word for word in arguments if not word.startswith("-")), "")
    for name in (called,) if called in COMMANDS else COMMANDS:
        module = import_module(f".{name}", __package__)
        app.command(name, cls=getattr(module, "Parser", None))(module.command)
    return app


def _onecopy(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        print(f"onecopy {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
