"""The doctor's options without Typer: the same as Typer's, and what is not plain is left to it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer.main

from onecopy.cli import _application, _doctor_words
from onecopy.cli._doctor_run import Level, Wishes


def test_the_options_are_those_of_typer() -> None:
    group: Any = typer.main.get_command(_application.application(["doctor"]))
    parameters = group.commands["doctor"].params
    theirs = {
        name: bool(each.is_flag) for each in parameters for name in each.opts if name != "--help"
    }
    ours = {name: reader is None for name, (_, reader) in _doctor_words.OPTIONS.items()}
    assert ours == theirs
    fields = {field for field, _ in _doctor_words.OPTIONS.values()}
    assert fields == set(Wishes.__dataclass_fields__) - {"words"}


def test_what_is_behind_the_program_is_the_programs() -> None:
    words = ["--report", "a.html", "--report", "b.pftrace", "--quiet", "--fail-on", "time"]
    found = _doctor_words.read([*words, "--stop-after", "2", "run.py", "--json", "x"])
    assert found == Wishes(
        words=("run.py", "--json", "x"),
        reports=("a.html", "b.pftrace"),
        quiet=True,
        fail_on=Level.TIME,
        stop_after=2.0,
    )
    assert _doctor_words.read(["--all", "-c", "pass"]) == Wishes(("-c", "pass"), everything=True)
    assert _doctor_words.read(["--", "ls", "-l"]) == Wishes(("--", "ls", "-l"))
    assert _doctor_words.read(["--explain", "gil"]) == Wishes(explain="gil")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--quiet"],
        ["--help"],
        ["--report"],
        ["--report=a.html", "run.py"],
        ["--bad", "run.py"],
        ["--stop-after", "soon", "run.py"],
        ["--stop-after", "-1", "run.py"],
        ["--stop-after", "nan", "run.py"],
        ["--fail-on", "rain", "run.py"],
    ],
)
def test_all_else_is_left_to_typer(words: list[str]) -> None:
    assert _doctor_words.read(words) is None


def test_a_plain_run_imports_neither_typer_nor_rich_before_the_program() -> None:
    code = (
        "import sys; from onecopy.cli import _quick; _quick(['doctor', '-c', 'pass']);"
        "print(sorted({'typer', 'rich', 'numpy', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
