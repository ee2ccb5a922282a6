"""Experiments of the lab under test: run at small size, what they certainly show checked."""

from __future__ import annotations

import io
import json
from functools import cache

from onecopy._lab._frame import page, terminal
from onecopy._lab._frame.finding import experiment
from onecopy._lab._frame.running import Run, run


@cache
def measured(name: str) -> Run:
    """The experiment's small run, in an interpreter of its own; once for all tests."""
    return run(name, "small")


def check(name: str) -> Run:
    """Run an experiment; assert what must be so on Linux, and that it can be shown.

    Speed is not asserted: claims that are not certain may fail on a busy machine.
    """
    found = measured(name)
    claims = experiment(name).claims(found.data)
    assert claims
    assert [each.sentence for each in claims if each.certain and not each.holds] == []
    check_shown(found)
    return found


def check_shown(found: Run) -> None:
    """It fits 80 and 160 columns without colour, survives JSON, and makes a page."""
    assert json.loads(json.dumps(found.data, allow_nan=False)) == found.data
    for width in (80, 160):
        text = io.StringIO()
        terminal.print_run(found, text, width)
        assert max(map(len, text.getvalue().splitlines())) <= width
        assert "\x1b" not in text.getvalue()
    made = page.page([found])
    assert "<script" not in made
    assert "http" not in made.replace("http-equiv", "")
    assert f'<section id="{found.name}">' in made
