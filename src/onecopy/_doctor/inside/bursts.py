"""Bursts: of very many small messages some are recorded, and the others counted and passed through.

The first 128 messages are recorded. When they came faster than one in 750 microseconds, 960 are passed
through, then 32 recorded, then 1,920 passed through, and so on up to 15,360, but no further when 960 of
them came slower. Pickling and unpickling count; reading and writing are the library's own functions
meanwhile. The two ends of a pipe note different tasks then. Each end scales what it has measured by its
own share; how many tasks there were, and how long they took, is known exactly (``current``).

A large message, another pool, or a pause in a process that hands out tasks, ends the passing: what comes
then is not like what came before.
"""

from __future__ import annotations

from . import kinds, ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIRST, _BURST, _PASSED = 128, 32, 960
_PACE = 750_000
"""Nanoseconds a message: a worker whose tasks take 1.5 ms has two of them in each. Where the CPUs are full,
noting a task takes some 40 microseconds by the clock, far more than its instructions: 9 % with tasks of 1 ms."""
_SMALL = 16_384
"""Bytes a message, on the average: what handling larger ones takes hides what noting them does."""
LARGE = 65_536
"""Bytes."""
PAUSE = 50_000_000
"""Nanoseconds. Where the CPUs are full, a process may wait for one for half of that."""
# Each change of hooks costs the classes their caches, and from 3.13 on a class has a thousand of these.
_MOST, _EARLY = 16, 200

hot = [0, 0, 0]
"""Changed with every message that is passed through: a list, which is the fastest. 0: how many there are
still to pass through, 1: how many of those that were came in (a worker of a pool does not count them: it
sends one for each), 2: when the last came.

The first is counted down by several threads without a lock: it may fall below zero, never stay above.
"""
takes_tasks = [False]
"""This is a worker of a pool: its tasks are counted as two messages when they end."""
_to_skip = 0
_piece_began = 0
_early = _EARLY  # how many times passing may still end before its time
_through = 0  # messages that were passed through since recording was last thought about
_pieces = _further = 0  # times 960: what is passed through at a time, and what is still to come
_paths: list[tuple[Any, str, Any, Any]] = []
"""Of functions that are hooked only while messages are recorded: owner, name, hook, original."""
since = 0
"""When messages began to be recorded again."""
_messages = _bytes = 0
_first = ring.now()
_dense = False


def only_while_recording(owner: Any, name: str, hook: Any, original: Any) -> None:
    """Put ``original`` in the place of ``hook`` while messages are passed through."""
    _paths.append((owner, name, hook, original))


def recorded(size: int) -> None:
    """Count a message that is about to be recorded; after some, decide whether to go on."""
    global _messages, _bytes
    _messages += 1
    _bytes += size
    if _messages >= (_BURST if _dense else _FIRST):
        _decide()


def _decide() -> None:
    """Decide whether messages come so fast that only bursts of them are recorded."""
    global _messages, _bytes, _first, _dense, _to_skip, _pieces, _further, _piece_began, _through
    now = ring.now()
    fast = now - _first < (_messages + _through) * _PACE and _bytes < _messages * _SMALL
    note_passed()
    _dense, _messages, _bytes, _first, _through = fast, 0, 0, now, 0
    _pieces = min(_MOST, max(1, 2 * _pieces)) if fast else 0
    if fast:
        _further = _pieces - 1
        _piece_began = hot[2] = now
        hot[0] = _to_skip = _PASSED
        put(hooked=False)


def passes(now: int, size: int, inward: int) -> bool:
    """Count down a message that came at ``now``; return False when it is to be recorded after all."""
    pause = now - hot[2] > PAUSE and not takes_tasks[0]
    if (pause or size > LARGE) and _end_early():
        return False
    hot[0] -= 1
    hot[1] += inward
    hot[2] = now
    if hot[0] <= 0:
        go_on(now)
    return True


def begin_anew() -> None:
    """Record the messages that come next: they are of another pool."""
    if hot[0] > 0:
        _end_early()


def _end_early() -> bool:
    """End the passing, unless that was done too often."""
    global _to_skip, _early
    if _early <= 0:
        return False
    _early -= 1
    # Not up to now: that there was a pause is to be seen.
    note_passed(hot[2])
    hot[0] = _to_skip = 0
    put(hooked=True)
    return True


def go_on(now: int) -> None:
    """Go on passing through, while messages come fast and enough were not yet passed; else record."""
    global _to_skip, _further, _piece_began
    fast = now - _piece_began < _PASSED * _PACE
    note_passed(now)
    if _further > 0 and fast:
        _further -= 1
        _piece_began = now
        hot[0] = _to_skip = _PASSED
    else:
        put(hooked=True)


def note_passed(until: int = 0) -> None:
    """Note how many messages were passed through since the last time."""
    global _to_skip, _through, _piece_began
    skipped = _to_skip - max(0, hot[0])
    if skipped > 0:
        until = until or ring.now()
        out = skipped // 2 if takes_tasks[0] else max(0, skipped - hot[1])
        ring.note(kinds.BURST, _piece_began, out, skipped - out, max(0, until - _piece_began))
        _through += skipped
        _piece_began = until
    _to_skip, hot[1] = max(0, hot[0]), 0


def put(hooked: bool) -> None:
    """Put the hooks, or the originals, in their places, but for those where others have put theirs."""
    global since
    since = ring.now()
    for owner, name, hook, original in _paths:
        there, wanted = (original, hook) if hooked else (hook, original)
        if vars(owner).get(name) is there:
            setattr(owner, name, wanted)


def leave() -> None:
    """Change no hooks any more."""
    _paths.clear()


def forget() -> None:
    """Begin again, in a forked child."""
    global _messages, _bytes, _first, _dense, _to_skip, _pieces, _further, _through, _early
    hot[:], takes_tasks[0] = (0, 0, 0), False
    _messages = _bytes = _to_skip = _pieces = _further = _through = 0
    _first, _dense, _early = ring.now(), False, _EARLY
    put(hooked=True)


ring.on_fork.append(forget)
