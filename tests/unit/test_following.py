"""The owner's globals that workers need, and what a worker does with them; without a worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onecopy._engine.following import SMALL, Follower
from onecopy._protocol.identity import reseed
from onecopy._protocol.versions import Version, describe
from onecopy._worker.module_state import ModuleState

SOURCE = """
counted = [0]
class Large:
    def __init__(self): self.data = "x" * 100_000
    def __getstate__(self):
        counted[0] += 1
        return self.__dict__
large, small, number, other, lock = Large(), [1, 2], 7, 8, None
class Model:
    factor = 1
    def scale(self, x): return self.factor * x
def read(): return len(large.data) + sum(small) + helper()
def helper(): return number
def plain(x): return x
def use(model): return Model().scale(2)
def store():
    global other
    other = 9
def locked(): return lock
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the user's, imported from a file."""
    (tmp_path / "followed_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    yield importlib.import_module("followed_module")
    del sys.modules["followed_module"]


@pytest.fixture
def follower() -> Follower:
    return Follower(None, None, modules=True, replaces=lambda version: None)


def names(versions: tuple[Version, ...]) -> set[str]:
    return {".".join(version.path) for version in versions}


def test_what_is_read_directly_or_by_what_is_called(module: Any, follower: Follower) -> None:
    assert names(follower.versions([module.read])) == {"large", "small", "number", "counted"}
    assert names(follower.versions([module.plain])) == set()
    assert names(follower.versions([module.use])) == {"Model.factor"}
    assert names(follower.versions([module.Model])) == {"Model.factor"}
    assert names(follower.versions([module.store])) == {"other"}


def test_nothing_is_made_again_while_nothing_changes(module: Any, follower: Follower) -> None:
    """A large value is pickled once; the same tuple serves all calls."""
    first = follower.versions([module.read])
    pickled = module.counted[0]
    for _ in range(100):
        assert follower.versions([module.read]) is first
    assert module.counted[0] == pickled == 1


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda m: setattr(m, "number", 70), {"number"}),
        (lambda m: m.small.append(3), {"small"}),
        (lambda m: setattr(m, "large", m.Large()), {"large", "counted"}),
        (lambda m: m.large.__dict__.update(data="y" * 100_000), set()),
        (lambda m: setattr(m, "other", 3), set()),
    ],
)
def test_a_change_is_seen(
    module: Any, follower: Follower, change: Callable[[Any], None], changed: set[str]
) -> None:
    before = set(follower.versions([module.read]))
    change(module)
    after = set(follower.versions([module.read]))
    assert {".".join(v.path) for v in after - before} == changed
    assert all(version.later for version in after - before)


def test_what_grows_is_sent_once_more_and_not_compared_again(
    module: Any, follower: Follower
) -> None:
    follower.versions([module.read])
    module.small.extend(range(SMALL))
    grown = follower.versions([module.read])
    module.small.append(1)
    assert follower.versions([module.read]) is grown


def test_what_cannot_be_pickled_says_why(module: Any, follower: Follower) -> None:
    import threading

    module.lock = threading.Lock()
    (version,) = follower.versions([module.locked])
    assert version.encoded is None
    assert version.reason.startswith("followed_module.lock: cannot pickle")


# The worker's side. Owner and worker are one process here: the module is changed in between.


def take(state: ModuleState, version: Version, value: Any) -> None:
    """The version arrives, and its value is this."""
    state.take(describe(version), lambda: value)


def test_a_first_version_replaces_what_the_import_gave(module: Any, follower: Follower) -> None:
    state = ModuleState()
    state.remember()
    versions = {".".join(v.path): v for v in follower.versions([module.read])}
    take(state, versions["number"], "the owner's")
    assert module.number == 7  # it is what the owner has: nothing is decoded
    module.number = 70
    (version,) = set(follower.versions([module.read])) - set(versions.values())
    module.number = 7
    take(state, version, 70)
    assert module.number == 70


@pytest.mark.parametrize("how", ["rebound", "longer"])
def test_what_the_worker_has_set_stays(module: Any, follower: Follower, how: str) -> None:
    state = ModuleState()
    state.remember()
    versions = {".".join(v.path): v for v in follower.versions([module.read])}
    if how == "rebound":
        module.small = ["the worker's"]
    else:
        module.small.append(3)
    mine = module.small
    take(state, versions["small"], [0])
    take(state, versions["small"], [0])
    assert module.small is mine
    versions["small"].later = True
    versions["small"].number += 1000
    take(state, versions["small"], ["later"])
    assert module.small == ["later"]


def test_an_attribute_of_a_class(module: Any, follower: Follower) -> None:
    state = ModuleState()
    (version,) = follower.versions([module.Model])
    version.digest = b""
    take(state, version, 5)
    assert module.Model.factor == 5


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NameError("name 'lock' is not defined", name="lock"), True),
        (NameError("name 'x' is not defined", name="x"), False),
        (KeyError("a"), True),
        (AttributeError("no attribute 'lock'", name="lock"), True),
        (ValueError("lock"), False),
    ],
)
def test_an_error_that_misses_it_says_why(
    module: Any, follower: Follower, error: Exception, told: bool
) -> None:
    import threading

    module.lock = threading.Lock()
    state = ModuleState()
    (version,) = follower.versions([module.locked])
    take(state, version, None)
    state.explain(error)
    assert ("followed_module.lock" in str(getattr(error, "__notes__", ""))) is told


def test_a_value_that_cannot_be_built_here_is_told_where_it_is_missed(
    module: Any, follower: Follower
) -> None:
    state = ModuleState()
    version = next(v for v in follower.versions([module.read]) if v.path == ("number",))
    version.digest = b""

    def broken() -> Any:
        raise ImportError("no module named x")

    state.take(describe(version), broken)
    error = NameError("name 'number' is not defined", name="number")
    state.explain(error)
    assert "ImportError: no module named x" in error.__notes__[0]


LAZY = """
import random
class Lazy:
    @property
    def __class__(self): raise RuntimeError("it is not bound to anything")
    def __getattr__(self, name): raise RuntimeError("nor has it attributes")
    def __reduce__(self): raise RuntimeError("nor can it be pickled")
lazy, generator = Lazy(), random.Random(7)
def read(): return lazy, generator
"""


def test_an_object_that_says_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follower: Follower
) -> None:
    """Such as web frameworks have for the request at hand."""
    import importlib

    (tmp_path / "lazy_module.py").write_text(LAZY)
    monkeypatch.syspath_prepend(tmp_path)
    read = importlib.import_module("lazy_module").read
    ModuleState().remember()
    reseed([vars(sys.modules["lazy_module"])])
    (version,) = follower.versions([read])
    assert version.path == ("lazy",)
    assert version.encoded is None
    assert version.reason.startswith("lazy_module.lazy: ")
    del sys.modules["lazy_module"]


def test_a_generator_of_random_numbers_is_each_worker_s_own(
    module: Any, follower: Follower
) -> None:
    import random

    module.number = random.Random()
    assert "number" not in names(follower.versions([module.helper]))
