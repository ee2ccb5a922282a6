"""Hooks of ``multiprocessing.shared_memory``, ``.queues`` and joblib's memmaps."""

from __future__ import annotations

import errno

from . import kinds, ring
from .guard import guarded, put_around
from .messages import channel_of
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def hook_shared_memory(module: Any) -> None:
    kind = module.SharedMemory

    def made(
        _: Any, __: Any, self: Any, name: Any = None, create: Any = False, *args: Any, **kwargs: Any
    ) -> None:
        how = kinds.MADE if create else kinds.ATTACHED
        ring.note(kinds.SHM, ring.now(), how, self._size, 0, ring.name(self._name), site())

    def unlinked(_: Any, __: Any, self: Any) -> None:
        ring.note(kinds.SHM, ring.now(), kinds.UNLINKED, self._size, 0, ring.name(self._name))

    def refused(error: BaseException) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM):
            told = ring.name("%s: %s" % (type(error).__name__, error))  # noqa: UP031
            ring.note(kinds.ERROR, ring.now(), kinds.NO_ROOM, 0, 0, told, site())

    put_around(kind, "__init__", None, made, refused)
    put_around(kind, "unlink", None, unlinked)


def hook_queues(module: Any) -> None:
    def made(_: Any, __: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        where = site()
        if where:
            told = where, ring.name(type(self).__name__)
            size = getattr(self, "_maxsize", 0) & 0xFFFFFFFF
            ring.note(kinds.QUEUE, ring.now(), channel_of(self._reader), size, 0, *told)

    for name in ("Queue", "SimpleQueue"):
        put_around(getattr(module, name), "__init__", None, made)


def hook_locks(module: Any) -> None:
    make = module.SemLock._make_name

    def _make_name() -> Any:
        name = make()
        told(name)
        return name

    @guarded
    def told(name: str) -> None:
        ring.note(kinds.SHM, ring.now(), kinds.SEMAPHORE, 0, 0, ring.name(name))

    module.SemLock._make_name = staticmethod(_make_name)


def hook_memmaps(module: Any) -> None:
    """joblib's silent dumping of large arguments into files that workers map."""
    kind = module.ArrayMemmapForwardReducer

    def begin(self: Any, *args: Any) -> int:
        return ring.now()

    def done(t0: int, _: Any, self: Any, array: Any, *args: Any) -> None:
        size = getattr(array, "nbytes", 0)
        largest = getattr(self, "_max_nbytes", None)
        if largest is not None and size > largest:
            folder = ring.name(str(getattr(self, "_temp_folder", "")))
            ring.note(kinds.MEMMAP, t0, ring.now() - t0, int(size), 0, folder)

    put_around(kind, "__call__", begin, done)
