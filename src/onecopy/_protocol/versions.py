"""Values of variables as sent from the owner to workers: the part that both sides know.

See ``_engine.following`` for what is sent, and ``_worker.module_state`` for what a worker does with
it.
"""

from __future__ import annotations

import marshal

from .._codec.codec import Encoded

Path = tuple[str, ...]
"""A name in a home, and after it an attribute of the function or class of that name."""


class Version:
    """One value of a variable, ready to be sent.

    Attributes:
        home, path: the variable.
        number: counts up over all variables.
        encoded: the value; None if it cannot be sent.
        digest: of the pickled value; empty if the worker need not compare.
        reason: the reason why it cannot be sent.
        later: the owner has given the variable this value after an earlier one: it replaces what a
            worker has set.
    """

    __slots__ = ("digest", "encoded", "home", "later", "number", "path", "reason")

    def __init__(
        self,
        home: str,
        path: Path,
        number: int,
        encoded: Encoded | None,
        digest: bytes,
        reason: str,
    ) -> None:
        self.home: str = home
        self.path: Path = path
        self.number: int = number
        self.encoded: Encoded | None = encoded
        self.digest: bytes = digest
        self.reason: str = reason
        self.later: bool = False


NO_VERSIONS: tuple[Version, ...] = ()


def digest_of(encoded: Encoded) -> bytes:
    """Return the digest of a pickled value; empty if it has buffers, which are not read."""
    if encoded.plan is not None:
        return b""
    import hashlib  # workers do not need it, and it loads OpenSSL

    digest = hashlib.blake2b(digest_size=16)
    for chunk in encoded.chunks():
        digest.update(chunk)
    return digest.digest()


def describe(version: Version) -> bytes:
    """Return the head of a version's message; ``ModuleState.take`` reads it."""
    return marshal.dumps(
        (
            version.home,
            version.path,
            version.number,
            version.later,
            version.digest,
            version.reason,
        )
    )
