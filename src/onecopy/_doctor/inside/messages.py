"""Hooks of ``multiprocessing.reduction`` and ``.connection``: what every message costs.

The hot part, a few microseconds a message: one list per thread, no closures over arguments, six
readings of the clock. Pools' protocols carry numbers (``Pool``: ``(job, i, func, args, kwds)`` and
``(job, i, (ok, value))``; executors: ``_CallItem`` and ``_ResultItem``), so nothing has to be added to
a message to follow it. A tuple counts as a pool's only on a channel that is known to be a pool's.

Of very many small messages only bursts are recorded: when the last thousand came faster than one in
200 microseconds, 64 are recorded, then 960 are counted and passed through, then 1,920, and so on up to
15,360, but no further when 960 of them came slower. Pickling and unpickling count; reading and writing are
the library's own functions meanwhile. The two ends note different tasks then, which is no loss: each
scales what it has measured by its own share.
"""

from __future__ import annotations

import os
from struct import Struct
from types import FunctionType

from . import kinds, ring
from .guard import around, guarded, unseen
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MANY = 200_000
"""Bytes from which on it is asked what is so large."""
_SPOKEN = 65_536  # from here on also what is not a pool's
_STARS = ("mapstar", "starmapstar")
_WRAPPING = (*_STARS, "_process_chunk")
_SIZES = (3, 5)

calls: dict[Any, int] = {}
"""The types of executors' messages: TASK or RESULT."""
channels: dict[int, int] = {}
"""The pipes of pools: TASK or RESULT."""
after_task: list[Callable[[int], None]] = []
"""Called with the number of tasks that this worker has done, for the first few."""

_job, _title = -1, 0
# Bursts.
_AFTER = 1000
_PACE = 200_000  # nanoseconds a message
_BURST, _PASSED = 64, 960
# Each change of hooks costs the classes their caches, and from 3.13 on a class has a thousand of these.
_MOST = 16
# Counted down by several threads without a lock: it may fall below zero, never stay above.
skip = 0
_to_skip = _skipped_in = 0
_piece_began = 0
_through = 0  # messages that were passed through since recording was last thought about
_pieces = _further = 0  # times 960: what is passed through at a time, and what is still to come
_codes: dict[int, tuple[Any, int]] = {}
"""The names of functions of one call, by their code, which is kept for its identity to stay its own."""
_paths: list[tuple[Any, str, Any, Any]] = []
"""Of functions that are hooked only while messages are recorded: owner, name, hook, original."""
_since = 0  # when messages began to be recorded again
_messages = 0
_first = ring.now()
_dense = False


def _pace() -> None:
    """Decide whether messages come so fast that only bursts of them are recorded."""
    global _messages, _first, _dense, skip, _to_skip, _pieces, _further, _piece_began, _through
    now = ring.now()
    fast = now - _first < (_messages + _through) * _PACE
    note_passed()
    _dense, _messages, _first, _through = fast, 0, now, 0
    _pieces = min(_MOST, max(1, 2 * _pieces)) if fast else 0
    if fast:
        skip = _to_skip = _PASSED
        _further = _pieces - 1
        _piece_began = now
        _put(hooked=False)


def _passed_through() -> None:
    """Go on passing through, while messages come fast and enough were not yet passed; else record."""
    global skip, _to_skip, _further, _piece_began
    now = ring.now()
    fast = now - _piece_began < _PASSED * _PACE
    note_passed()
    if _further > 0 and fast:
        _further -= 1
        _piece_began = now
        skip = _to_skip = _PASSED
    else:
        _put(hooked=True)


def note_passed() -> None:
    """Note how many messages were passed through since the last time."""
    global _to_skip, _skipped_in, _through, _piece_began
    skipped = _to_skip - max(0, skip)
    if skipped > 0:
        now = ring.now()
        out = max(0, skipped - _skipped_in)
        ring.note(kinds.BURST, _piece_began, out, skipped - out, now - _piece_began)
        _through += skipped
        _piece_began = now
    _to_skip, _skipped_in = max(0, skip), 0


def _put(hooked: bool) -> None:
    """Put the hooks, or the originals, in their places, but for those where others have put theirs."""
    global _since
    _since = ring.now()
    for owner, name, hook, original in _paths:
        there, wanted = (original, hook) if hooked else (hook, original)
        if vars(owner).get(name) is there:
            setattr(owner, name, wanted)


def _forget() -> None:
    global skip, _messages, _first, _dense, _job, _to_skip, _skipped_in, _pieces, _further, _through
    skip = _messages = _to_skip = _skipped_in = _pieces = _further = _through = 0
    _codes.clear()
    _first, _dense, _job = ring.now(), False, -1
    _put(hooked=True)


ring.on_fork.append(_forget)


def call_of(func: Any, args: Any) -> tuple[str, int]:
    """The name of the user's function of a call, and for how many items it is called."""
    items = 1
    try:
        told = getattr(func, "__name__", "")
        if told in _STARS:
            func, batch = args[0]
            items = len(batch)
        elif type(func).__name__ == "partial" and func.func.__name__ == "_process_chunk":
            func, items = func.args[0], len(args[0])
        elif told == "_process_chunk":
            func, items = args[0], len(args[1])
        elif type(func).__name__ == "BatchedCalls":
            items = len(func.items)
            func = func.items[0][0]
        while type(func).__name__ == "partial":
            func = func.func
    except Exception:
        pass  # a call of a shape that is not known is one call
    return str(getattr(func, "__qualname__", None) or type(func).__name__), items


def wrap_dumps(original: Callable[..., Any]) -> Callable[..., Any]:
    def dumps(cls: Any, obj: Any, protocol: Any = None) -> Any:
        global skip
        if skip > 0:
            skip -= 1
            if skip <= 0:
                _passed_through()
            try:
                return original(cls, obj, protocol)
            except BaseException as error:
                unseen(error)
                raise
        t0 = ring.now()
        try:
            data = original(cls, obj, protocol)
        except BaseException as error:
            unseen(error)
            failed(error, kinds.PICKLE, t0)
            raise
        try:
            pickled(obj, t0, ring.now(), data)
        except Exception:
            pass  # see guard.guarded; written out for speed
        return data

    return dumps


@guarded
def failed(error: BaseException, what: int, t0: int) -> None:
    """A message could not be pickled, or not be rebuilt."""
    if isinstance(error, Exception):
        told = "%s: %.300s" % (type(error).__name__, error)  # noqa: UP031
        ring.note(kinds.ERROR, t0, what, 0, 0, ring.name(told))


def pickled(obj: Any, t0: int, t1: int, data: Any) -> None:  # noqa: C901  # one way for each kind of message
    """A message has been pickled; it is noted when it has been written."""
    global _messages
    if ring.buffer is None:
        return
    mine = ring.me.state
    _messages += 1
    if _messages >= (_BURST if _dense else _AFTER):
        _pace()
        if skip > 0:
            return  # what follows is passed through, the writing of this one with it
    if mine[0] is not None:
        written(mine, t1, 0)
    kind = type(obj)
    what = one = two = more = spent = begun = 0
    size = len(data)
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
                    _note_error(end[1], t0)
    elif kind in calls:
        what, one = calls[kind], obj.work_id
        if what == kinds.TASK:
            func, args = obj.fn, getattr(obj, "args", ())
        elif obj.exception is not None:
            more = 1 << 32
            _note_error(obj.exception, t0)
    if what == kinds.OTHER and size < _SPOKEN:
        return  # locks' and proxies' small talk is not followed message by message
    if what == kinds.TASK:
        more = _call_number(one, kind is tuple, func, args)
    elif what == kinds.RESULT:
        if mine[4]:
            spent = ring.cpu_now() - mine[4]
            mine[4] = 0
            begun = mine[7]
        mine[5] += 1
        if mine[5] <= 8 and ring.worker:
            for each in after_task:
                each(mine[5])
    if size >= MANY:
        _note_weight(obj, t0, size, one, two, what)
    mine[0] = (t0, t1, what, one, two, more, spent, size, begun, kind is tuple)


@guarded
def _note_error(error: Any, t0: int) -> None:
    """A task has raised: count it by its error's type, and the name that was not found."""
    if ring.worker:
        error = getattr(error, "exc", error)  # both pools wrap it to keep its traceback
        kind = type(error)
        name = (error.name or "") if kind is NameError else ""
        ring.count("error\t%s\t%s" % (kind.__name__, name))  # noqa: UP031


def _call_number(one: int, of_pool: bool, func: Any, args: Any) -> int:
    global _job, _title
    if type(func) is FunctionType:
        known = _codes.get(id(func.__code__))
        if known is not None:
            return known[1]
    if of_pool and one == _job:
        items = len(args[0][1]) if getattr(func, "__name__", "") in _STARS else 1
        return _title | items << 32
    told, items = call_of(func, args)
    title = ring.name(told)
    _job, _title = one, title
    if type(func) is FunctionType and func.__name__ not in _WRAPPING and len(_codes) < 1000:
        _codes[id(func.__code__)] = func.__code__, title | 1 << 32
    return title | items << 32


@guarded
def _note_weight(obj: Any, t0: int, size: int, one: int, two: int, what: int) -> None:
    from .weigh import weigh

    found = weigh(obj)
    kind = ring.name(found.kind)
    ring.note(
        *(kinds.BIG, t0, found.size, found.root, size, kind, one, two, what),
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
        t0 = 0 if skip > 0 else ring.now()
        try:
            send(self, data)
        except BaseException as error:
            unseen(error)
            raise
        if not t0:
            return
        try:
            mine = ring.me.state
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
        _paths.append((kind, name, vars(kind)[name], original))


def _received(receive: Callable[..., Any]) -> Callable[..., Any]:
    short, long = Struct("!i").unpack, Struct("!Q").unpack

    def _recv_bytes(self: Any, maxsize: Any = None) -> Any:
        if skip > 0:
            try:
                return receive(self, maxsize)
            except BaseException as error:
                unseen(error)
                raise
        mine = ring.me.state
        if mine[3] <= _since:  # of a message that was passed through
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
        mine = ring.me.state
        mine[1], mine[2] = ring.now(), self
        try:
            return receive(self, maxsize)
        except BaseException as error:
            unseen(error)
            raise

    return _recv_bytes


def wrap_loads(original: Callable[..., Any]) -> Callable[..., Any]:
    def loads(data: Any, **kwargs: Any) -> Any:
        global skip, _skipped_in
        if skip > 0:
            skip -= 1
            _skipped_in += 1
            if skip <= 0:
                _passed_through()
            try:
                return original(data, **kwargs)
            except BaseException as error:
                unseen(error)
                raise
        t0 = ring.now()
        try:
            obj = original(data, **kwargs)
        except BaseException as error:
            unseen(error)
            failed(error, kinds.UNPICKLE, t0)
            raise
        try:
            unpickled(obj, t0, ring.now(), len(data))
        except Exception:
            pass  # see guard.guarded; written out for speed
        return obj

    return loads


def unpickled(obj: Any, t0: int, t1: int, size: int) -> None:
    """A message has been read and rebuilt. Of a task its number is enough: who sent it has
    noted the rest."""
    global _messages
    if ring.buffer is None:
        return
    mine = ring.me.state
    _messages += 1
    if _messages >= (_BURST if _dense else _AFTER):
        _pace()
    head, connection, waited = mine[1] or t0, mine[2], mine[3]
    mine[1] = mine[3] = 0
    mine[2] = None
    channel = 0
    if connection is not None:
        channel = getattr(connection, "_onecopy_channel", 0) or channel_of(connection)
    kind = type(obj)
    what = one = two = more = 0
    if kind is tuple:
        if len(obj) in _SIZES and channel in channels and type(obj[0]) is int:
            what, one, two = channels[channel], obj[0], obj[1] or 0
            more = int(len(obj) == 3 and obj[2][0] is not True)
    elif kind in calls:
        what, one = calls[kind], obj.work_id
        more = int(what == kinds.RESULT and obj.exception is not None)
    if what == kinds.OTHER and size < _SPOKEN and t1 - t0 < 1_000_000:
        return
    note = kinds.IN | what << 8
    ring.note(note, head, t0 - head, t1 - t0, size, one, two, more, channel, waited)
    if what == kinds.TASK and ring.worker:
        # The task begins when all this is done: neither its time nor its CPU has the hook in it.
        mine[4] = ring.cpu_now()
        mine[7] = ring.now()


_originals: list[tuple[Any, str, Any]] = []


def remember(owner: Any, name: str, value: Any) -> None:
    """Note the original that ``unhook`` puts back."""
    _originals.append((owner, name, value))


def unhook() -> None:
    """Put the library's own functions back on the hot path."""
    _paths.clear()
    for owner, name, value in _originals:
        setattr(owner, name, value)


def hook_reduction(module: Any) -> None:
    kind = module.ForkingPickler
    dumps = kind.__dict__["dumps"]
    remember(kind, "dumps", dumps)
    remember(kind, "loads", kind.__dict__["loads"])
    kind.dumps = classmethod(wrap_dumps(dumps.__func__))
    kind.loads = staticmethod(wrap_loads(kind.loads))
    dump = module.dump

    def begin(*args: Any) -> int:
        return ring.now()

    def done(t0: int, _: Any, obj: Any, file: Any, *args: Any) -> None:
        took, size = ring.now() - t0, file.tell()
        if size >= MANY and hasattr(obj, "_args"):
            from .weigh import weigh

            found = weigh([obj._args, obj._kwargs])
            told = ring.name(found.kind), found.root, found.size
            ring.note(kinds.STARTED_WITH, t0, took, size, 0, *told)

    module.dump = around(dump, begin, done)


def hook_calls(module: Any) -> None:
    """The types of an executor's messages."""
    for title, what in (("_CallItem", kinds.TASK), ("_ResultItem", kinds.RESULT)):
        kind = getattr(module, title, None)
        if kind is not None:
            calls[kind] = what
