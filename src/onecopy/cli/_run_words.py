"""A request of ``onecopy run``, its outcome, and the text about it: facts for people, and
an object for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from . import _show, _targets

if TYPE_CHECKING:
    from .._cluster.host import HostStatus
    from .._observe.sampler import TreeMemory
    from ..pool import PoolStats


class Method(StrEnum):
    """The start methods; ``auto`` is ``forkserver`` here."""

    AUTO = "auto"
    FORK = "fork"
    FORKSERVER = "forkserver"
    SPAWN = "spawn"
    THREAD = "thread"


@dataclass(frozen=True)
class Request:
    """The request on the command line; the attributes are its options."""

    function: _targets.Target
    file: str
    field: str | None
    source: str | None
    workers: int | None
    method: Method
    cluster: str | None
    block: int | None
    reduce: str | _targets.Target | None
    out: str | None
    report: str | None
    progress: bool
    json: bool
    timeout: float | None
    memory_limit: str | None
    retries: int
    reading: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The result of a run, and its cost."""

    result: Any
    seconds: float
    workers: int
    method: str
    rows: int
    data_bytes: int
    stats: PoolStats
    peak: TreeMemory | None
    hosts: tuple[HostStatus, ...] = ()


def facts(request: Request, outcome: Outcome) -> str:
    """Return time, workers and memory, a line each."""
    lines = [
        f"time     {outcome.seconds:.3g} s for {_show.count(outcome.rows, 'row')}",
        f"workers  {outcome.workers} by {outcome.method}, {_show.count(outcome.stats.tasks, 'task')}, "
        f"{_show.size(outcome.stats.bytes_sent + outcome.stats.bytes_received)} through pipes",
        f"memory   {_memory(outcome)}",
    ]
    if outcome.hosts:
        lines.insert(2, f"hosts    {_hosts(outcome.hosts)}")
    if request.out is not None:
        lines.insert(0, f"saved    {request.out}")
    return "\n".join(lines)


def _hosts(hosts: tuple[HostStatus, ...]) -> str:
    said = [f"{len(hosts)}, sent {_show.size(sum(host.shipped for host in hosts))} of the data"]
    said += [f"{host.name} was lost: {host.why}" for host in hosts if host.why]
    return "; ".join(said)


def _memory(outcome: Outcome) -> str:
    data = f"the data's {_show.size(outcome.data_bytes)}"
    peak = outcome.peak
    if peak is None:
        return f"cannot be read on this system; {data}"
    # With little data the interpreters dominate, and a ratio has no meaning.
    times = f" = {peak.pss / outcome.data_bytes:.2f} x" if outcome.data_bytes > 10**8 else ","
    return f"{_show.size(peak.pss)} at the peak, PSS of {_show.count(peak.processes, 'process')}{times} {data}"


def as_object(request: Request, outcome: Outcome) -> dict[str, Any]:
    """Return the object that ``--json`` prints, before its result is made JSON; sizes in bytes."""
    peak, reduce = outcome.peak, request.reduce
    return {
        "function": request.function.spec,
        "file": request.file,
        "field": request.field,
        "reduce": reduce.spec if isinstance(reduce, _targets.Target) else reduce,
        "out": request.out,
        "result": outcome.result if request.out is None else None,
        "seconds": outcome.seconds,
        "workers": outcome.workers,
        "method": outcome.method,
        "rows": outcome.rows,
        "tasks": outcome.stats.tasks,
        "data_bytes": outcome.data_bytes,
        "peak_pss_bytes": peak.pss if peak else None,
        "peak_uss_bytes": peak.uss if peak else None,
        "peak_processes": peak.processes if peak else None,
        "hosts": [asdict(host) for host in outcome.hosts],
        "bytes_through_pipes": outcome.stats.bytes_sent + outcome.stats.bytes_received,
    }
