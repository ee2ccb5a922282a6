"""What a worker is told when it starts: one typed record, the first frame on its socket."""

from __future__ import annotations

from dataclasses import dataclass

from .identity import Identity
from .preparation import Preparation


@dataclass(frozen=True)
class WorkerConfig:
    """See the module.

    Attributes:
        identity: who it is.
        preparation: the surroundings to take over; None for a worker that was forked from
            what has them.
        claims: the size of the page of claims, in bytes.
        slot: the index of its own claim there.
        room: where its page for results begins.
        threads: native threads that it may use, or None to leave them alone.
        initializer: one will be sent, or is inherited.
        executor: SystemExit in a task is that task's error.
        reseed: its generators of random numbers are given seeds of their own.
        logs: log records and warnings go to the owner.
        prints: what becomes of what it prints, see ``options.PRINTS``.
        profile: its stack is looked at while it runs tasks.
        authkey: what its owner's managers are spoken to with, or None.
    """

    identity: Identity
    preparation: Preparation | None
    claims: int
    slot: int
    room: int
    threads: int | None
    initializer: bool
    executor: bool
    reseed: bool
    logs: bool
    prints: str
    profile: bool
    authkey: bytes | None
