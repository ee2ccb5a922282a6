"""A worker's identity as a process: standard input, names, random numbers, ``multiprocessing``.

Programs ask ``multiprocessing`` whether they run in a worker, and in which one. The answers are
those of its own pools. The module is patched when it is imported.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

from .._system.imports import on_import
from .._system.title import set_title


class Identity(NamedTuple):
    """The identity of a worker.

    Attributes:
        pool: counts up over the pools of the owner.
        worker: its number in the pool.
        daemon: True as in ``multiprocessing.Pool``, False as in executors.
        parent: the owner's pid, name and identity, in ``multiprocessing``'s terms.
        method: the start method that the owner has chosen for ``multiprocessing``, or None.
    """

    pool: int
    worker: int
    daemon: bool
    parent: tuple[int, str, tuple[int, ...]]
    method: str | None

    def take(self) -> None:
        """Make this process that worker."""
        set_title(
            f"onecopy: pool {self.pool}, worker {self.worker}",
            f"onecopy-{self.pool}.{self.worker}",
        )
        on_import("multiprocessing.process", self._furnish_process)
        if self.method is not None:
            on_import("multiprocessing.context", self._furnish_context)

    def _furnish_process(self, module: ModuleType) -> None:
        pid, name, identity = self.parent
        process = module.BaseProcess(name=f"onecopy-{self.worker}")
        process._identity = (*identity, self.worker)
        process._config["daemon"] = self.daemon
        process._parent_pid, process._parent_name = pid, name
        module._current_process = process  # type: ignore[attr-defined]
        module._process_counter = itertools.count(1)  # type: ignore[attr-defined]
        module._children = set()  # type: ignore[attr-defined]
        # A descriptor that is readable once the owner has ended, for ``join`` and ``is_alive``.
        sentinel = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        module._parent_process = module._ParentProcess(name, pid, sentinel)  # type: ignore[attr-defined]

    def _furnish_context(self, module: ModuleType) -> None:
        module._force_start_method(self.method)


def parent_of_workers() -> tuple[int, str, tuple[int, ...]]:
    """Return this process as its workers' ``parent_process`` describes it."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return os.getpid(), "MainProcess", ()
    current = process.current_process()
    return os.getpid(), current.name, tuple(current._identity)


def chosen_method() -> str | None:
    """Return the start method that the program has chosen for ``multiprocessing``, or None."""
    ask = getattr(sys.modules.get("multiprocessing"), "get_start_method", None)
    return ask(allow_none=True) if ask is not None else None


def close_stdin() -> None:
    """Close standard input, which is the owner's: a worker that reads gets the end of input at
    once."""
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the worker lives


def reseed(homes: Iterable[dict[str, Any]]) -> None:
    """Reseed the random number generators, which forked workers would otherwise have in common.

    The ``random`` module does this itself after a fork; NumPy does not. The program's own
    generators get a new seed if they were created without one. An explicit seed stays, as it would
    if the worker had imported the module itself.

    Args:
        homes: the globals of the user's modules.
    """
    random = sys.modules.get("numpy.random")
    if random is None:
        return
    random.seed()
    for names in homes:
        for value in list(names.values()):
            if issubclass(type(value), random.Generator) and _has_no_seed(value.bit_generator):
                fresh = type(value.bit_generator)()
                value.bit_generator.state = fresh.state


def _has_no_seed(generator: Any) -> bool:
    """Return True if the operating system provided the entropy: then it has 128 bits."""
    entropy = getattr(generator.seed_seq, "entropy", None)
    return isinstance(entropy, int) and entropy >> 64 != 0
