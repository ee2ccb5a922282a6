"""Hooks of ``multiprocessing.managers``: round trips of proxies."""

from __future__ import annotations

from . import kinds, ring
from .guard import alike, guarded, put_around
from .messages import unhook
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def hook_managers(module: Any) -> None:
    def begin(self: Any, *args: Any, **kwargs: Any) -> int:
        return ring.now()

    def called(t0: int, _: Any, self: Any, name: Any, *args: Any, **kwargs: Any) -> None:
        took = ring.now() - t0
        told = ring.name("%s.%s" % (self._token.typeid, name))  # noqa: UP031
        ring.note(kinds.PROXY, t0, took, told, site())

    put_around(module.BaseProxy, "_callmethod", begin, called)
    manager = module.BaseManager
    run = manager.__dict__["_run_server"].__func__

    def _run_server(cls: Any, *args: Any, **kwargs: Any) -> Any:
        _serves()
        return run(cls, *args, **kwargs)

    manager._run_server = classmethod(alike(_run_server, run))


@guarded
def _serves() -> None:
    """It answers questions and runs no tasks: what those cost is noted by who asks."""
    ring.worker = False
    ring.count("manager server")
    unhook()
