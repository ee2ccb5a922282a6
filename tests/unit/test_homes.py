"""The modules that a process looks at for the user's variables."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from onecopy._codec.homes import last_module, user_homes

Load = Callable[[str], None]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    def put(name: str) -> None:
        module = types.ModuleType(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        monkeypatch.delitem(sys.modules, name, raising=False)  # the new one comes last
        monkeypatch.setitem(sys.modules, name, module)

    return put


def homes(after: tuple[str, object] | None) -> set[str]:
    return {name for name in user_homes(after) if name.startswith("loaded_")}


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 64, 65, 300])
def test_those_loaded_since(load: Load, count: int) -> None:
    load("loaded_before")
    last = last_module()
    assert last == ("loaded_before", sys.modules["loaded_before"])
    new = {f"loaded_{number}" for number in range(count)}
    for name in new:
        load(name)
    assert homes(last) == new
    assert homes(None) == new | {"loaded_before"}


def test_all_if_the_last_one_is_gone(load: Load) -> None:
    load("loaded_before")
    load("loaded_last")
    last = last_module()
    del sys.modules["loaded_last"]
    load("loaded_since")
    assert homes(last) == {"loaded_before", "loaded_since"}


def test_all_if_the_last_one_was_loaded_again(load: Load) -> None:
    load("loaded_last")
    last = last_module()
    load("loaded_since")
    load("loaded_last")
    assert homes(last) == {"loaded_since", "loaded_last"}


def test_a_name_whose_import_is_forbidden(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loaded_never", None)
    assert last_module() is None
    load("loaded_since")
    assert homes(None) == {"loaded_since"}
