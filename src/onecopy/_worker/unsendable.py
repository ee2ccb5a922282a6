"""Results that cannot be sent whole: the items that can be are sent, the others fail."""

from __future__ import annotations

from typing import Any

from .. import errors
from .._codec.blame import short
from .._codec.codec import encode
from .._codec.pickling import PEER
from .._protocol import wire
from .._protocol.failures import Failure, failure


def unsendable(
    frame: wire.Frame,
    outcome: Any,
    bad: int,
    error: BaseException,
    ends: tuple[type[BaseException], ...],
) -> tuple[dict[int, Any], dict[int, Failure]]:
    """Return the values that can be sent, and the failures of the others, by index.

    Args:
        frame: the task.
        outcome: a call's value, a chunk's values, or, if some have failed already (``bad``), values
            and failures.
        error: the reason why it cannot be sent.
        ends: exceptions that end the worker instead.
    """
    _, call_kind, _ = wire.TASK_HEAD.unpack_from(frame.body)
    if call_kind == wire.CALL and not bad:
        return {}, {0: _not_sent(error, outcome)}
    values, failed = outcome if bad else (dict(enumerate(outcome)), {})
    for at in list(values):
        try:
            encode(values[at], PEER, "result")
        except ends:
            raise
        except (Exception, SystemExit) as why:
            failed[at] = _not_sent(why, values[at])
            values[at] = None
    if not failed:  # each can be pickled, but there is no room for all of them
        failed = {at: failure(error, "sending the result") for at in values}
        values = {}
    return values, failed


def _not_sent(error: BaseException, value: Any) -> Failure:
    if isinstance(error, errors.NotPicklable):
        cause = error.__cause__
        error = errors.ResultNotPicklable(error.path, error.reason, short(value))
        if cause is not None and cause.__traceback__ is not None:
            error.__cause__ = cause  # it leads to the user's own __reduce__
    return failure(error, "sending the result", namespace=PEER)
