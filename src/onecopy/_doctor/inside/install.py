"""Put each hook in its place when its library is imported, or at once when it is there."""

from __future__ import annotations

import sys

from . import forks, kinds, ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOOKS = {
    "multiprocessing.reduction": ("messages", "hook_reduction"),
    "multiprocessing.connection": ("messages", "hook_connection"),
    "multiprocessing.context": ("processes", "hook_context"),
    "multiprocessing.process": ("processes", "hook_process"),
    "multiprocessing.popen_fork": ("processes", "hook_popen"),
    "multiprocessing.popen_spawn_posix": ("processes", "hook_popen"),
    "multiprocessing.popen_forkserver": ("processes", "hook_popen"),
    "multiprocessing.spawn": ("processes", "hook_spawn"),
    "multiprocessing.pool": ("pools", "hook_pool"),
    "multiprocessing.managers": ("managers", "hook_managers"),
    "multiprocessing.shared_memory": ("memory", "hook_shared_memory"),
    "multiprocessing.queues": ("memory", "hook_queues"),
    "multiprocessing.synchronize": ("memory", "hook_locks"),
    "concurrent.futures.process": ("executors", "hook_executor"),
    "concurrent.futures.thread": ("threads", "hook_thread_pool"),
    "threading": ("threads", "hook_threading"),
    "logging": ("logs", "hook_logging"),
    "logging.handlers": ("logs", "hook_rotating"),
    "joblib._memmapping_reducer": ("memory", "hook_memmaps"),
}
for _loky in ("loky", "joblib.externals.loky"):
    HOOKS[_loky + ".backend.reduction"] = ("loky", "hook_loky_reduction")
    HOOKS[_loky + ".backend.queues"] = ("loky", "hook_loky_queues")
    HOOKS[_loky + ".backend.spawn"] = ("processes", "hook_spawn")
    HOOKS[_loky + ".backend.popen_loky_posix"] = ("processes", "hook_popen")
    HOOKS[_loky + ".process_executor"] = ("executors", "hook_loky")

load: Any = None
"""One of these modules by its name; set by ``boot``."""


def _apply(module: Any) -> None:
    title, function = HOOKS[module.__name__]
    try:
        getattr(load(title), function)(module)
    except Exception as error:
        # This version of the library differs: its findings are not made, and it is said why.
        told = "%s: %s: %s" % (module.__name__, type(error).__name__, error)  # noqa: UP031
        ring.note(kinds.ERROR, ring.now(), kinds.HOOK, 0, 0, ring.name(told))


class _Loader:
    """A wrapper of a module's loader, in its place only until the module is executed."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _apply(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


_looking: set[str] = set()


class _Finder:
    """A finder of what is hooked, by means of the other finders. One of these may do the same: a
    name that is being looked for is left to the rest. The interpreter holds a module's lock
    meanwhile, so no other thread looks for that name."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in HOOKS or name in _looking:
            return None
        _looking.add(name)
        try:
            for finder in sys.meta_path:
                if finder is cls or not hasattr(finder, "find_spec"):
                    continue
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                    return spec
            return None
        finally:
            _looking.discard(name)


def install() -> None:
    """Begin, but not in the resource tracker, which outlives everything and does nothing."""
    argv = " ".join(getattr(sys, "orig_argv", ()))
    if "resource_tracker" in argv and " -c " in argv:
        return
    ring.open_ring(kinds.FRESH)
    sys.meta_path.insert(0, _Finder)
    for name in HOOKS:
        if name in sys.modules:
            _apply(sys.modules[name])
    forks.watch()
