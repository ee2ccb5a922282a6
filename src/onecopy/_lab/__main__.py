"""``python -m onecopy._lab NAME``: one experiment in this interpreter, its result as JSON.

This is what ``onecopy lab`` starts for each experiment. Run it by hand to inspect an experiment
under a debugger or a profiler: the result goes to standard output, after the processes' own output,
unless ``--out`` names a file.
"""

from __future__ import annotations

import argparse
import json
import sys

from ._frame.finding import experiment


def main(arguments: list[str]) -> None:
    """Run the experiment that ``arguments`` name."""
    parser = argparse.ArgumentParser(prog="python -m onecopy._lab")
    parser.add_argument("name")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--out")
    asked = parser.parse_args(arguments)
    text = json.dumps(experiment(asked.name).run(asked.size), allow_nan=False)
    if asked.out is None:
        print(text)
        return
    with open(asked.out, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
