"""What a pool was asked to be: one frozen record instead of many parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .._launch import Method
from .._observe.spans import KEPT

Prints = Literal["plain", "prefixed", "direct"]
PRINTS: tuple[Prints, ...] = get_args(Prints)
MAINS = ("auto", "import", "value")
STATES = ("follow", "import")


@dataclass(frozen=True)
class Options:
    """How many workers, of which kind, and how they are set up.

    Attributes:
        workers: how many.
        method: a start method, resolved: never ``"auto"``.
        initializer: called in each worker before its first task, or None.
        initargs: its arguments.
        max_tasks: a worker is replaced after so many tasks, or None.
        preload: modules that are imported before workers are made.
        threads: native threads (BLAS, OpenMP) per worker, or None to leave them alone.
        executor: to behave as executors do and not as ``multiprocessing.Pool``: a pool that
            nobody holds finishes its work instead of dropping it, and SystemExit in a task
            is that task's error instead of its worker's end.
        logs: what workers log and warn of is given to this process's handlers and filters.
        prints: lines that workers print come out of this process's streams, ``"plain"`` or
            ``"prefixed"`` with worker and task; ``"direct"``: out of the workers' own.
        spans: so many records of tasks are kept.
        main: workers ``"import"`` the main module, are sent by ``"value"`` what functions
            need of it, or the one or the other (``"auto"``).
        state: ``"follow"``: globals of imported modules have in workers the owner's values;
            ``"import"``: those that their own imports give.
        profile: workers' stacks are looked at while they run tasks.
        reseed: forked workers give NumPy's global generator a seed of their own.
    """

    workers: int
    method: Method
    initializer: Callable[..., Any] | None = None
    initargs: tuple[Any, ...] = ()
    max_tasks: int | None = None
    preload: tuple[str, ...] = ()
    threads: int | None = None
    executor: bool = False
    logs: bool = True
    prints: Prints = "plain"
    spans: int = KEPT
    main: str = "auto"
    state: str = "follow"
    reseed: bool = True
    profile: bool = False
