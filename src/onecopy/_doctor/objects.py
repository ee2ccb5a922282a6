"""A diagnosis as one JSON object."""

from __future__ import annotations

import json
import math
from typing import Any

from .._report.model import Run
from .diagnosis import Diagnosis
from .finding import Finding
from .pools import Pool


def dump(found: Diagnosis) -> str:
    """The object as text."""
    facts = found.facts
    plain = {
        "version": 1,
        "command": list(facts.command),
        "status": facts.status,
        "wall": facts.wall,
        "cpus": facts.cpus,
        "program_cpu": facts.program_cpu,
        "doctor_cpu": facts.doctor_cpu,
        "foreign": facts.foreign,
        "processes": len(found.history.processes),
        "records": sum(len(process.rows) for process in found.history.processes),
        "findings": [_finding(each) for each in found.findings],
        "pools": [_pool(each) for each in found.pools],
        "own": [_own(each) for each in found.own],
        "notes": found.notes,
    }
    return json.dumps(plain, indent=1, allow_nan=False)


def _finding(each: Finding) -> dict[str, Any]:
    return {
        "id": each.id,
        "level": each.level,
        "title": each.title,
        "evidence": each.evidence,
        "file": each.where.file,
        "line": each.where.line,
        "change": [line._asdict() for line in each.change],
        "advice": each.advice,
        "saving": each.saving,
        "of": each.of,
        "memory": each.memory,
        "gain": each.gain,
        "figures": {name: _number(value) for name, value in each.figures.items()},
        "confidence": each.confidence,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _own(run: Run) -> dict[str, Any]:
    """A pool of onecopy's own."""
    return {
        "method": run.method,
        "workers": run.wanted,
        "tasks": run.tasks,
        "wall": run.wall,
        "parts": {name: _number(value) for name, value in run.accounting()._asdict().items()},
    }


def _pool(pool: Pool) -> dict[str, Any]:
    return {
        "kind": pool.kind,
        "file": pool.site.file,
        "line": pool.site.line,
        "method": pool.method,
        "workers": pool.lanes,
        "tasks": pool.count,
        "wall": pool.wall,
        "parts": {name: _number(value) for name, value in vars(pool.parts).items()},
        "sender": pool.sender,
        "receiver": pool.receiving,
        "bytes": pool.bytes,
        "result_bytes": pool.result_bytes,
        "overlap": pool.overlap,
        "cpu_bound": pool.cpu_bound,
    }
