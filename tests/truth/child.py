"""Runs one program and says what its report says: ``python -m tests.truth.child NAME [cured]``.

The answer is one line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

import onecopy as oc
from onecopy._report import gather
from onecopy._report.advice import advice, verdict
from tests.truth.shapes import PROGRAMS


class Ending(oc.Pool):
    """A pool whose workers end by themselves, so that their CPU time is known to the system."""

    def __exit__(self, *error: Any) -> None:
        self.close()
        self.join()
        super().__exit__(*error)


def main(name: str, *, cured: bool) -> dict[str, Any]:
    program = PROGRAMS[name]
    if cured:
        for variable, _ in program.environment:
            os.environ.pop(variable, None)
    pools: list[oc.Pool] = []

    def make(*args: Any, **options: Any) -> oc.Pool:
        # As if the program were the main module: that its workers import it is no fault.
        options["preload"] = [*options.get("preload", ()), "tests.truth.shapes"]
        pools.append(Ending(*args, **options))
        return pools[-1]

    program.body(make, cured)
    run = gather.run(pools[-1]._engine, look=False)
    parts = run.accounting()
    # The start is no part of what cures change, and is as long as others let it be. Of workers that
    # are replaced only the first one's is left out.
    startup = (parts.startup + parts.initializing) / parts.workers
    if program.fault == "replaced":
        startup = (int(run.workers["ready"].min()) - run.began) / 1e9
    # The main process does the same with and without a cure, and uses several times as much CPU time,
    # which varies more than some cures save: it is left out.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "advice": [
            {
                **{"kind": each.kind, "title": each.title, "line": each.line},
                **{"saves": each.saves, "cpu": each.cpu, "memory": each.nbytes},
                **{"evidence": each.evidence, "change": each.change, "gain": each.gain},
            }
            for each in advice(run)
        ],
        "verdict": verdict(run),
        "wall": parts.wall - startup,
        "cpu": used.ru_utime + used.ru_stime,
        "memory": pools[-1].stats().peak_pss,
        "other": parts.other / parts.total,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], cured=sys.argv[2:] == ["cured"])))
