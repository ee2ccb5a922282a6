"""Functions of a test module, whose ``assert`` statements pytest has rewritten."""

from __future__ import annotations

import pytest

from tests.conftest import MakePool

pytestmark = [pytest.mark.door, pytest.mark.beside]


def test_an_assert_in_a_function_of_a_test_fails_as_one(make_pool: MakePool, method: str) -> None:
    def check(x: int) -> int:
        assert x == 2, f"it is {x}"
        return x

    pool = make_pool(method)
    assert pool.map(check, [2]) == [2]
    with pytest.raises(AssertionError, match=r"it is 1\nassert 1 == 2"):
        pool.map(check, [1])
