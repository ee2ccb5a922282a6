"""Runs that were never run: made up from a seed, true to the arithmetic of real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onecopy._observe.columns import MEMORY, OWNER, SPAN, TOTAL, WORKER, dtype_of
from onecopy._observe.failures import Failed
from onecopy._report.model import Run, Table

_START = 1_000_000_000_000


def made_up(
    tasks: int = 200,
    workers: int = 4,
    *,
    seed: int = 0,
    mean_ms: float = 5.0,
    functions: tuple[str, ...] = ("pipeline.parse", "pipeline.fit"),
    lost: int = 0,
) -> Run:
    """A run of `tasks` tasks dealt to `workers` workers in turn, back to back."""
    rng = np.random.default_rng(seed)
    spans = np.zeros(tasks, dtype_of(SPAN))
    spans["task"] = np.arange(1, tasks + 1)
    spans["function"] = rng.integers(0, len(functions), tasks)
    spans["worker"] = np.arange(tasks) % workers + 1
    spans["pid"] = spans["worker"] + 4000
    spans["submitted"] = _START
    compute = rng.lognormal(np.log(mean_ms * 1e6), 0.7, tasks).astype("i8")
    lives = np.zeros(workers, dtype_of(WORKER))
    for number in range(1, workers + 1):
        mine = spans["worker"] == number
        count = int(mine.sum())
        parts = {
            "waited": rng.integers(10_000, 60_000, count),
            "decode": rng.integers(5_000, 80_000, count),
            "compute": compute[mine],
            "encode": rng.integers(3_000, 40_000, count),
            "blocked": rng.integers(1_000, 9_000, count),
        }
        ready = _START + 20_000_000 + number * 3_000_000
        ends = ready + np.cumsum(sum(parts.values()))
        begins = ends - sum(parts.values())
        spans["waited"][mine] = parts["waited"]
        spans["received"][mine] = begins + parts["waited"]
        spans["sent"][mine] = spans["received"][mine] - 30_000
        spans["decoded"][mine] = spans["received"][mine] + parts["decode"]
        spans["started"][mine] = spans["decoded"][mine]
        spans["finished"][mine] = spans["started"][mine] + parts["compute"]
        spans["encoded"][mine] = spans["finished"][mine] + parts["encode"]
        spans["blocked"][mine] = parts["blocked"]
        spans["returned"][mine] = ends + 25_000
        lives[number - 1] = (
            number,
            4000 + number,
            _START,
            ready,
            0,
            ends[-1] if count else ready,
            0,
            0,
        )
    spans["cpu"] = compute * 9 // 10
    spans["site"] = spans["function"]
    spans["minor_faults"] = rng.integers(0, 500, tasks)
    spans["args_moved"] = rng.integers(100, 5_000, tasks)
    spans["args_shared"] = 8_000_000
    spans["result_moved"] = rng.integers(100, 200_000, tasks)
    spans["state"][rng.choice(tasks, lost, replace=False)] = 2
    spans = spans[np.argsort(spans["returned"], kind="stable")]
    ended = int(spans["returned"].max()) if tasks else _START + 10**9
    return Run(
        spans=spans,
        totals=_totals(spans, len(functions), workers),
        functions=functions,
        sites=tuple(
            ("submit", name, "/home/me/pipeline.py", 10 + at, 0)
            for at, name in enumerate(functions)
        ),
        failures=(Failed(0, "WorkerDied", "worker 4001 was killed", 3, lost),) * (lost > 0),
        workers=lives,
        memory=_memory(rng, workers, ended),
        began=_START,
        ended=ended,
        clock=1_790_000_000.0,
        method="forkserver",
        wanted=workers,
        cpus=workers,
        owner_cpu=tasks * 30e-6,
        owner_pid=4000,
        machine={"python": "3.11.7", "system": "Linux 6.18", "memory": "24 GB"},
        facts={"segments": 3, "segment_bytes": 1.2e9, "saved_bytes": 3.6e9},
    )


def _totals(spans: Table, functions: int, workers: int) -> Table:
    totals = np.zeros(functions * workers, dtype_of(TOTAL))
    for at in range(len(totals)):
        function, worker = at // workers, at % workers + 1
        some = spans[(spans["function"] == function) & (spans["worker"] == worker)]
        row = totals[at : at + 1]
        row["function"], row["site"], row["worker"] = function, function, worker
        row["tasks"] = len(some)
        row["items"] = np.maximum(1, some["stop"] - some["start"]).sum()
        row["lost"] = (some["state"] == 2).sum()
        row["failed"] = (some["state"] == 1).sum()
        row["queued"] = (some["sent"] - some["submitted"]).sum()
        row["decode"] = (some["started"] - some["received"]).sum()
        row["compute"] = (some["finished"] - some["started"]).sum()
        row["running"] = some["cpu"].sum()
        row["encode"] = (some["encoded"] - some["finished"]).sum()
        row["deliver"] = (some["returned"] - some["encoded"]).sum()
        for name in ("waited", "blocked", "cpu", "args_moved", "args_shared"):
            row[name] = some[name].sum()
        for name in ("result_moved", "result_shared"):
            row[name] = some[name].sum()
    return totals


def _memory(rng: np.random.Generator, workers: int, ended: int) -> Table:
    times = np.linspace(_START, ended, 60).astype("i8")
    table = np.zeros(len(times) * (workers + 1), dtype_of(MEMORY))
    table["time"] = np.repeat(times, workers + 1)
    table["worker"] = np.tile([OWNER, *range(1, workers + 1)], len(times))
    table["pid"] = np.where(table["worker"] == OWNER, 4000, 4000 + table["worker"])
    table["uss"] = rng.integers(20_000_000, 60_000_000, len(table))
    table["private_dirty"] = table["uss"] * 9 // 10
    table["shared"] = 1_200_000_000
    table["pss"] = table["uss"] + table["shared"] // (workers + 1)
    table["rss"] = table["uss"] + table["shared"]
    return table


def crowded() -> Run:
    """A run of eight workers that want two CPUs, and have them for a quarter of the time."""
    run = made_up(2000, 8)
    spans, totals = run.spans.copy(), run.totals.copy()
    for table in (spans, totals):
        table["cpu"] = table["cpu"] // 4
    spans["wanted"] = 1 << 40
    totals["running"] = totals["compute"] // 4
    totals["wanting"] = totals["compute"] - totals["running"]
    return replace(run, spans=spans, totals=totals, cpus=2)
