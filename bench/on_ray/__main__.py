"""The command: ``python -m bench.on_ray``, or ``make bench-ray ARGS="..."``."""

from __future__ import annotations

import sys

from .. import command
from . import NAMES, figure

SUITE = command.Suite(
    "bench.on_ray",
    "a pool on a Ray cluster, beside Ray's own tasks and pool",
    NAMES,
    figure,
    "ray.json",
    ("ray",),
)


if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:], SUITE))
