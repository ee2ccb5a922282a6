"""One copy of your data, every core on it.

::

    import onecopy as oc

    data = oc.load("records.npy")              # or oc.share(array): one copy
    with oc.Pool() as pool:                    # any start method
        total = pool.map_blocks(np.nansum, data["val"], reduce="sum")

This module is a door: it imports nothing heavy, each name is fetched when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from . import joblib as joblib
    from ._memory.structures.counter import Counter as Counter
    from ._memory.structures.log import AppendLog as AppendLog
    from ._memory.structures.mappings import SharedDict as SharedDict
    from ._memory.structures.mappings import SharedSet as SharedSet
    from ._memory.structures.sequences import SharedList as SharedList
    from ._memory.structures.sequences import SharedText as SharedText
    from ._observe.memory import Memory as Memory
    from ._observe.memory import ProcessMemory as ProcessMemory
    from ._observe.memory import memory as memory
    from ._system.cpus import cpu_count as cpu_count
    from .data import SegmentInfo as SegmentInfo
    from .data import append_log as append_log
    from .data import empty as empty
    from .data import freeze as freeze
    from .data import full as full
    from .data import is_shared as is_shared
    from .data import load as load
    from .data import private as private
    from .data import register as register
    from .data import segments as segments
    from .data import share as share
    from .data import zeros as zeros
    from .errors import BadFile as BadFile
    from .errors import FileTruncated as FileTruncated
    from .errors import InitializerFailed as InitializerFailed
    from .errors import LoadWarning as LoadWarning
    from .errors import MissingLibrary as MissingLibrary
    from .errors import NotEnoughMemory as NotEnoughMemory
    from .errors import NotPicklable as NotPicklable
    from .errors import NotShared as NotShared
    from .errors import OnecopyError as OnecopyError
    from .errors import PickledWarning as PickledWarning
    from .errors import PoolClosed as PoolClosed
    from .errors import RemoteError as RemoteError
    from .errors import ResultNotPicklable as ResultNotPicklable
    from .errors import SlowImportWarning as SlowImportWarning
    from .errors import TaskTimeout as TaskTimeout
    from .errors import WorkerDied as WorkerDied
    from .errors import WorkerOutOfMemory as WorkerOutOfMemory
    from .executor import ProcessPoolExecutor as ProcessPoolExecutor
    from .pool import AsyncResult as AsyncResult
    from .pool import Pool as Pool

__version__ = "0.1.0"

_HOMES = {
    "data": [
        "SegmentInfo", "append_log", "empty", "freeze", "full", "is_shared", "load", "private",
        "register", "segments", "share", "zeros",
    ],
    "errors": [
        "BadFile", "FileTruncated", "InitializerFailed", "LoadWarning", "MissingLibrary",
        "NotEnoughMemory", "NotPicklable", "NotShared", "OnecopyError", "PickledWarning",
        "PoolClosed", "RemoteError", "ResultNotPicklable", "SlowImportWarning", "TaskTimeout",
        "WorkerDied", "WorkerOutOfMemory",
    ],
    "executor": ["ProcessPoolExecutor"],
    "pool": ["AsyncResult", "Pool"],
    "_memory.structures.counter": ["Counter"],
    "_memory.structures.log": ["AppendLog"],
    "_memory.structures.mappings": ["SharedDict", "SharedSet"],
    "_memory.structures.sequences": ["SharedList", "SharedText"],
    "_observe.memory": ["Memory", "ProcessMemory", "memory"],
    "_system.cpus": ["cpu_count"],
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME), "errors"]


def __getattr__(name: str) -> Any:
    if name in ("errors", "joblib"):  # the latter raises ImportError without joblib
        return import_module(f".{name}", __name__)
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
