"""Hooks of ``concurrent.futures.process`` and of loky: executors and submits."""

from __future__ import annotations

from . import bursts, kinds, ring
from .eager import watch_executor
from .guard import alike, put_around, unseen
from .messages import channel_of, channels, hook_calls
from .pools import made_anew, submitted
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def hook_executor(module: Any) -> None:
    """``concurrent.futures.process``."""
    hook_calls(module)
    _hook(module, module.ProcessPoolExecutor, kinds.EXECUTOR)


def hook_loky(module: Any) -> None:
    """loky's ``process_executor``, also the one inside joblib."""
    hook_calls(module)
    _hook(module, module.ProcessPoolExecutor, kinds.LOKY)


def _hook(module: Any, kind: Any, sort: int) -> None:
    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ring.now(), site()

    def made(begun: Any, _: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        t0, where = begun
        made_anew(self)
        context = getattr(self, "_mp_context", None) or getattr(self, "_context", None)
        method = ring.name(str(getattr(context, "_name", "") or ""))
        tasks = results = 0
        if getattr(self, "_call_queue", None) is not None:
            tasks = channel_of(self._call_queue._writer)
            results = channel_of(self._result_queue._reader)
            channels[tasks], channels[results] = kinds.TASK, kinds.RESULT
        limit = getattr(self, "_max_tasks_per_child", 0) or 0
        ring.note(
            *(kinds.POOL, t0, ring.now() - t0, self._max_workers, sort, where, method),
            *(id(self), tasks, results, limit),
        )

    give = kind.submit

    def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            submitted(self, getattr(self, "_queue_count", 0), sort, "submit")
        except Exception:
            pass  # see guard.guarded; written out for speed
        try:
            return give(self, *args, **kwargs)
        except BaseException as error:
            unseen(error)
            raise

    def ended(_: Any, __: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        bursts.note_passed()

    put_around(kind, "__init__", begin, made)
    put_around(kind, "shutdown", None, ended)
    kind.submit = alike(submit, give)
    watch_executor(kind, sort)
