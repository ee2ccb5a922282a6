"""The run as JSON: the machine, every sample, every verdict."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from .face import Size
from .ratios import Verdict, spread
from .runner import Outcome

PACKAGES = ("onecopy", "numpy", "cloudpickle", "joblib", "mpire", "pyarrow")


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except FileNotFoundError:
        pass
    return platform.processor()


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Return the machine that the figures were measured on, and its load at the time.

    Args:
        packages: their versions are included, besides those of ``PACKAGES``.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions((*PACKAGES, *packages)),
        "load": os.getloadavg()[0],
    }


def verdict(judged: Verdict) -> dict[str, Any]:
    """A bar and what it came to."""
    bar, found = judged.bar, judged.measured
    return {
        "bar": bar.text,
        "sense": bar.sense.value,
        "limit": bar.limit,
        "measured": None if found is None else found.median,
        "least": None if found is None else found.low,
        "greatest": None if found is None else found.high,
        "ours": judged.ours,
        "theirs": judged.theirs,
        "met": judged.met,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    figure = outcome.figure
    return {
        "what": figure.what,
        "unit": figure.unit,
        "for_full_size": figure.sized,
        "medians": {name: spread(values).median for name, values in outcome.samples.items()},
        "samples": outcome.samples,
        "verdicts": [verdict(one) for one in outcome.verdicts],
        "notes": outcome.notes,
    }


def document(facts: dict[str, Any], size: Size, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The whole run."""
    return {
        "machine": facts,
        "records": size.records,
        "figures": {outcome.figure.name: _outcome(outcome) for outcome in outcomes},
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes it, readable and in a stable order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
