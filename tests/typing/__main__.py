"""Type checkers read programs as users write them, and find the errors in them and no others.

    python -m tests.typing mypy       programs, and the code of README and docs/
    python -m tests.typing pyright    programs, and that every public name has a type

The programs are in ``programs/``. A line with an error says so: ``# error: arg-type |
reportArgumentType``, first mypy's words for it and then pyright's, with commas between several,
``-`` for a checker that finds nothing there. What has which type is said by ``assert_type``. They are checked strictly,
against the installed package; pages as mypy checks by default, with untyped functions.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.pages import ROOT, pages

PROGRAMS = Path(__file__).parent / "programs"
# One list of words for each checker, in the order in which a line names them.
CHECKERS = ("mypy", "pyright")

_MARK = re.compile(r"# error: (\S+) \| (\S+)$")
# What is derived from a class of another package has its own types alone: joblib has none, and
# Typer's come from a private part of it that pyright does not read here.
_UNTYPED = ("onecopy.cli.doctor.Parser", "onecopy.joblib.OnecopyBackend")


class Found(NamedTuple):
    """An error: where it is, and the checker's word for its kind."""

    file: str
    line: int
    kind: str


def expected(checker: str) -> set[Found]:
    """The errors that the programs are marked with."""
    return {
        Found(file.name, number, kind)
        for file in sorted(PROGRAMS.glob("*.py"))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if (mark := _MARK.search(line))
        for kind in mark[1 + CHECKERS.index(checker)].split(",")
        if kind != "-"
    }


def compare(wanted: set[Found], found: dict[Found, str]) -> list[str]:
    """The faults: errors that are not expected, and expected ones that are not found."""
    wrong = [f"{each.file}:{each.line}: {found[each]} [{each.kind}]" for each in found]
    return sorted(
        [line for each, line in zip(found, wrong, strict=True) if each not in wanted]
        + [f"{file}:{line}: no {kind}" for file, line, kind in wanted - found.keys()]
    )


def mypy(*arguments: str) -> dict[Found, str]:
    """The errors that mypy finds, with their messages; none of the project's settings hold."""
    cache = ROOT / ".mypy_cache" / "typing"
    command = [
        "mypy",
        "--config-file=",
        f"--cache-dir={cache}",
        "--output=json",
        "--no-error-summary",
    ]
    found = {}
    for line in output([sys.executable, "-m", *command, *arguments]).splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            name = Path(error["file"]).name
            found[Found(name, error["line"], error["code"] or "")] = error["message"]
    return found


def pyright(folder: Path) -> dict[Found, str]:
    """The errors that pyright finds, with their messages."""
    report = pyright_report(str(folder))
    return {
        Found(
            Path(each["file"]).name, each["range"]["start"]["line"] + 1, each.get("rule", "syntax")
        ): each["message"].replace("\n", " ")
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    }


def untyped() -> list[str]:
    """The names whose types pyright has to guess: public ones, and those that they refer to."""
    symbols = pyright_report("--ignoreexternal", "--verifytypes", "onecopy")["typeCompleteness"][
        "symbols"
    ]
    known = [each for each in symbols if each["isExported"] and each["isTypeKnown"]]
    if len(known) < 100:
        return [f"pyright finds {len(known)} public names with a type"]
    return [
        f"{each['name']}: not all of its type is known and written down"
        for each in symbols
        if not each["isTypeKnown"] or each["isTypeAmbiguous"]
        if each["name"] not in _UNTYPED
    ]


def pyright_report(*arguments: str) -> Any:
    """The report of pyright. It finds an editable installation by the path alone."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    return json.loads(output([*command, *arguments], PYTHONPATH=str(ROOT / "src")))


def output(command: list[str], **environment: str) -> str:
    """A checker's standard output. It ends with 0 or, having found errors, with 1."""
    done = subprocess.run(
        command,
        cwd=PROGRAMS,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or (done.stderr and not done.stdout):
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def page_errors() -> list[str]:
    """The errors that mypy finds in the code of the pages, by the page's own lines."""
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for page in pages():
            if program := page.program():
                name = re.sub(r"\W", "_", page.name) + ".py"
                names[name] = page.name
                Path(folder, name).write_text(program, "utf-8")
        found = mypy(
            "--check-untyped-defs",
            "--allow-redefinition",
            "--ignore-missing-imports",
            "--disable-error-code=import-untyped",
            *(str(Path(folder, name)) for name in names),
        )
    return [f"{names[each.file]}:{each.line}: {message}" for each, message in found.items()]


def main(names: Iterable[str]) -> int:
    """Runs these checkers; the exit status."""
    wrong: list[str] = []
    for name in names:
        if name == "mypy":
            wrong += compare(expected(name), mypy("--strict", str(PROGRAMS)))
            wrong += page_errors()
        elif name == "pyright":
            wrong += compare(expected(name), pyright(PROGRAMS))
            wrong += untyped()
        else:
            sys.exit(f"python -m tests.typing {' '.join(CHECKERS)}, or one of them; not {name!r}")
        print(f"{name}: {len(expected(name))} errors expected in the programs")
    print("\n".join(wrong) if wrong else "the types are as they should be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or CHECKERS))
