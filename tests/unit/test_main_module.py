"""The main modules that workers may import, and the names that they find there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onecopy._codec.main_module import MainModule, importable_main

GUARD = 'if __name__ == "__main__":\n    main()\n'


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a program the main module, without running it, and look at it."""

    def look(source: str, *, forced: bool = False) -> MainModule | None:
        path = tmp_path / "program.py"
        path.write_text(source)
        main = ModuleType("__main__")
        main.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "__main__", main)
        return importable_main(forced=forced)

    return look


@pytest.mark.parametrize(
    "guard",
    [
        GUARD,
        "if '__main__' == __name__:\n    main()\n",
        'if __name__ == "__main__" and len(x) > 1:\n    main()\n',
        'if __name__ == "__main__":\n    main()\nelse:\n    y = 1\n',
    ],
)
def test_a_guard(look: Any, guard: str) -> None:
    assert look("def main(): pass\n" + guard) is not None


@pytest.mark.parametrize(
    "source",
    [
        "def main(): pass\nmain()\n",
        'if __name__ != "__main__":\n    main()\n',
        'if __name__ == "__main__" or x:\n    main()\n',
        'def f():\n    if __name__ == "__main__":\n        main()\n',
        'if name == "__main__":\n    main()\n',
        "",
    ],
)
def test_no_guard(look: Any, source: str) -> None:
    assert look(source) is None
    assert look(source, forced=True) is not None


@pytest.mark.parametrize(
    "statement",
    ["pool = oc.Pool(2)", "with ProcessPoolExecutor() as e: pass", "r = Parallel(2)(x)"],
)
def test_workers_that_are_started_outside_the_guard(look: Any, statement: str) -> None:
    assert look(f"{statement}\n{GUARD}") is None
    assert look(f"def f():\n    {statement}\n{GUARD}") is not None


def test_no_file(look: Any) -> None:
    look("")
    del sys.modules["__main__"].__file__
    assert importable_main() is None
    with pytest.raises(ValueError, match="needs a main module that is a Python file"):
        importable_main(forced=True)


def test_code_that_cannot_be_parsed(look: Any) -> None:
    assert look("def (:\n" + GUARD) is None


PROGRAM = """
import json as j, os.path
from math import sqrt, pi as PI
x, (y, *z) = 1, (2, 3)
for i in range(3):
    with open("f") as file:
        inner = 1
try:
    import fast
except ImportError as error:
    fast = None
def function(argument):
    local = 1
async def coroutine(): pass
class Class:
    attribute = 1
if x:
    def conditional(): pass
if (walrus := 3): pass
if __name__ == "__main__":
    guarded = 1
    def under_guard(): pass
else:
    imported = 1
"""


def test_the_names_that_an_import_binds(look: Any) -> None:
    main = look(PROGRAM)
    bound = "j os sqrt PI x y z i file inner fast error function coroutine Class conditional"
    assert set(bound.split()) | {"walrus", "imported"} <= main.bound
    assert not {"guarded", "under_guard", "argument", "local"} & main.bound


def test_a_function_that_is_defined_anew_under_the_guard_is_another_one(look: Any) -> None:
    source = "def f(x): return x\nclass C:\n    def m(self): pass\n"
    source += 'if __name__ == "__main__":\n    def f(x): return -x\n    class C:\n'
    source += "        def m(self): return 1\n"
    main = look(source)
    for name, outside in ((None, True), ("__main__", False)):
        names: dict[str, Any] = {"__name__": name}
        exec(compile(source, main.path, "exec"), names)
        assert main.defines("f", names["f"]) is outside
        assert main.defines("C", names["C"]) is outside
    assert not main.defines("g", len)
