"""One copy of your data, every core on it.

```python
import onecopy as oc

data = oc.load("records.npy")              # or oc.share(array): one copy
with oc.Pool() as pool:                    # any start method
    total = pool.map_blocks(np.nansum, data["val"], reduce="sum")
```

This module is a door: it imports nothing heavy; each name is imported at first use. Type checkers
and editors read the imports under ``TYPE_CHECKING``, the interpreter reads the table below them;
``tests/unit/test_names.py`` keeps both equal.
"""

from __future__ import annotations

# As in ``typing``, whose import would take longer than this whole module. Type checkers recognise
# the name.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from . import errors as errors
    from . import joblib as joblib
    from ._cluster.carriers.loopback import Loopback as Loopback
    from ._cluster.carriers.loopback import loopback as loopback
    from ._cluster.host import HostStatus as HostStatus
    from ._engine.failed import Failed as Failed
    from ._files.scan.door import scan as scan
    from ._files.scan.handle import Scan as Scan
    from ._objects.counter import Counter as Counter
    from ._objects.explain import ExplainedPart as ExplainedPart
    from ._objects.explain import Explanation as Explanation
    from ._objects.log import AppendLog as AppendLog
    from ._objects.mappings import SharedDict as SharedDict
    from ._objects.mappings import SharedSet as SharedSet
    from ._objects.sequences import SharedList as SharedList
    from ._objects.sequences import SharedText as SharedText
    from ._observe.memory import Memory as Memory
    from ._observe.memory import ProcessMemory as ProcessMemory
    from ._observe.memory import memory as memory
    from ._progress.asked import Bar as Bar
    from ._system.cpus import cpu_count as cpu_count
    from .data import SegmentInfo as SegmentInfo
    from .data import append_log as append_log
    from .data import empty as empty
    from .data import explain as explain
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
    from .errors import HostLost as HostLost
    from .errors import HostMismatch as HostMismatch
    from .errors import InitializerFailed as InitializerFailed
    from .errors import InsecureClusterWarning as InsecureClusterWarning
    from .errors import LoadWarning as LoadWarning
    from .errors import MissingLibrary as MissingLibrary
    from .errors import NoHosts as NoHosts
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

    __version__: str

_HOMES = {
    "data": [
        "SegmentInfo", "append_log", "empty", "explain", "freeze", "full",
        "is_shared", "load", "private", "register", "segments", "share", "zeros",
    ],
    "errors": [
        "BadFile", "FileTruncated", "HostLost", "HostMismatch", "InitializerFailed",
        "InsecureClusterWarning", "LoadWarning", "MissingLibrary",
        "NoHosts", "NotEnoughMemory", "NotPicklable", "NotShared", "OnecopyError", "PickledWarning",
        "PoolClosed", "RemoteError", "ResultNotPicklable", "SlowImportWarning", "TaskTimeout",
        "WorkerDied", "WorkerOutOfMemory",
    ],
    "executor": ["ProcessPoolExecutor"],
    "pool": ["AsyncResult", "Pool"],
    "_cluster.carriers.loopback": ["Loopback", "loopback"],
    "_cluster.host": ["HostStatus"],
    "_engine.failed": ["Failed"],
    "_files.scan.door": ["scan"],
    "_files.scan.handle": ["Scan"],
    "_objects.counter": ["Counter"],
    "_objects.explain": ["ExplainedPart", "Explanation"],
    "_objects.log": ["AppendLog"],
    "_objects.mappings": ["SharedDict", "SharedSet"],
    "_objects.sequences": ["SharedList", "SharedText"],
    "_observe.memory": ["Memory", "ProcessMemory", "memory"],
    "_progress.asked": ["Bar"],
    "_system.cpus": ["cpu_count"],
}  # fmt: skip

# ``joblib`` is not in it: a star import would fail if joblib is not installed.
__all__ = [
    "AppendLog",
    "AsyncResult",
    "BadFile",
    "Bar",
    "Counter",
    "ExplainedPart",
    "Explanation",
    "Failed",
    "FileTruncated",
    "HostLost",
    "HostMismatch",
    "HostStatus",
    "InitializerFailed",
    "InsecureClusterWarning",
    "LoadWarning",
    "Loopback",
    "Memory",
    "MissingLibrary",
    "NoHosts",
    "NotEnoughMemory",
    "NotPicklable",
    "NotShared",
    "OnecopyError",
    "PickledWarning",
    "Pool",
    "PoolClosed",
    "ProcessMemory",
    "ProcessPoolExecutor",
    "RemoteError",
    "ResultNotPicklable",
    "Scan",
    "SegmentInfo",
    "SharedDict",
    "SharedList",
    "SharedSet",
    "SharedText",
    "SlowImportWarning",
    "TaskTimeout",
    "WorkerDied",
    "WorkerOutOfMemory",
    "append_log",
    "cpu_count",
    "empty",
    "errors",
    "explain",
    "freeze",
    "full",
    "is_shared",
    "load",
    "loopback",
    "memory",
    "private",
    "register",
    "scan",
    "segments",
    "share",
    "zeros",
]


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in ("errors", "joblib"):  # the latter raises ImportError without joblib
            return import_module(f".{name}", __name__)
        if name == "__version__":
            return _version()
        for home, names in _HOMES.items():
            if name in names:
                module = import_module(f".{home}", __name__)
                value = globals()[name] = getattr(module, name)
                # The names that annotations use, which are looked up here.
                globals().update(
                    {each: vars(module)[each] for each in names if each in vars(module)}
                )
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    """Return the installed version, which is in the package's metadata alone."""
    from importlib import metadata

    try:
        return metadata.version(__name__)
    except metadata.PackageNotFoundError:  # a source tree on the path
        return "unknown"


def __dir__() -> list[str]:
    loaded = ["joblib"] if "joblib" in globals() else []
    return sorted([*__all__, *loaded, "__all__", "__doc__", "__version__"])
