"""The report names the right cause, or none: a few of the programs of ``tests.truth``.

Each is run once and without its cure; ``make truth`` runs all of them, and measures cures.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import onecopy as oc
from tests.truth.__main__ import run
from tests.truth.shapes import PROGRAMS

pytestmark = pytest.mark.beside

# Those in which tasks mostly wait: they are as long on a busy machine as on an idle one.
FEW = (
    *("import_inside", "same_array", "large_chunks", "straggler", "apply_in_a_loop"),
    *("slow_generator", "slow_handler", "failures", "good_map", "good_short", "good_programs"),
    *(
        "same_list",
        "lists_of_numbers_as_results",
        "straggler_in_the_last_chunk",
        "waits_in_coroutines",
        "good_coroutines",
    ),
)


@pytest.mark.skipif(oc.cpu_count() < 2, reason="on one CPU two workers are no faster than one")
@pytest.mark.parametrize("name", FEW)
def test_the_right_cause_comes_first(name: str) -> None:
    program = PROGRAMS[name]
    for need in program.needs:
        pytest.importorskip(need)
    said = run(program)
    kinds = [each["kind"] for each in said["advice"]]
    assert kinds[:1] == ([program.fault] if program.fault else []), said
    assert abs(said["other"]) <= 0.02, "all of the time is accounted for"
    for each in said["advice"]:
        assert each["evidence"]
        assert each["change"]
        assert each["gain"]
        at_program = (
            each["line"]
            .rpartition(":")[0]
            .endswith(("tests/truth/programs.py", "tests/truth/shapes.py"))
        )
        assert at_program or not each["line"]


def test_there_are_enough_of_them() -> None:
    faulty = [program for program in PROGRAMS.values() if program.fault]
    assert len(faulty) >= 24
    assert len(PROGRAMS) - len(faulty) >= 6
    assert find_spec("tests.truth.child")
