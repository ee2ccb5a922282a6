"""The public names: the lists of them agree, and each says from which door it comes.

The names are in `onecopy.__all__`, in the imports that type checkers read, and in the table
by which they are fetched. `dir` and `help` show these, and nothing of how they are made.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import pydoc
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import onecopy as oc

# Where classes said that they are from before they said their door.
FORMER = {
    "AppendLog": "_objects.log",
    "AsyncResult": "_engine.results",
    "Counter": "_objects.counter",
    "Memory": "_observe.memory",
    "ProcessMemory": "_observe.memory",
    "SegmentInfo": "_objects.sharing",
    "SharedDict": "_objects.mappings",
    "SharedList": "_objects.sequences",
    "SharedSet": "_objects.mappings",
    "SharedText": "_objects.sequences",
    "cpu_count": "_system.cpus",
    "memory": "_observe.memory",
}
NAMES = [name for name in oc.__all__ if name != "errors"]
CLASSES = [name for name in NAMES if isinstance(getattr(oc, name), type)]


def reexports(file: str | None) -> dict[str, str]:
    """The names that a module imports for type checkers alone, and from where."""
    assert file is not None
    found: dict[str, str] = {}
    for node in ast.parse(Path(file).read_text("utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in ast.walk(node):
                if isinstance(each, ast.ImportFrom):
                    assert all(alias.asname == alias.name for alias in each.names)
                    found |= {alias.name: each.module or "" for alias in each.names}
    return found


def test_the_lists_of_names_agree() -> None:
    table = {name: home for home, names in oc._HOMES.items() for name in names}
    shown = reexports(oc.__file__)
    assert shown.pop("joblib") == ""
    assert shown.pop("errors") == ""
    assert shown == table
    assert [*oc.__all__] == sorted({*table, "errors"})


def test_a_module_lists_what_is_public_of_it() -> None:
    for home, names in oc._HOMES.items():
        if not home.startswith("_"):
            module = __import__(f"onecopy.{home}", fromlist=["*"])
            assert set(names) <= set(module.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_its_door(name: str) -> None:
    value = getattr(oc, name)
    door = value.__module__
    assert door == "onecopy" or "_" not in door
    assert getattr(sys.modules[door], name) is value


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_pickled_by_its_door(name: str) -> None:
    value = getattr(oc, name)
    data = pickle.dumps(value)
    assert b"onecopy._" not in data
    assert pickle.loads(data) is value


@pytest.mark.parametrize("name", FORMER)
def test_a_pickle_by_the_former_path_is_loaded(name: str) -> None:
    assert pickle.loads(f"conecopy.{FORMER[name]}\n{name}\n.".encode()) is getattr(oc, name)


@pytest.mark.parametrize("name", CLASSES)
def test_annotations_of_a_class_can_be_read(name: str) -> None:
    typing.get_type_hints(getattr(oc, name))


def test_dir_shows_the_product_alone() -> None:
    shown = {name for name in dir(oc) if not name.startswith("__")}
    assert shown - {"joblib"} == set(oc.__all__)


def test_a_fresh_interpreter_shows_the_same() -> None:
    program = "import onecopy; print(*dir(onecopy))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    shown = {name for name in done.stdout.split() if not name.startswith("__")}
    assert shown == set(oc.__all__)


def test_a_name_that_is_not_there() -> None:
    module: Any = oc
    with pytest.raises(AttributeError, match="module 'onecopy' has no attribute 'Pol'"):
        _ = module.Pol


@pytest.mark.parametrize("name", CLASSES)
def test_help_names_no_class_of_the_inside(name: str) -> None:
    plain: Any = pydoc.plaintext  # type: ignore[attr-defined]  # not in typeshed
    kind = getattr(oc, name)
    ours = [each for each in inspect.getmro(kind) if "onecopy" in each.__module__]
    assert [each.__name__ for each in ours if each.__name__.startswith("_")] == []
    assert [each.__module__ for each in ours if "_" in each.__module__] == []
    head = pydoc.render_doc(kind, renderer=plain).split(" |  Args:")[0]
    assert "onecopy._" not in head


def test_importing_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import onecopy; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["__future__", "onecopy"]
