"""From ``Pool(cluster=...)`` to an engine: checks, defaults, and the choice of the carrier."""

from __future__ import annotations

import os
import re
from numbers import Integral
from typing import Any, Protocol

from .._engine.options import Options
from .._launch import resolve
from ..errors import MissingLibrary, NoHosts, kind_of
from .carriers.loopback import Loopback
from .engine import ClusterEngine, ClusterOptions
from .interface import Carrier


class DaskCluster(Protocol):
    """A Dask cluster, such as LocalCluster and SLURMCluster."""

    @property
    def scheduler_address(self) -> str: ...


FILES = ("auto", "ship", "same")
_ADDRESS = re.compile(r"(\w+://)?\S+:\d+")


def carrier_of(cluster: Any) -> Carrier:
    """Return what reaches the hosts of a cluster.

    Raises:
        TypeError: it is none.
        ValueError: a text is neither an address nor the path of a scheduler file.
        MissingLibrary: the library that reaches it is not installed.
        NoHosts: no scheduler answers at the address.
    """
    if isinstance(cluster, Loopback):
        return cluster.carrier()
    if cluster == "ray" or getattr(cluster, "__name__", None) == "ray":
        return _ray()
    if isinstance(cluster, str) or _is_of("distributed.deploy.cluster", cluster):
        client = connect(cluster)
        try:
            return _dask(client, owned=True)
        except BaseException:
            client.close()
            raise
    if _is_of("distributed.client", cluster):
        return _dask(cluster, owned=False)
    raise TypeError(
        "cluster is a distributed.Client, the address of a Dask scheduler, the path of its scheduler "
        'file, a Dask cluster such as LocalCluster, "ray" or the module ray, or what onecopy.loopback '
        f"returns, not {kind_of(cluster)}"
    )


def workers_of(cluster: Any) -> int:
    """Return how many workers the hosts of a cluster have now. Raises as ``carrier_of``."""
    carrier = carrier_of(cluster)
    carrier.close()
    return carrier.workers


def _is_of(module: str, value: Any) -> bool:
    """Return True if a class of this module is among the value's: without an import of it."""
    return any(kind.__module__ == module for kind in type(value).__mro__)


def _dask(client: Any, *, owned: bool) -> Carrier:
    from .carriers.dask import DaskCarrier  # who has such a client has imported distributed

    return DaskCarrier(client, owned=owned)


def is_place(text: str) -> bool:
    """Return True for an address, and for the path of a file that is there."""
    return _ADDRESS.fullmatch(text) is not None or os.path.isfile(text)


def connect(place: Any) -> Any:
    """Return a new ``distributed.Client``, for the caller to close.

    Args:
        place: the address of a Dask scheduler, the path of its scheduler file, or a Dask cluster.

    Blocks until the scheduler has answered; Dask's own time limit is 30 s. Raises as
    ``carrier_of``.
    """
    if isinstance(place, str) and not is_place(place):
        raise ValueError(
            f"cluster={place!r} is no address such as tcp://10.0.0.1:8786, and no scheduler file"
        )
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        if error.name != "distributed":
            raise
        raise MissingLibrary("cluster= needs Dask: pip install distributed") from error
    is_file = isinstance(place, str) and os.path.isfile(place)
    name = "scheduler_file" if is_file else "address"
    try:
        return Client(**{name: place}, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError, TypeError) as error:  # as Dask raises them
        said = str(error) or type(error).__name__
        raise NoHosts(f"no Dask scheduler can be reached at {place}: {said}") from error


def _ray() -> Carrier:
    try:
        from .carriers.ray import RayCarrier
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingLibrary('cluster="ray" needs Ray: pip install ray') from error
    return RayCarrier()


def method_of(method: str) -> str:
    """Return the start method on the hosts. Raises ValueError for one that hosts do not have."""
    if method in ("fork", "thread"):
        raise ValueError(
            f"method={method!r} uses the state of this process, which no other host has: "
            'use "forkserver" or "spawn" with cluster='
        )
    resolved = resolve(method)
    return resolved if resolved == "spawn" else "forkserver"


def refuse(*, workers: object, main: str, name: str = "workers") -> None:
    """Raise an error for options that a pool on several hosts does not have.

    Args:
        workers: the number of workers that was given, or None.
        main: see ``Options``.
        name: the door's name for ``workers``.
    """
    if workers is not None:
        raise TypeError(f"with cluster= each host has its own number of workers: leave {name} out")
    if main == "import":
        raise ValueError(
            'main="import" needs the file on each host: with cluster= the main module goes by value'
        )


def cluster_options(reruns: Any, files: Any, hosts_timeout: Any) -> ClusterOptions:
    """Return the options that only such a pool has.

    Raises:
        TypeError, ValueError: one of them is invalid.
    """
    if not isinstance(reruns, Integral) or isinstance(reruns, bool):
        raise TypeError(f"reruns is a whole number, not {reruns!r}")
    if reruns < 0:
        raise ValueError(f"reruns is at least 0, not {reruns}")
    if files not in FILES:
        raise ValueError(f"files is one of {', '.join(FILES)}, not {files!r}")
    if not isinstance(hosts_timeout, int | float) or isinstance(hosts_timeout, bool):
        raise TypeError(f"hosts_timeout is a number of seconds, not {hosts_timeout!r}")
    if not hosts_timeout > 0:
        raise ValueError(f"hosts_timeout is above 0 seconds, not {hosts_timeout}")
    return ClusterOptions(int(reruns), str(files), float(hosts_timeout))


class Hosts:
    """The hosts that a door was given, and how it wants to use them.

    Args:
        cluster: see ``carrier_of``.
        reruns, files, hosts_timeout: see ``ClusterOptions``.

    Raises:
        TypeError, ValueError: one of them is invalid.
    """

    def __init__(self, cluster: Any, reruns: Any, files: Any, hosts_timeout: Any) -> None:
        self._cluster = cluster
        self._options = cluster_options(reruns, files, hosts_timeout)

    def carrier(self) -> Carrier:
        """Return what reaches the hosts that are there now. Raises as ``Pool`` does."""
        return carrier_of(self._cluster)

    def workers(self) -> int:
        """Return how many workers the hosts have now. Raises as ``Pool`` does."""
        return workers_of(self._cluster)

    def engine(self, options: Options, carrier: Carrier | None = None) -> ClusterEngine:
        """Return a running engine; hosts are reached in the background. Raises as ``Pool`` does."""
        carrier = carrier or self.carrier()
        return ClusterEngine(options._replace(workers=carrier.workers), self._options, carrier)
