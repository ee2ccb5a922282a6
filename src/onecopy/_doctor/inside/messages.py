"""Hooks of ``multiprocessing.reduction`` and ``.connection``: what every message costs.

The hot part, a few microseconds a message: one list per thread, no closures over arguments, six
readings of the clock. A tuple counts as a pool's message only on a channel that is known to be a pool's.

Of very many small messages only bursts are recorded, see ``bursts``; of each task that a worker takes
it is known meanwhile when it began, see ``current``.
"""

from __future__ import annotations

import os
from struct import Struct

from . import bursts, calls, current, kinds, ring
from .bursts import LARGE, PAUSE, hot
from .calls import call_number, note_error
from .guard import around, guarded, unseen
from .sites import site, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MANY = 200_000
"""Bytes from which on it is asked what is so large."""
_SPOKEN = 65_536  # from here on also what is not a pool's
_SIZES = (3, 5)

me = ring.me
channels: dict[int, int] = {}
"""The pipes of pools: TASK or RESULT."""
after_task: list[Callable[[int], None]] = []
"""Called with the number of tasks that this worker has done, for the first few."""


def wrap_dumps(original: Callable[..., Any]) -> Callable[..., Any]:
    now = ring.now

    def dumps(cls: Any, obj: Any, protocol: Any = None) -> Any:
        t0 = now()
        try:
            data = original(cls, obj, protocol)
        except BaseException as error:
            unseen(error)
            failed(error, kinds.PICKLE, t0)
            raise
        try:
            if hot[0] <= 0:
                pickled(obj, t0, now(), data)
            elif t0 - hot[2] < PAUSE and len(data) < LARGE:
                hot[2] = t0
                hot[0] -= 1  # as bursts.passes does; written out for speed
                if hot[0] <= 0:
                    bursts.go_on(t0)
            else:
                sends(obj, t0, data)
        except Exception:
            pass  # see guard.guarded; written out for speed
        return data

    return dumps


@guarded
def failed(error: BaseException, what: int, t0: int) -> None:
    """A message could not be pickled, or not be rebuilt."""
    if isinstance(error, Exception):
        told = "%s: %.300s" % (type(error).__name__, error)  # noqa: UP031
        ring.note(kinds.ERROR, t0, what, 0, 0, ring.name(told), site())


def sends(obj: Any, t0: int, data: Any) -> None:
    """A message has been pickled: pass it through, or record it."""
    if hot[0] > 0:
        ends = bursts.takes_tasks[0]
        if ends and len(data) <= LARGE and current.ends(obj, t0, data):
            return
        if bursts.passes(t0, len(data), 0):
            if ends and len(data) > LARGE:
                current.ends(obj, t0, data)
            return
    pickled(obj, t0, ring.now(), data)


def pickled(obj: Any, t0: int, t1: int, data: Any) -> None:  # noqa: C901  # one way for each kind of message
    """A message has been pickled; it is noted when it has been written."""
    if ring.buffer is None:
        return
    mine = me.state
    size = len(data)
    bursts.recorded(size)
    if hot[0] > 0:
        # What follows is passed through, the writing of this one with it.
        if current.channel:
            current.ends(obj, t0, data)
        return
    if mine[0] is not None:
        written(mine, t1, 0)
    kind = type(obj)
    what = one = two = more = spent = begun = 0
    func: Any = None
    args: Any = ()
    if kind is tuple:
        length = len(obj)
        if length == 5 and type(obj[0]) is int:
            what, one, two, func, args = kinds.TASK, obj[0], obj[1] or 0, obj[2], obj[3]
        elif length == 3 and type(obj[0]) is int:
            end = obj[2]
            if type(end) is tuple and len(end) == 2:
                what, one, two = kinds.RESULT, obj[0], obj[1] or 0
                if end[0] is not True:
                    more = 1 << 32
                    note_error(end[1], t0)
    elif kind in calls.types:
        what, one = calls.types[kind], obj.work_id
        if what == kinds.TASK:
            func, args = obj.fn, getattr(obj, "args", ())
        elif obj.exception is not None:
            more = 1 << 32
            note_error(obj.exception, t0)
    if what == kinds.OTHER and size < _SPOKEN:
        return  # locks' and proxies' small talk is not followed message by message
    if what == kinds.TASK:
        more = call_number(one, kind is tuple, func, args)
    elif what == kinds.RESULT:
        if current.is_at(one, two):
            begun = current.at.began
            spent = current.end(t0)
        mine[4] += 1
        if mine[4] <= 8 and ring.worker:
            for each in after_task:
                each(mine[4])
    if size >= MANY:
        _note_weight(obj, t0, size, one, two, what)
    mine[0] = (t0, t1, what, one, two, more, spent, size, begun, kind is tuple)


@guarded
def _note_weight(obj: Any, t0: int, size: int, one: int, two: int, what: int) -> None:
    from .weigh import weigh

    found = weigh(obj)
    kind = ring.name("\t".join((found.kind, found.name, found.owner)))
    ring.note(
        *(kinds.BIG, t0, found.size, found.root, size, kind, one, two, what | found.digest << 8),
        *(found.start, found.whole),
    )


def written(mine: list[Any], end: int, channel: int) -> None:
    """Note what this thread has pickled, which has now been written."""
    t0, t1, what, one, two, more, spent, size, begun, is_tuple = mine[0]
    mine[0] = None
    if is_tuple and what and channel not in channels:
        # The program's own tuple, which looks like a pool's message.
        if size < _SPOKEN:
            return
        what = one = two = more = spent = begun = 0
    kind = kinds.OUT | what << 8
    ring.note(kind, t0, t1 - t0, end - t1, size, one, two, more, channel, spent, begun)


def channel_of(connection: Any) -> int:
    """The inode of a connection's pipe: the same at both ends, and in all processes."""
    number = getattr(connection, "_onecopy_channel", 0)
    if not number:
        try:
            number = os.fstat(connection._handle).st_ino
        except (OSError, TypeError):
            return 0
        connection._onecopy_channel = number
    return int(number)


def hook_pipes(module: Any) -> None:
    """``multiprocessing.connection.Pipe``: of one for both ways each end has its own inode."""

    def made(_: Any, ends: Any, *args: Any, **kwargs: Any) -> None:
        where = site()
        if where:
            first, second = (channel_of(each) for each in ends)
            ring.note(kinds.QUEUE, ring.now(), first, 0, 0, where, ring.name("Pipe"), second)

    module.Pipe = around(module.Pipe, None, made)


def hook_connection(module: Any) -> None:
    kind = module.Connection
    send, receive = kind._send_bytes, kind._recv_bytes

    def _send_bytes(self: Any, data: Any) -> Any:
        t0 = 0 if hot[0] > 0 else ring.now()
        try:
            send(self, data)
        except BaseException as error:
            unseen(error)
            raise
        if not t0:
            return
        try:
            mine = me.state
            if mine[0] is not None:
                channel = getattr(self, "_onecopy_channel", 0) or channel_of(self)
                written(mine, ring.now(), channel)
            elif len(data) > _SPOKEN:
                ring.note(kinds.OUT, t0, 0, ring.now() - t0, len(data), 0, 0, 0, channel_of(self))
        except Exception:
            pass  # see guard.guarded; written out for speed

    hook_pipes(module)
    remember(kind, "_send_bytes", send)
    remember(kind, "_recv_bytes", receive)
    kind._send_bytes = _send_bytes
    # The message's head is timed by itself where the library reads it as it does in 3.9 to 3.14.
    known = receive.__code__.co_names == ("_recv", "struct", "unpack", "getvalue")
    kind._recv_bytes = _received(receive) if known else _timed(receive)
    for name, original in (("_send_bytes", send), ("_recv_bytes", receive)):
        bursts.only_while_recording(kind, name, vars(kind)[name], original)


def _received(receive: Callable[..., Any]) -> Callable[..., Any]:
    short, long = Struct("!i").unpack, Struct("!Q").unpack

    def _recv_bytes(self: Any, maxsize: Any = None) -> Any:
        if hot[0] > 0:
            try:
                return receive(self, maxsize)
            except BaseException as error:
                unseen(error)
                raise
        mine = me.state
        if mine[3] <= bursts.since:  # of a message that was passed through
            mine[3] = ring.now()
        try:
            head = self._recv(4)
            mine[1] = ring.now()
            mine[2] = self
            (size,) = short(head.getvalue())
            if size == -1:
                head = self._recv(8)
                (size,) = long(head.getvalue())
            if maxsize is not None and size > maxsize:
                return None
            return self._recv(size)
        except BaseException as error:
            unseen(error)
            raise

    return _recv_bytes


def _timed(receive: Callable[..., Any]) -> Callable[..., Any]:
    def _recv_bytes(self: Any, maxsize: Any = None) -> Any:
        mine = me.state
        mine[1], mine[2] = ring.now(), self
        try:
            return receive(self, maxsize)
        except BaseException as error:
            unseen(error)
            raise

    return _recv_bytes


def wrap_loads(original: Callable[..., Any]) -> Callable[..., Any]:
    now = ring.now

    def loads(data: Any, **kwargs: Any) -> Any:
        t0 = now()
        try:
            obj = original(data, **kwargs) if kwargs else original(data)
        except BaseException as error:
            unseen(error)
            failed(error, kinds.UNPICKLE, t0)
            raise
        try:
            if hot[0] <= 0:
                unpickled(obj, t0, now(), len(data))
            elif t0 - hot[2] < PAUSE and len(data) < LARGE:
                hot[2] = t0
                hot[1] += 1
                hot[0] -= 1
                if hot[0] <= 0:
                    bursts.go_on(t0)
            else:
                comes(obj, t0, len(data))
        except Exception:
            pass  # see guard.guarded; written out for speed
        return obj

    return loads


def comes(obj: Any, t0: int, size: int) -> None:
    """A message has been rebuilt: pass it through, or record it."""
    if hot[0] > 0:
        begins = bursts.takes_tasks[0]
        if begins and size <= LARGE and current.begins(obj):
            return
        if bursts.passes(t0, size, 1):
            if begins and size > LARGE:
                current.begins(obj)
            return
    unpickled(obj, t0, ring.now(), size)


def unpickled(obj: Any, t0: int, t1: int, size: int) -> None:
    """A message has been read and rebuilt. Of a task its number is enough, and in a worker its
    function: who sent it has noted the rest."""
    if ring.buffer is None:
        return
    mine = me.state
    head, connection, waited = t0, None, mine[3]
    if mine[1] > bursts.since:  # else it is that of a message that was passed through
        head, connection = mine[1], mine[2]
    bursts.recorded(size)
    mine[1] = mine[3] = 0
    mine[2] = None
    channel = 0
    if connection is not None:
        channel = getattr(connection, "_onecopy_channel", 0) or channel_of(connection)
    elif current.channel and current.is_task(obj):
        channel = current.channel  # it was read while messages were passed through
    kind = type(obj)
    what = one = two = more = title = 0
    if kind is tuple:
        if len(obj) in _SIZES and channel in channels and type(obj[0]) is int:
            what, one, two = channels[channel], obj[0], obj[1] or 0
            more = int(len(obj) == 3 and obj[2][0] is not True)
    elif kind in calls.types:
        what, one = calls.types[kind], obj.work_id
        more = int(what == kinds.RESULT and obj.exception is not None)
    if what == kinds.OTHER and size < _SPOKEN and t1 - t0 < 1_000_000:
        return
    begins = what == kinds.TASK and bool(current.channel)
    if begins:
        title = current.title_of(obj)
    note = kinds.IN | what << 8
    ring.note(note, head, t0 - head, t1 - t0, size, one, two, more, channel, waited, title)
    if begins:
        current.begins(obj)


_originals: list[tuple[Any, str, Any]] = []


def remember(owner: Any, name: str, value: Any) -> None:
    """Note the original that ``unhook`` puts back."""
    _originals.append((owner, name, value))


def unhook() -> None:
    """Put the library's own functions back on the hot path."""
    bursts.leave()
    for owner, name, value in _originals:
        setattr(owner, name, value)


picklers: list[tuple[Any, str, Any, Any]] = []
"""Of functions that a worker has hooks of its own for: owner, name, hook, original."""


def hook_reduction(module: Any) -> None:
    kind = module.ForkingPickler
    dumps, loads = kind.__dict__["dumps"], kind.loads
    remember(kind, "dumps", dumps)
    remember(kind, "loads", kind.__dict__["loads"])
    kind.dumps = classmethod(wrap_dumps(dumps.__func__))
    kind.loads = staticmethod(wrap_loads(loads))
    picklers.append((kind, "dumps", vars(kind)["dumps"], dumps.__func__))
    picklers.append((kind, "loads", vars(kind)["loads"], loads))
    dump = module.dump

    def begin(*args: Any) -> int:
        return ring.now()

    def done(t0: int, _: Any, obj: Any, file: Any, *args: Any) -> None:
        took, size = ring.now() - t0, file.tell()
        if size >= MANY and hasattr(obj, "_args"):
            from .weigh import weigh

            variables(site())
            found = weigh([obj._args, obj._kwargs])
            told = ring.name("%s\t%s" % (found.kind, found.name)), found.root, found.size  # noqa: UP031
            ring.note(kinds.STARTED_WITH, t0, took, size, 0, *told)

    module.dump = around(dump, begin, done)


def hook_calls(module: Any) -> None:
    """The types of an executor's messages."""
    for title, what in (("_CallItem", kinds.TASK), ("_ResultItem", kinds.RESULT)):
        kind = getattr(module, title, None)
        if kind is not None:
            calls.types[kind] = what
