"""The large values of a chunk, which are sent one by one in front of its result.

An owner that passes results on to another machine asks for that (``wire.APART``): if one of them is too
large for that machine, the others come all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._codec.codec import Encoded, Payload, encode_result
from .._codec.pickling import PEER

# Values of fewer bytes stay together.
LARGE = 16 << 20


def send_large(
    whole: Payload, outcome: Any, bad: int, send: Callable[[int, Payload], None]
) -> Payload:
    """Send the large values of a chunk; return what is left of it.

    Args:
        whole: the encoded outcome.
        outcome: the values; or, if some have failed (``bad``), values and failures by index. None stands
            for each value that was sent, afterwards.
        bad: see ``outcome``.
        send: sends the value of an item of the chunk.
    """
    if not _is_large(whole):
        return whole
    values = outcome[0] if bad else outcome
    some = False
    for at in list(values) if bad else range(len(values)):
        value = encode_result(values[at], PEER)
        if _is_large(value):
            send(at, value)
            values[at] = None
            some = True
    return encode_result(outcome, PEER) if some else whole


def _is_large(message: Payload) -> bool:
    return isinstance(message, Encoded) and message.nbytes > LARGE
