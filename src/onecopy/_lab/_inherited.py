"""The state that a worker has of its parent's, found by the worker itself; see ``start_methods``.

The worker searches all memory that it can read for the parent's secret. It must not be given the
secret, or it would find that copy. So it gets the first four bytes and a digest of the whole, and
never holds the secret unless it was there before.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._system import procfs

SECRET = 32
_STEP = 1 << 23


class Wanted(NamedTuple):
    """The things that the worker looks for."""

    prefix: bytes
    digest: bytes
    file: str


def wanted(secret: bytes, file: str) -> Wanted:
    """Return a description of the parent's secret and of its open file, for the worker."""
    return Wanted(secret[:4], hashlib.sha256(secret).digest(), file)


def facts(look_for: Wanted, words: list[str]) -> dict[str, Any]:
    """Return the state of this process; ``words`` is the module's list as it is here."""
    memory = procfs.rollup()  # before the search, which reads memory into memory
    assert memory is not None
    descriptors = _descriptors()
    return {
        "pid": os.getpid(),
        "rss": memory.rss,
        "pss": memory.pss,
        "uss": memory.uss,
        "descriptors": len(descriptors),
        "file": look_for.file in descriptors,
        "handler": callable(signal.getsignal(signal.SIGUSR1)),
        "blocked": signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "words": list(words),
        "early": os.environ.get("LAB_EARLY", ""),
        "late": os.environ.get("LAB_LATE", ""),
        "secret": found(look_for),
    }


def _descriptors() -> list[str]:
    """Return the target of each descriptor of this process, except the one that lists them."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue  # the directory's own, closed by now
    return names


def found(look_for: Wanted) -> bool:
    """Return True if the secret is anywhere in this process's memory."""
    pattern = re.compile(re.escape(look_for.prefix))
    for piece in _pieces():
        for match in pattern.finditer(piece):
            candidate = piece[match.start() : match.start() + SECRET]
            if hashlib.sha256(candidate).digest() == look_for.digest:
                return True
    return False


def _pieces() -> Iterator[bytes]:
    """Yield all memory of this process that can be read, in pieces that overlap by a secret."""
    with open("/proc/self/maps") as maps:
        ranges = [line.split(maxsplit=5) for line in maps]
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for addresses, permissions, *rest in ranges:
            if permissions[0] != "r" or rest[-1].startswith(("[vvar", "[vsyscall")):
                continue
            start, stop = (int(word, 16) for word in addresses.split("-"))
            for at in range(start, stop, _STEP):
                try:
                    memory.seek(at)
                    yield memory.read(min(_STEP + SECRET - 1, stop - at))
                except OSError:
                    break  # unmapped meanwhile, or a mapping of a device
