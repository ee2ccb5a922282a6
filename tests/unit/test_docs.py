"""The documentation names what there is: public names, commands and their options.

That its code runs is tested in `tests/processes/test_docs.py`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

import onecopy
from onecopy.cli import _application
from tests.pages import ROOT, Page, pages

_REFERENCE = "docs/reference/"


def parameters(name: str) -> list[Any]:
    """The options and arguments of a command, as Typer has them."""
    commands: Any = get_command(_application.application([name]))
    return [*commands.commands[name].params]


def flags(name: str) -> set[str]:
    """A command's options, as they are written."""
    return {
        flag
        for each in parameters(name)
        if each.param_type_name == "option"
        for flag in (*each.opts, *each.secondary_opts)
    }


def calls() -> Iterator[tuple[Page, int, list[str]]]:
    """The calls of ``onecopy`` that pages show in blocks that are not Python."""
    for page in pages():
        for block in page.blocks():
            if block.language in ("python", "run", "output", "text"):
                continue
            for number, line in enumerate(block.lines, block.line):
                words = line.removeprefix("$ ")
                if words.startswith("onecopy "):
                    yield page, number, shlex.split(words, comments=True)[1:]


def test_reference_has_every_public_name() -> None:
    text = "\n".join(page.text for page in pages() if page.name.startswith(_REFERENCE))
    there = set(re.findall(r"^::: onecopy\.(\S+)$", text, re.MULTILINE))
    assert set(onecopy.__all__) - there == set()
    assert [name for name in there if not _found(name)] == []


def _found(name: str) -> bool:
    value: Any = onecopy
    for part in name.split("."):
        if part not in ("pool", "joblib", "data"):
            value = getattr(value, part)
        else:
            value = __import__(f"onecopy.{part}", fromlist=["*"])
    return value is not None


@pytest.mark.parametrize("name", _application.COMMANDS)
def test_reference_has_every_command_and_option(name: str) -> None:
    text = (ROOT / _REFERENCE / "commands.md").read_text("utf-8")
    found = re.search(rf"^## onecopy {name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/reference/commands.md has no section 'onecopy {name}'"
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", found[1]))
    assert flags(name) - {"--help", "-h"} - named == set()


def test_commands_on_pages_are_known() -> None:
    wrong: list[str] = []
    for page, line, words in calls():
        name = words[0]
        if name not in _application.COMMANDS:
            wrong.append(f"{page.name}, line {line}: there is no command {name!r}")
            continue
        ours = words[1 : words.index("--")] if "--" in words else words[1:]
        given = {word.partition("=")[0] for word in ours if re.match(r"--?[a-z]", word)}
        wrong += [
            f"{page.name}, line {line}: {name} has no option {flag!r}"
            for flag in sorted(given - flags(name))
        ]
    assert wrong == []
    assert len(list(calls())) > 5


def test_links_between_pages_lead_somewhere() -> None:
    dead: list[str] = []
    for page in pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", page.text):
            target = link.partition("#")[0]
            if (
                target
                and "://" not in target
                and not (ROOT / page.name).parent.joinpath(target).exists()
            ):
                dead.append(f"{page.name}: {link}")
    assert dead == []


def test_a_program_keeps_the_numbers_of_its_lines() -> None:
    page = Page(
        "x.md", "text\n<!-- run\na = 1\n-->\n\n```python\nprint(a)\n```\n```output\n1\n```\n"
    )
    assert page.program().splitlines() == ["", "", "a = 1", "", "", "", "print(a)", "", "", "", ""]


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        ("1\n2\n", True),
        ("2\n1\n", False),
        ("1\n", True),
        ("1\n...\n3\n", True),
        ("t... x\n", True),
        ("4\n", False),
    ],
)
def test_output_is_compared_line_by_line(shown: str, fits: bool) -> None:
    page = Page("x.md", f"```output\n{shown}```\n")
    assert (page.missing_in("1\n2\n3\nten x\n") is None) == fits
