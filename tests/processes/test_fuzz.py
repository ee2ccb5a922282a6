"""The fuzz run in short; ``make fuzz`` is the long one."""

from __future__ import annotations

import random

import pytest

from tests import fuzz


@pytest.mark.timeout(300)
def test_damaged_files_make_errors_of_one_line_or_values() -> None:
    result = fuzz.run(400, seed=7)
    assert result.faults == []
    assert result.files == 400
    assert result.outcomes["refused"] > 100
    assert result.outcomes["loaded"] > 10


def test_a_seed_says_all() -> None:
    whole = bytes(range(256)) * 4
    once, again = ([fuzz.mutated(whole, random.Random(seed)) for seed in range(50)] for _ in "12")
    assert once == again
    assert sum(made != whole for made in once) > 45
