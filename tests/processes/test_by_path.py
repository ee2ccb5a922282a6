"""Modules that were loaded by their path (plugins, ``runpy``): workers cannot import them by name."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import onecopy as oc
from tests import scripts
from tests.conftest import MakePool

pytestmark = pytest.mark.door

PLUGIN = """
import math

SCALE = 3


class Thing:
    def __init__(self, size):
        self.size = size

    def double(self):
        return Thing(2 * self.size)


def helper(number):
    return math.floor(number * SCALE)


def make(number):
    return Thing(helper(number))
"""
RUN = """
from onecopy import Pool

OFFSET = 10


def add(number):
    return number + OFFSET


with Pool(2) as pool:
    FOUND = pool.map(add, [1, 2])
"""


def made(name: str, path: Path) -> ModuleType:
    """A module of a path; its code is to be run by ``run``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    return importlib.util.module_from_spec(spec)


def run(module: ModuleType) -> None:
    spec = module.__spec__
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module)


@pytest.fixture(params=[True, False], ids=["registered", "not registered"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "of_a_path.py"
    path.write_text(PLUGIN)
    name = f"plugin_{request.param}"
    module = made(name, path)
    if request.param:
        sys.modules[name] = module
    run(module)
    yield module
    sys.modules.pop(name, None)


def test_functions_and_classes_of_a_plugin(
    make_pool: MakePool, process_method: str, plugin: ModuleType
) -> None:
    pool = make_pool(process_method, 2)
    things = pool.map(plugin.make, [1, 2])
    assert [type(thing) for thing in things] == [plugin.Thing] * 2
    assert [thing.size for thing in things] == [3, 6]
    assert pool.apply(things[0].double).size == 6
    vars(plugin)["SCALE"] = 4
    assert [thing.size for thing in pool.map(plugin.make, [1, 2])] == [4, 8]


def test_a_plugin_whose_name_another_module_has(
    make_pool: MakePool, process_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers would import the other one, and call what it has under the same name."""
    (tmp_path / "twofold.py").write_text("def name():\n    return 'the other'\n")
    own = tmp_path / "own"
    own.mkdir()
    (own / "twofold.py").write_text("def name():\n    return 'by path'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = made("twofold", own / "twofold.py")
    monkeypatch.setitem(sys.modules, "twofold", module)
    run(module)
    assert make_pool(process_method).apply(module.name) == "by path"


@pytest.mark.parametrize("name", ["<run_path>", "__main__", "as_a_module"])
def test_a_program_run_by_runpy(tmp_path: Path, name: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(RUN)
    assert runpy.run_path(str(path), run_name=name)["FOUND"] == [11, 12]


def test_a_file_that_is_open_for_writing_is_refused(make_pool: MakePool, tmp_path: Path) -> None:
    """As a copy it would lose what workers write."""
    pool = make_pool("forkserver")
    refused = pytest.raises(oc.errors.NotPicklable, match=r"writing|not opened for reading")
    for mode in ("w+", "a+", "r+", "w"):
        (tmp_path / "log.txt").write_text("before")
        with (tmp_path / "log.txt").open(mode) as file:

            def write() -> None:
                file.write("text")

            with refused:
                pool.apply(print, ("text",), {"file": file})
            with refused:
                pool.apply(write)


OUTLIVES = """
import numpy as np
from onecopy import {name}

def make(size):
    return np.ones(size)

with {name}(2) as pool:
    results = list(pool.map(make, [100_000]))
"""


@pytest.mark.parametrize("name", ["Pool", "ProcessPoolExecutor"])
def test_nothing_is_said_when_results_outlive_the_library(tmp_path: Path, name: str) -> None:
    """A large result in a global dies when the modules of the library have no globals left."""
    scripts.assert_clean(scripts.run(tmp_path, OUTLIVES.format(name=name), strict=False))
