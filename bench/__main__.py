"""The command: ``python -m bench``, or ``make bench ARGS="..."``. See ``bench.command``."""

from __future__ import annotations

import sys

from . import command
from .figures import NAMES, figure

SUITE = command.Suite("bench", "onecopy beside its peers", NAMES, figure, "results.json")


if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:], SUITE))
