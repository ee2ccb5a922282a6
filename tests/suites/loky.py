"""A pytest plugin: in joblib's own suite "loky" means onecopy's backend.

Imported by the program that runs the suite, and by every worker, for tasks name backends
too. ``python -m tests.suites joblib`` starts pytest with it.
"""

from __future__ import annotations

from typing import Any

import pytest
from joblib import parallel

from onecopy.joblib import OnecopyBackend

from .exclusions import reason


class Loky(OnecopyBackend):
    """Ours under another's name, also in its workers."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"preload": (__name__,), **given})


parallel.BACKENDS["loky"] = Loky


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is excluded, and writes down which and why."""
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    with open("left", "w") as file:
        for item in items:
            why = reason("joblib", f"joblib.{item.name}")
            (kept if why is None else left).append(item)
            if why is not None:
                file.write(f"{item.name}\t{why}\n")
    config.hook.pytest_deselected(items=left)
    items[:] = kept
