"""A pool's settings: one frozen record instead of many parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from .._launch import Method
from .._observe.spans import KEPT

Prints = Literal["plain", "prefixed", "direct"]
PRINTS: tuple[Prints, ...] = get_args(Prints)
MAINS = ("auto", "import", "value")
STATES = ("follow", "import")


class Options(NamedTuple):
    """The number of workers, their kind, and their set-up.

    Attributes:
        workers: the number of workers.
        method: a start method, resolved: never ``"auto"``.
        initializer: called in each worker before its first task, or None.
        initargs: its arguments.
        max_tasks: the number of tasks after which a worker is replaced, or None.
        preload: modules that are imported before workers are started.
        threads: native threads (BLAS, OpenMP) per worker, or None to leave them alone.
        executor: behave as executors do and not as ``multiprocessing.Pool``: a pool without
            references finishes its work instead of dropping it, and SystemExit in a task is that
            task's error instead of its worker's end.
        logs: forward workers' log records and warnings to this process's handlers and filters.
        prints: write lines that workers print to this process's streams, ``"plain"`` or
            ``"prefixed"`` with worker and task; ``"direct"``: to the workers' own streams.
        spans: how many task records to keep.
        main: workers ``"import"`` the main module, or are sent by ``"value"`` what functions need
            of it; ``"auto"`` chooses.
        state: ``"follow"``: globals of imported modules have the owner's values in workers;
            ``"import"``: the values that the workers' own imports give.
        profile: sample the workers' stacks while they run tasks.
        reseed: forked workers give NumPy's global generator their own seed.
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

    @property
    def inherits(self) -> bool:
        """True when workers are forks of this process, and have its state from that."""
        return self.method == "fork"
