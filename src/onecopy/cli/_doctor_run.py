"""The work of ``onecopy doctor``: run a program, look, say and write what was found.

``doctor`` and ``_doctor_words`` parse the command line; ``_doctor`` does the looking. Nothing here
imports Typer, and NumPy only when the program has ended or a CPU is free meanwhile: what is
imported counts in the time of every run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import FAILED, CommandError, reason

if TYPE_CHECKING:
    from .._doctor.diagnosis import Diagnosis
    from .._doctor.launch import Program
    from .._doctor.recording import Recording

_REPORTS = (".html", ".pftrace")
# The status that --fail-on gives, when the program's own is 0.
FOUND = 3


class Level(StrEnum):
    """The levels of ``--fail-on``, which includes all levels before the given one."""

    WRONG = "wrong"
    CRASH = "crash"
    TIME = "time"
    MEMORY = "memory"
    NOTE = "note"


@dataclass(frozen=True)
class Wishes:
    """The options, and the words of the program; see ``doctor.command``."""

    words: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    json: str | None = None
    record: str | None = None
    explain: str | None = None
    python: str | None = None
    everything: bool = False
    quiet: bool = False
    keep: bool = False
    no_memory: bool = False
    stop_after: float | None = None
    fail_on: Level | None = None


def work(wishes: Wishes) -> Callable[[], int]:
    """Return the work that was wished for.

    Raises:
        CommandError: it could not be done.
    """
    if wishes.explain is not None:
        return partial(_explain, wishes.explain)
    words = wishes.words
    _check(wishes)
    from .._doctor.launch import Program

    made = words[0] != "--"
    argv = [wishes.python or sys.executable, *words] if made else list(words[1:])
    program = Program(argv, made, wishes.stop_after, not wishes.no_memory)
    return partial(execute, program, wishes)


def _check(wishes: Wishes) -> None:
    """Refuse what could not be done, before the program is run."""
    words = list(wishes.words)
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
    if wishes.record is not None and Path(wishes.record).suffix.lower() != ".doctor":
        raise CommandError(
            f"--record {wishes.record!r}: the file's name ends in .doctor, for onecopy report"
        )
    for file in (*wishes.reports, wishes.json, wishes.record):
        if file and file != "-" and not os.access(Path(file).resolve().parent, os.W_OK):
            raise CommandError(f"{file!r}: its directory is not there, or read-only")


def check_report(name: str) -> None:
    """Refuse a file that no diagnosis could be written to."""
    if Path(name).suffix.lower() not in _REPORTS:
        raise CommandError(f"{name!r}: a diagnosis is {' or '.join(_REPORTS)}")


def execute(program: Program, wishes: Wishes) -> int:
    """Run the program, say what was found; return its exit status."""
    from .._doctor import launch

    with launch.session(wishes.keep) as folder:
        try:
            recording = launch.run(program, folder, launch.Meanwhile(_imports(), _hint(wishes)))
        except OSError as error:
            raise CommandError(
                f"{program.command[0]!r} cannot be run: {error.strerror}", 127
            ) from error
        if wishes.keep:
            print(f"onecopy doctor: kept {folder}", file=sys.stderr)
    for _ in _imports():
        pass  # what there was no time for
    found = _say(recording, wishes)
    status = launch.end_as(recording.facts.status)
    if not status and wishes.fail_on is not None:
        levels = list(Level)
        within = [str(each) for each in levels[: levels.index(wishes.fail_on) + 1]]
        if any(each.level in within for each in found.findings):
            return FOUND
    return status


def _hint(wishes: Wishes) -> Callable[[Recording], None] | None:
    """Return what says why the program hangs, once, on a terminal: it is the only thing that is said
    while the program runs."""
    if wishes.quiet or not sys.stderr.isatty():
        return None
    said = False

    def say(recording: Recording) -> None:
        nonlocal said
        from .._doctor import hanging

        line = None if said else hanging.line(recording)
        if line is not None:
            said = True
            # The program may have written a part of a line.
            print(f"\n{line}", file=sys.stderr, flush=True)

    return say


def _imports() -> Iterator[None]:
    """Import what analyses and shows, a piece at a time."""
    # The threads of OpenBLAS would take a quarter of NumPy's import, and nothing here uses them. The
    # program has its environment already.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in ("numpy", "onecopy._doctor.diagnosis", "onecopy._doctor.terminal"):
        import_module(name)
        yield


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
    from .._system.atomic_file import appearing

    try:
        with appearing(name) as draft, open(draft, "xb") as file:
            fill(file)
    except OSError as error:
        raise CommandError(f"{name!r} cannot be written: {reason(error)}", FAILED) from error


def _explain(name: str) -> int:
    from .._doctor import explain

    text = explain.text(name)
    if text is None:
        raise CommandError(f"no finding is called {name!r}; there are {', '.join(explain.NAMES)}")
    print(text)
    return 0
