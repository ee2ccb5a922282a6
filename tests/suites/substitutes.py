"""Puts onecopy's classes in the place of the standard library's.

A program that asks ``concurrent.futures`` for its process executor, or ``multiprocessing`` or one of
its contexts for a pool, is given ours from then on. Interpreters that the suites' tests
start (``test.support.script_helper``) do the same: they are given a path with a
``sitecustomize`` module that calls ``install``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_PATH = os.pathsep.join(map(str, (_HERE / "site", _HERE.parent.parent)))


def install() -> None:
    """From here on the standard names mean onecopy's classes, in this process."""
    import concurrent.futures.process
    import multiprocessing.pool

    # Before the names are replaced: ours may be derived from what they mean.
    from onecopy.executor import ProcessPoolExecutor
    from onecopy.pool import Pool

    modules: Any = (concurrent.futures, concurrent.futures.process, multiprocessing.pool)
    for module in modules[:2]:
        module.ProcessPoolExecutor = ProcessPoolExecutor
    # ``multiprocessing.Pool`` and a context's look this name up when they are called.
    modules[2].Pool = Pool


def install_in_scripts() -> None:
    """The same in every interpreter that the suites start by ``script_helper``."""
    from test.support import script_helper

    original: Any = script_helper.run_python_until_end

    def run(*args: Any, **env_vars: Any) -> Any:
        env_vars["__isolated"] = False  # an isolated one has no path of ours
        path = env_vars.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        env_vars["PYTHONPATH"] = f"{_PATH}{os.pathsep}{path}".rstrip(os.pathsep)
        return original(*args, **env_vars)

    script_helper.run_python_until_end = run
