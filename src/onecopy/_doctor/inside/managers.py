"""Hooks of ``multiprocessing.managers``: round trips of proxies."""

from __future__ import annotations

from . import kinds, ring
from .guard import alike, guarded, unseen
from .messages import unhook
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Of each process the first 500 calls are recorded, and then about one in sixteen, which counts for those
# before it. What comes in turn (acquire, get, set, release) would meet one step again and again:
# the steps are of several lengths, and together a prime.
_ALL, _STEPS = 500, (13, 17, 19, 18)
_calls = 0
_left = 0
_stands_for = 1


def hook_managers(module: Any) -> None:
    kind = module.BaseProxy
    call = kind._callmethod

    def _callmethod(self: Any, methodname: Any, args: Any = (), kwds: Any = {}) -> Any:  # noqa: B006
        global _left
        if _left:
            _left -= 1
            t0 = 0
        else:
            t0 = ring.now()
        try:
            value = call(self, methodname, args, kwds)
        except BaseException as error:
            unseen(error)
            raise
        if t0:
            _called(self, methodname, t0)
        return value

    kind._callmethod = alike(_callmethod, call)
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


@guarded
def _called(proxy: Any, name: Any, t0: int) -> None:
    global _calls, _left, _stands_for
    took = ring.now() - t0
    told = ring.name("%s.%s" % (proxy._token.typeid, name))  # noqa: UP031
    ring.note(kinds.PROXY, t0, took, told, site(), _stands_for)
    _calls += 1
    if _calls >= _ALL:
        _stands_for = _STEPS[_calls % len(_STEPS)]
        _left = _stands_for - 1


def _forget() -> None:
    global _calls, _left, _stands_for
    _calls, _left, _stands_for = 0, 0, 1


ring.on_fork.append(_forget)
