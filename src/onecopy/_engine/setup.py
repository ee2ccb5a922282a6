"""From a door's arguments to an engine: checks, defaults, and the choice of the kind of engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

from .._launch import resolve
from .._observe.spans import KEPT
from .._protocol import preparation
from .._protocol.worker_exit import begin
from .._system.cpus import cpu_count
from .._system.native_threads import THREAD_VARIABLES
from ..errors import UnsupportedPlatform, kind_of
from .engine import Engine
from .options import MAINS, PRINTS, STATES, Options, Prints

# If the caller has imported one of these, the zygote imports it before it forks.
_PRELOAD = ("numpy",)

# The defaults of options that are for pools on several hosts.
_ALONE = {"reruns": 3, "files": "auto", "hosts_timeout": 60.0}


def options_of(  # noqa: PLR0913  # as the doors' own
    workers: int | None,
    method: str,
    initializer: Callable[..., Any] | None,
    initargs: tuple[Any, ...],
    max_tasks: int | None,
    preload: tuple[str, ...],
    *,
    executor: bool = False,
    logs: bool = True,
    prints: Prints = "plain",
    spans: int = KEPT,
    main: str = "auto",
    state: str = "follow",
    reseed: bool = True,
    profile: bool = False,
    worker_exit: Callable[[], Any] | None = None,
) -> Options:
    """Return the settings of an engine. Raises as ``Pool`` does.

    ``executor`` and what follows: see ``Options``.
    """
    check_platform()
    if preparation.importing_main:
        raise RuntimeError(
            "a pool is made while the main module is imported in a worker: make it under "
            'if __name__ == "__main__":, or give the first pool main="value"'
        )
    if workers is None:
        workers = cpu_count()
    if not isinstance(workers, Integral):
        raise TypeError(f"workers is a whole number, not {workers!r}")
    workers = int(workers)
    if workers < 1:
        raise ValueError(f"a pool has at least 1 worker, not {workers!r}")
    if initializer is not None and not callable(initializer):
        raise TypeError(f"the initializer must be callable, not {kind_of(initializer)}")
    start = resolve(method)
    if worker_exit is not None:
        initargs = (worker_exit, initializer, *initargs)
        initializer = _exiting(worker_exit, start)
    if max_tasks is not None and not (isinstance(max_tasks, Integral) and max_tasks >= 1):
        raise ValueError(f"maxtasksperchild is at least 1 or None, not {max_tasks!r}")
    check_prints(prints)
    check_state(main, state)
    if not (isinstance(spans, Integral) and spans >= 0):
        raise ValueError(f"spans is how many to keep, 0 or more, not {spans!r}")
    return Options(
        workers=workers,
        method=start,
        initializer=initializer,
        initargs=initargs,
        max_tasks=max_tasks,
        preload=(*(name for name in _PRELOAD if name in sys.modules), *preload),
        threads=_threads(workers),
        executor=executor,
        logs=logs,
        prints=prints,
        spans=int(spans),
        main=main,
        state=state,
        reseed=reseed,
        profile=profile or bool(os.environ.get("ONECOPY_PROFILE")),
    )


def modules_of(preload: Iterable[str], *, here: bool = True) -> tuple[str, ...]:
    """Return the names of the modules to preload.

    ``here``: workers run on this host, so that a module that is not found here is none for them. What
    a module raises when it is imported, the task that needs it reports.

    Raises:
        TypeError: it is one name, and no list.
        ModuleNotFoundError: there is no such module.
    """
    if isinstance(preload, str):
        raise TypeError(f"preload is a list of names of modules: preload=[{preload!r}]")
    names = tuple(preload)
    if names:
        from importlib.util import find_spec  # not at the top: most pools preload nothing
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"preload is a list of names of modules, and has {kind_of(name)}")
        top = name.partition(".")[0]
        if here and top not in sys.modules and find_spec(top) is None:
            raise ModuleNotFoundError(f"preload: there is no module {name!r}", name=name)
    return names


def engine(options: Options) -> Engine:
    """Return a running engine; its workers start in the background. Raises as ``Pool`` does."""
    if options.method == "thread":
        from .threads import ThreadEngine

        return ThreadEngine(options)
    from .processes import ProcessEngine

    return ProcessEngine(options)


def _exiting(worker_exit: Any, method: str) -> Callable[..., Any]:
    """Return the initializer that registers ``worker_exit``."""
    if not callable(worker_exit):
        raise TypeError(f"worker_exit must be callable, not {kind_of(worker_exit)}")
    if method == "thread":
        raise ValueError(
            "worker threads end with the program: worker_exit needs a start method whose workers "
            "are processes"
        )
    return begin


def check_prints(prints: str) -> None:
    """Raise ValueError unless it is one of the kinds."""
    if prints not in PRINTS:
        raise ValueError(f"prints is one of {', '.join(PRINTS)}, not {prints!r}")


def method_of(context: Any, argument: str) -> str:
    """Return the start method of a ``multiprocessing`` context. Raises TypeError, naming the
    argument, if it is not a context."""
    name = getattr(context, "get_start_method", None)
    if name is None:
        raise TypeError(
            f"{argument} must be a multiprocessing context, such as get_context() returns, "
            f"not {kind_of(context)}"
        )
    return str(name())


def start_of(context: Any, argument: str) -> str:
    """Return the start method that a context or its name means; ``"auto"`` for None. Raises
    TypeError as ``method_of`` does."""
    if context is None or isinstance(context, str):
        return context or "auto"
    return method_of(context, argument)


def check_state(main: str, state: str) -> None:
    """Raise ValueError if ``main`` or ``state`` is not one of the choices."""
    if main not in MAINS:
        raise ValueError(f"main is one of {', '.join(MAINS)}, not {main!r}")
    if state not in STATES:
        raise ValueError(f"state is one of {', '.join(STATES)}, not {state!r}")


def check_alone(*, reruns: int, files: str, hosts_timeout: float) -> None:
    """Raise TypeError for an option that only a pool on several hosts has; without ``cluster`` it
    would have no effect."""
    given = {"reruns": reruns, "files": files, "hosts_timeout": hosts_timeout}
    for name, default in _ALONE.items():
        if given[name] != default:
            raise TypeError(f"{name} is for a pool on several hosts: give cluster= too")


def check_executor(workers: Any, initializer: Any, max_tasks: Any, worker_exit: Any) -> None:
    """Raise, in the standard library's words, the error for an argument of an executor."""
    if worker_exit is not None and not callable(worker_exit):
        raise TypeError("worker_exit must be a callable")
    if workers is not None and workers <= 0:
        raise ValueError("max_workers must be greater than 0")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    if max_tasks is not None:
        if not isinstance(max_tasks, int):
            raise TypeError("max_tasks_per_child must be an integer")
        if max_tasks <= 0:
            raise ValueError("max_tasks_per_child must be >= 1")


def check_platform() -> None:
    """Raise UnsupportedPlatform where workers cannot be started."""
    if sys.platform == "win32":
        raise UnsupportedPlatform("onecopy starts workers by POSIX means; Windows has none")


def _threads(workers: int) -> int | None:
    """Return the native threads per worker; None if the user's environment sets them."""
    if any(name in os.environ for name in THREAD_VARIABLES):
        return None
    return max(1, cpu_count() // workers)
