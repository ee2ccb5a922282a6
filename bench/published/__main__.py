"""The command: ``python -m bench.published``, or ``make bench-published ARGS="..."``."""

from __future__ import annotations

import sys

from .. import command
from . import NAMES, figure

SUITE = command.Suite(
    "bench.published",
    "benchmarks that others have published",
    NAMES,
    figure,
    "published.json",
    ("dask", "distributed", "ray", "scipy"),
)


if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:], SUITE))
