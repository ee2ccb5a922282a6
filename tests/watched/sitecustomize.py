"""Names that say which test run made them, in each interpreter that the run starts.

What `multiprocessing` and loky make in /dev/shm has random names, and other programs make such
things as well. Under these names it can be told apart. `tests/this_run.py` puts this folder on
PYTHONPATH, and calls `install` in the test process. Not reached: an interpreter that a test
starts with an environment or a PYTHONPATH of the test's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

VARIABLE = "TEST_RUN"


def _name_segments(module: Any) -> None:
    """`multiprocessing.shared_memory` has a prefix, and a limit on the length that macOS sets."""
    module._SHM_NAME_PREFIX += f"{os.environ[VARIABLE]}_"
    module._SHM_SAFE_NAME_LENGTH += len(os.environ[VARIABLE]) + 1


def _name_semaphores(module: Any) -> None:
    """The class of semaphores has a method for their names."""
    make, run = module.SemLock._make_name, os.environ[VARIABLE]
    module.SemLock._make_name = staticmethod(lambda: f"{make()}-{run}")


def _name_semaphores_again(loky: Any) -> None:
    """The package sets a method of its own in the standard library's class."""
    if not loky.synchronize.SemLock._make_name().endswith(os.environ[VARIABLE]):
        _name_semaphores(loky.synchronize)


_CHANGES: dict[str, Callable[[Any], None]] = {
    "multiprocessing.shared_memory": _name_segments,
    "multiprocessing.synchronize": _name_semaphores,
    "joblib.externals.loky.backend": _name_semaphores_again,
    "joblib.externals.loky.backend.synchronize": _name_semaphores,
}


_looking: set[str] = set()


class _Changing:
    """Finds those modules as usual, and changes each once it has been executed. Importing them
    here would make every interpreter start later, and hide who else does so."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        change = _CHANGES.get(name)
        if change is None or name in _looking:
            return None
        # By all that find modules: a program under test may have its own among them, which may
        # do the same.
        _looking.add(name)
        try:
            finders = [each for each in sys.meta_path if each is not _Changing]
            found = (each.find_spec(name, path, target) for each in finders)
            spec = next((each for each in found if each is not None), None)
        finally:
            _looking.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]  # this one's
        return spec


def install() -> None:
    """Change the modules that are imported already, and the others when they are."""
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
    sys.meta_path.insert(0, _Changing)


# Found by the interpreter, and not imported by its place in the tests.
if __name__ == "sitecustomize" and VARIABLE in os.environ and os.path.isdir("/dev/shm"):
    install()
