"""The pools that a program may be run with, each by its name, and the frame of a program.

A program is run as ``python -m bench.programs.work.NAME WAY``: its main module calls ``run`` with a
function that is given a ``Way`` and returns the result. Peers are the standard library's pools by
``forkserver`` (the default from Python 3.14) and by ``fork`` (the default before), and loky for
programs that use joblib. Ours are used as documented: by default, and by ``fork``.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

FORKSERVER, FORK, LOKY = "forkserver", "fork", "loky"
OURS, OURS_FORK = "onecopy", "onecopy, fork"
POOLS = (FORKSERVER, FORK, OURS, OURS_FORK)
JOBLIB = (LOKY, OURS, OURS_FORK)

WORKERS = max(2, min(8, len(os.sched_getaffinity(0))))


@dataclass(frozen=True)
class Way:
    """One way to have pools; ``name`` is one of the names above."""

    name: str

    @property
    def _options(self) -> dict[str, Any]:
        return {"method": "fork"} if self.name == OURS_FORK else {}

    @property
    def ours(self) -> bool:
        return self.name in (OURS, OURS_FORK)

    def pool(self, *arguments: Any, **options: Any) -> Any:
        """As ``multiprocessing.Pool``."""
        if self.ours:
            import onecopy as oc

            return oc.Pool(*arguments, **{**options, **self._options})
        return multiprocessing.get_context(self.name).Pool(*arguments, **options)

    def executor(self, max_workers: int = WORKERS, **options: Any) -> Any:
        """As ``ProcessPoolExecutor``."""
        if self.ours:
            import onecopy as oc

            method = self._options.get("method")
            return oc.ProcessPoolExecutor(max_workers, mp_context=method, **options)
        context = multiprocessing.get_context(self.name)
        return ProcessPoolExecutor(max_workers, mp_context=context, **options)

    def joblib(self) -> AbstractContextManager[Any]:
        """A block in which joblib's programs run."""
        import joblib

        if self.ours:
            import onecopy.joblib

            onecopy.joblib.register()
        backend = "onecopy" if self.ours else self.name
        found: AbstractContextManager[Any] = joblib.parallel_config(
            backend=backend, n_jobs=WORKERS, **self._options
        )
        return found


def _rounded(value: Any) -> Any:
    """Return a result rounded, since native threads add its numbers in any order."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    return value


def digest(result: Any) -> str:
    """The same text for the same result."""
    text = json.dumps(_rounded(result), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run(program: Callable[[Way], Any]) -> None:
    """Runs the program with the way that the command line names; prints its result's digest."""
    print(digest(program(Way(sys.argv[1]))))
