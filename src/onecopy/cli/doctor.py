"""``onecopy doctor``: runs a program as it is, and says where its processes lose time and memory.

Everything behind the first of SCRIPT, ``-m``, ``-c`` and ``--`` is the program's. Its standard
streams are its own, and so is its exit status; what is said here comes after its end, on standard
error. This parses; ``_doctor`` runs the program, looks and shows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ._errors import FAILED, CommandError, reason
from ._help import without_types

if TYPE_CHECKING:
    from .._doctor.diagnosis import Diagnosis
    from .._doctor.recording import Recording

_PROGRAM = "onecopy.program"
_REPORTS = (".html", ".pftrace")
# The status that --fail-on gives, when the program's own is 0.
FOUND = 3


class Parser(TyperCommand):
    """A parser that takes the program's words off before ours are parsed: they may look alike."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Ours; the program's are kept with the context."""
        takes = {
            name: not getattr(each, "is_flag", False) for each in self.params for name in each.opts
        }
        at = 0
        while at < len(args):
            word = args[at]
            if not word.startswith("-") or word in ("-", "-m", "-c", "--"):
                break
            at += 2 if takes.get(word, False) else 1
        ctx.meta[_PROGRAM] = args[at:]
        found: list[str] = super().parse_args(ctx, args[:at])
        return found

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, as the help shows them."""
        return without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage for ``--help``."""
        return ["[OPTIONS]", "(SCRIPT | -m MODULE | -c CODE | -- COMMAND) [ARGS]..."]


class Level(StrEnum):
    """The levels of ``--fail-on``, which includes all levels before the given one."""

    WRONG = "wrong"
    CRASH = "crash"
    TIME = "time"
    MEMORY = "memory"
    NOTE = "note"


@dataclass(frozen=True)
class Wishes:
    """The options; see ``command``."""

    reports: tuple[str, ...]
    json: str | None
    record: str | None
    explain: str | None
    everything: bool
    quiet: bool
    keep: bool
    fail_on: Level | None


def command(  # noqa: PLR0913  # options of a command
    context: typer.Context,
    report: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Write a .html page or a .pftrace (Perfetto); may be given several times.",
        ),
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write everything found as one object.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep what was recorded: .doctor, for onecopy report."),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="FINDING", help="Say what a finding means; runs nothing."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="PATH", help="Another interpreter for the program.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print all findings in full, not the first five.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the folder of the records, and say where.")
    ] = False,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Do not read PSS, which walks all pages.")
    ] = False,
    stop_after: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="SECONDS", help="Then interrupt it, as Ctrl-C does."),
    ] = None,
    fail_on: Annotated[
        Level | None,
        typer.Option(
            metavar="LEVEL",
            help=f"Exit with {FOUND} on a finding of this level (wrong, crash, time, memory, "
            "note) or one before it, when the program's own status is 0.",
        ),
    ] = None,
) -> Callable[[], int]:
    """Run a program as it is; say where its processes lose time and memory.

    onecopy doctor program.py --its own arguments
    """
    wishes = Wishes(tuple(report or ()), json, record, explain, everything, quiet, keep, fail_on)
    if explain is not None:
        return partial(_explain, explain)
    words = context.meta.get(_PROGRAM, [])
    _check(wishes, words)
    from .._doctor.launch import Program

    made = words[0] != "--"
    argv = [python or sys.executable, *words] if made else words[1:]
    return partial(execute, Program(argv, made, stop_after, not no_memory), wishes)


def _check(wishes: Wishes, words: list[str]) -> None:
    """Refuse what could not be done, before the program is run."""
    if not words or words == ["--"]:
        raise CommandError("which program? give a SCRIPT, -m MODULE, -c CODE, or -- COMMAND")
    if words[0] in ("-m", "-c") and len(words) < 2:
        raise CommandError(f"{words[0]} needs {'a module' if words[0] == '-m' else 'code'}")
    if not sys.platform.startswith("linux"):
        raise CommandError("onecopy doctor reads Linux's /proc; there is none here", FAILED)
    if words[0] not in ("-m", "-c", "--") and not Path(words[0]).exists():
        raise CommandError(f"there is no file {words[0]!r}")
    for name in wishes.reports:
        check_report(name)
    for file in (*wishes.reports, wishes.json, wishes.record):
        if file and file != "-" and not os.access(Path(file).resolve().parent, os.W_OK):
            raise CommandError(f"{file!r}: its directory is not there, or read-only")


def check_report(name: str) -> None:
    """Refuse a file that no diagnosis could be written to."""
    if Path(name).suffix.lower() not in _REPORTS:
        raise CommandError(f"{name!r}: a diagnosis is {' or '.join(_REPORTS)}")


def execute(program: Any, wishes: Wishes) -> int:
    """Run the program, say what was found; return its exit status."""
    from .._doctor import launch

    with launch.session(wishes.keep) as folder:
        try:
            recording = launch.run(program, folder)
        except OSError as error:
            raise CommandError(
                f"{program.command[0]!r} cannot be run: {error.strerror}", 127
            ) from error
        if wishes.keep:
            print(f"onecopy doctor: kept {folder}", file=sys.stderr)
    found = _say(recording, wishes)
    status = launch.end_as(recording.facts.status)
    if not status and wishes.fail_on is not None:
        levels = list(Level)
        within = [str(each) for each in levels[: levels.index(wishes.fail_on) + 1]]
        if any(each.level in within for each in found.findings):
            return FOUND
    return status


def _say(recording: Recording, wishes: Wishes) -> Diagnosis:
    from .._doctor import diagnosis, terminal
    from .._doctor import recording as recordings

    if wishes.record:
        _write(wishes.record, lambda file: recordings.save(recording, file))
    found = diagnosis.of(recording)
    if not wishes.quiet:
        terminal.show(found, sys.stderr, everything=wishes.everything)
    if wishes.json:
        from .._doctor import objects

        text = objects.dump(found)
        if wishes.json == "-":
            print(text, file=sys.stderr)
        else:
            _write(wishes.json, lambda file: file.write(text.encode() + b"\n"))
    for name in wishes.reports:
        write(found, name)
    return found


def write(found: Diagnosis, name: str) -> None:
    """Write a page or a trace."""
    if Path(name).suffix.lower() == ".html":
        from .._doctor import page

        _write(name, lambda file: file.write(page.html(found).encode()))
    else:
        from .._doctor import trace

        _write(name, lambda file: trace.write(found, file))


def _write(name: str, fill: Callable[[Any], object]) -> None:
    """The file appears whole or not at all."""
    draft = Path(name).with_name(f".{Path(name).name}.{os.getpid()}")
    try:
        with open(draft, "xb") as file:
            fill(file)
        os.replace(draft, name)
    except OSError as error:
        raise CommandError(f"{name!r} cannot be written: {reason(error)}", FAILED) from error
    finally:
        draft.unlink(missing_ok=True)


def _explain(name: str) -> int:
    from .._doctor import explain

    text = explain.text(name)
    if text is None:
        raise CommandError(f"no finding is called {name!r}; there are {', '.join(explain.NAMES)}")
    print(text)
    return 0
