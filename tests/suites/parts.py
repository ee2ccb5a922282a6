"""The tests of CPython's suites that a start method has, found by what they use.

Two suites: ``executor`` is ``test.test_concurrent_futures`` as far as a process pool is
used, ``pool`` the cases of ``test._test_multiprocessing`` that make a ``Pool`` of
processes. An interpreter may ship one, both or neither.
"""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from importlib import import_module

METHODS = ("fork", "forkserver", "spawn")
SUITES = ("executor", "pool")

_EXECUTOR = (
    "process_pool", "init", "wait", "as_completed", "shutdown", "deadlock", "future",
)  # fmt: skip
# Classes whose tests all use a pool, and single tests that do.
_POOL = (
    "WithProcessesTestPool",
    "WithProcessesTestPoolWorkerErrors",
    "WithProcessesTestPoolWorkerLifetime",
    "TestPoolNotLeakOnFailure",
)
_POOL_TESTS = (
    "TestInitializers.test_pool_initializer",
    "TestStdinBadfiledescriptor.test_pool_in_process",
    "MiscTestCase.test_large_pool",
)


def tests(suite: str, method: str) -> list[unittest.TestCase]:
    """The tests of one suite under one start method; none where they are not shipped."""
    found = _executor(method) if suite == "executor" else _pool(method)
    return sorted(found, key=lambda test: test.id())


def _executor(method: str) -> Iterator[unittest.TestCase]:
    for name in _modules():
        for case in _cases(name):
            for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
                assert isinstance(test, unittest.TestCase)
                if getattr(case, "ctx", None) == method or _runs_others(case, test, method):
                    yield test


def _runs_others(case: type, test: unittest.TestCase, method: str) -> bool:
    """True if it runs tests of this method by itself. It then has the method in its name."""
    return not hasattr(case, "executor_type") and test.id().endswith(f".test_{method}")


def _modules() -> Iterator[str]:
    package = "test.test_concurrent_futures"
    try:
        module = import_module(package)
    except ModuleNotFoundError:
        return
    if not hasattr(module, "__path__"):  # up to 3.11 it is one module
        yield package
        return
    for part in _EXECUTOR:
        yield f"{package}.test_{part}"


def _pool(method: str) -> Iterator[unittest.TestCase]:
    try:
        import_module("test._test_multiprocessing")
    except ModuleNotFoundError:
        return
    for case in _cases(f"tests.suites.pool_{method}"):
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            assert isinstance(test, unittest.TestCase)
            if case.__name__ in _POOL or test.id().endswith(_POOL_TESTS):
                yield test


def _cases(module: str) -> list[type[unittest.TestCase]]:
    """The test classes that a module has under their own name."""
    return [
        value
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type)
        and issubclass(value, unittest.TestCase)
        and value.__module__ == module
        and value.__name__ == name
    ]
