"""From ``Pool(cluster=...)`` to an engine: checks, defaults, and the choice of the carrier."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from .._engine.options import Options
from .._launch import resolve
from ..errors import MissingLibrary
from .carriers.loopback import Loopback
from .engine import ClusterEngine, ClusterOptions
from .interface import Carrier

FILES = ("auto", "ship", "same")


def carrier_of(cluster: Any) -> Carrier:
    """Return what reaches the hosts of a cluster. Raises TypeError if it is none."""
    if isinstance(cluster, Loopback):
        return cluster.carrier()
    if any(kind.__module__ == "distributed.client" for kind in type(cluster).__mro__):
        from .carriers.dask import DaskCarrier  # who has such a client has imported distributed

        return DaskCarrier(cluster)
    if cluster == "ray" or getattr(cluster, "__name__", None) == "ray":
        return _ray()
    raise TypeError(
        'cluster is a distributed.Client, "ray" or the module ray, or what onecopy.loopback returns, '
        f"not a {type(cluster).__name__}"
    )


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

    def engine(self, options: Options, carrier: Carrier | None = None) -> ClusterEngine:
        """Return a running engine; hosts are reached in the background. Raises as ``Pool`` does."""
        carrier = carrier or self.carrier()
        return ClusterEngine(options._replace(workers=carrier.workers), self._options, carrier)
