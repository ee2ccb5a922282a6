"""A list of the main module: the parent appends to it, then two workers do. Who sees what?

A module is a variable of the interpreter that imported it. Under ``spawn`` and ``forkserver`` each
worker imports the main module again, so its body runs again there, and the worker starts with the
list in the source; a forked worker starts with a copy of its parent's. In no case does an update
come back. The programs are ``programs/module_state.py`` and, for onecopy,
``programs/module_state_onecopy.py``.
"""

from __future__ import annotations

import json
from typing import Any

from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say
from ._frame.programs import run_program

QUESTION = "Do workers see, and change, a list of the main module?"
ADVICE = (
    "Name the start method, and pass what workers need. With onecopy globals that a task "
    "reads follow it, and arrays of oc.zeros carry results back."
)
METHODS = ("fork", "forkserver", "spawn")
PROGRAMS = {"multiprocessing": "module_state", "onecopy": "module_state_onecopy"}
WORKERS = 2


def needs(size: Size) -> Needs:
    """Four small processes at a time."""
    return Needs(memory=300_000_000, seconds=3)


def run(size: Size) -> Data:
    """Run the lesson; both sizes are the same, since nothing can be larger."""
    return {
        way: {method: one(program, method) for method in METHODS}
        for way, program in PROGRAMS.items()
    }


def one(program: str, method: str) -> dict[str, Any]:
    """Run one program under one start method; return its looks at the list, sorted by process."""
    lines = [json.loads(line) for line in run_program(program, method).stdout.splitlines()]
    bodies = [line for line in lines if "body" in line]
    looks = [line for line in lines if "who" in line]
    say(f"{program}.py {method}: runs of its body: {len(bodies)}")
    looks[1:-1] = sorted(looks[1:-1], key=lambda look: str(look["who"]))
    counts = next((line["counts"] for line in lines if "counts" in line), None)
    return {"bodies": len(bodies), "looks": looks, "counts": counts}


def table(data: Data) -> Table:
    """Return a row for each look at the list."""
    rows: list[tuple[str, ...]] = []
    for way in PROGRAMS:
        for method, found in data[way].items():
            for at, look in enumerate(found["looks"]):
                rows.append(
                    (
                        method if at == 0 else "",
                        str(found["bodies"]) if at == 0 else "",
                        look["who"].replace("PoolWorker", ""),
                        f"{look['id'] & 0xFFFFFFFF:08x}",
                        " ".join(look["before"]),
                        " ".join(look["after"]),
                    )
                )
    first = sum(len(found["looks"]) for found in data["multiprocessing"].values())
    return Table(
        head=("method", "runs", "who", "id", "before", "after"),
        rows=rows,
        left=(0, 2, 4, 5),
        strong=range(first, len(rows)),
        note="Runs: how often the main module was run, over all processes. Ids: their last "
        "eight digits. The last rows are onecopy's: a task takes along the globals that it names.",
    )


def picture(data: Data) -> None:
    """Return nothing: the table shows it."""


def claims(data: Data) -> list[Claim]:
    """Return the claims: how often the body ran, which process sees the parent's item, and what
    comes back."""
    found = []
    for method, each in data["multiprocessing"].items():
        parent, *workers, last = each["looks"]
        bodies = each["bodies"]
        if method == "fork":
            found.append(
                Claim(
                    f"Under fork the module's body ran {bodies} time.",
                    bodies == 1,
                    True,
                    expected="once",
                )
            )
        else:
            # A forkserver runs it once for all workers from the bug-fix releases of autumn 2025
            # on (cpython#126631); before, each worker does.
            expected = (1 + WORKERS,) if method == "spawn" else (2, 1 + WORKERS)
            sentence = (
                f"Under {method} the module's body ran {bodies} times, for {WORKERS} workers."
            )
            found.append(
                Claim(
                    sentence,
                    bodies in expected,
                    certain=True,
                    expected=f"{' or '.join(map(str, expected))} times",
                )
            )
        sees = sum("parent" in worker["before"] for worker in workers)
        found.append(
            Claim(
                f"Under {method} {sees} of {len(workers)} workers see what the parent appended "
                "before it made the pool.",
                sees == (len(workers) if method == "fork" else 0),
                certain=True,
                expected="all" if method == "fork" else "none",
            )
        )
        if method == "fork":
            same = sum(worker["id"] == parent["id"] for worker in workers)
            found.append(
                Claim(
                    f"Under fork {same} of {len(workers)} lists have the parent's id.",
                    same == len(workers),
                    True,
                    expected="all",
                )
            )
        back = last["after"].count("worker")
        sentence = f"Under {method} {back} of {len(workers)} words of the workers come back."
        found.append(Claim(sentence, back == 0, certain=True, expected="none"))
    found += _claims_of_onecopy(data["onecopy"])
    return found


def _claims_of_onecopy(data: dict[str, Any]) -> list[Claim]:
    looks = [look for each in data.values() for look in each["looks"][1:-1]]
    sees = sum("parent" in look["before"] for look in looks)
    bodies = [each["bodies"] for each in data.values()]
    counts = [each["counts"] for each in data.values()]
    return [
        Claim(
            f"With onecopy the body ran once under {bodies.count(1)} of {len(bodies)} methods.",
            bodies.count(1) == len(bodies),
            certain=True,
            expected="all",
        ),
        Claim(
            f"With onecopy {sees} of {len(looks)} tasks see what the parent appended before.",
            sees == len(looks),
            certain=True,
            expected="all",
        ),
        Claim(
            "With onecopy what every worker wrote into a shared array has come back under "
            f"{counts.count([1] * WORKERS)} of {len(counts)} methods.",
            counts.count([1] * WORKERS) == len(counts),
            certain=True,
            expected="all",
        ),
    ]
