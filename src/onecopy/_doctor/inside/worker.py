"""The hooks of a pool's worker, in the place of those in ``messages``.

They are called twice for each task. Where only bursts are recorded, a task costs two readings of the
clock, and seven words in the head of the ring (see ``current``): what is usual stands first here, and is
written out. All else is left to ``messages``.
"""

from __future__ import annotations

from . import bursts, current, kinds, messages, ring
from .bursts import LARGE, hot
from .current import at
from .guard import unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def take(tasks: int, results: int) -> None:
    """This process is about to take tasks from a pipe, and to write results to another.

    Where others have put functions of their own over the hooks, its tasks are not followed.
    """
    if all(vars(owner).get(name) is hook for owner, name, hook, _ in messages.picklers):
        # A worker's own workers, forked from it, find these.
        for index, (owner, name, _, original) in enumerate(messages.picklers):
            hook = _HOOKS[name](original)
            setattr(owner, name, hook)
            messages.picklers[index] = owner, name, hook, original
        current.take(tasks, results)


def wrap_loads(original: Callable[..., Any]) -> Callable[..., Any]:
    now, begun, place = ring.now, current.BEGUN, kinds.CURRENT

    def loads(data: Any, **kwargs: Any) -> Any:
        # Pools give it bytes; other buffers have no length perhaps.
        t0 = 0 if hot[0] > 0 and type(data) is bytes and len(data) <= LARGE else now()
        try:
            obj = original(data, **kwargs) if kwargs else original(data)
        except BaseException as error:
            unseen(error)
            messages.failed(error, kinds.UNPICKLE, t0 or now())
            raise
        try:
            if t0:
                messages.comes(obj, t0, len(data))
            elif (
                type(obj) is tuple
                and len(obj) == 5
                and obj[2] is at.function
                and type(obj[4]) is dict
            ):
                # Another task of the last one's function: as current.begins does.
                one, two = obj[0], obj[1]
                at.number = number = at.number + 1
                at.one, at.two, at.began = one, two, now()
                if at.began > at.due:
                    current.read_cpu()
                begun(ring.buffer, place, number, one, two, at.began, at.took, number)
            else:
                messages.comes(obj, now(), len(data))
        except Exception:
            pass  # see guard.guarded; written out for speed
        return obj

    return loads


def wrap_dumps(original: Callable[..., Any]) -> Callable[..., Any]:
    now, ended, place = ring.now, current.ENDED, current.ENDS

    def dumps(cls: Any, obj: Any, protocol: Any = None) -> Any:
        t0 = now()
        try:
            data = original(cls, obj, protocol)
        except BaseException as error:
            unseen(error)
            messages.failed(error, kinds.PICKLE, t0)
            raise
        try:
            if hot[0] <= 0:
                messages.pickled(obj, t0, now(), data)
                return data
            if type(obj) is tuple and len(obj) == 3 and len(data) <= LARGE:
                one, two, result = obj
                # Pools send back the very numbers that came. At no task, it took very long.
                if one is at.one and two is at.two and type(result) is tuple and result[0] is True:
                    took = t0 - at.began
                    if took < at.limit:
                        ended(ring.buffer, place, t0)
                        at.took += took
                        at.began = 0
                        hot[0] -= 2
                        if hot[0] <= 0:
                            bursts.go_on(t0)
                        return data
            messages.sends(obj, t0, data)
        except Exception:
            pass  # see guard.guarded; written out for speed
        return data

    return dumps


_HOOKS: dict[str, Callable[..., Any]] = {
    "loads": lambda original: staticmethod(wrap_loads(original)),
    "dumps": lambda original: classmethod(wrap_dumps(original)),
}
