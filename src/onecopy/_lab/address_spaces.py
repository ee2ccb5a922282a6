"""Parent and child append to the same list. Is it the same list?

Under ``fork`` the child starts as a copy of its parent, so the list is there, at the same address,
with the parent's items. It is still a different list, since an address has a meaning only within
one process. Under ``spawn`` and ``forkserver`` the child imports the module again and starts with
the list in the source.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import Any

from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "Is a list that parent and child append to one list?"
ADVICE = (
    "Return what a worker has changed, or write it into an array of oc.zeros: each process "
    "has lists of its own."
)
METHODS = ("fork", "forkserver", "spawn")

words = ["source"]


def needs(size: Size) -> Needs:
    """Three small processes."""
    return Needs(memory=200_000_000, seconds=2)


# The lesson.


def facts(who: str) -> dict[str, Any]:
    """Return the facts that this process sees."""
    say(f"{who}: {id(words):#x} {' '.join(words)}")
    return {"who": who, "pid": os.getpid(), "id": id(words), "contents": list(words)}


def child(answer: Connection) -> None:
    """Run the other process."""
    before = facts("child first")
    words.append("child")
    answer.send([before, facts("child last")])


def parent_and_child(method: str) -> list[dict[str, Any]]:
    """Append in the parent, start the child, and look again when it has ended."""
    words[:] = ["source", "parent"]
    seen = [facts("parent first")]
    context: Any = multiprocessing.get_context(method)
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(send,))
    with receive, send:
        process.start()
        seen += receive.recv()
        process.join()
    seen.append(facts("parent last"))
    return seen


# The cure: memory that is the same in every process, and says so.


def mark(shared: Any) -> int:
    """Write to an array that the owner made; the task of a worker of onecopy."""
    shared[1] = 2
    say(f"shared = {shared.tolist()}", name="worker of onecopy")
    return os.getpid()


def owner_and_worker(method: Any) -> dict[str, Any]:
    """Write 1 in the owner and 2 in a worker, into one array."""
    import onecopy as oc

    shared = oc.zeros(2, "i8")
    shared[0] = 1
    with oc.Pool(1, method=method) as pool:
        worker = pool.submit(mark, shared).result()
    say(f"shared = {shared.tolist()}")
    return {"pid": os.getpid(), "worker": worker, "contents": shared.tolist()}


def run(size: Size) -> Data:
    """Run the lesson; both sizes are the same, since nothing can be larger."""
    return {
        "lists": {method: parent_and_child(method) for method in METHODS},
        "onecopy": {method: owner_and_worker(method) for method in METHODS},
    }


def table(data: Data) -> Table:
    """Return a row for each look at the list."""
    rows = [
        (method, each["who"], str(each["pid"]), f"{each['id']:#x}", ", ".join(each["contents"]))
        for method, seen in data["lists"].items()
        for each in seen
    ]
    first = len(rows)
    rows += [
        (method, "onecopy last", str(each["pid"]), "one segment", str(each["contents"]))
        for method, each in data["onecopy"].items()
    ]
    return Table(
        head=("method", "who", "pid", "id", "contents"),
        rows=rows,
        left=(0, 1, 4),
        strong=range(first, len(rows)),
        note="onecopy: an array of oc.zeros(2); the owner writes 1 into it, a worker 2.",
    )


def picture(data: Data) -> None:
    """Return nothing: the table shows it."""


def claims(data: Data) -> list[Claim]:
    """Return the claims about addresses and contents."""
    found = [claim for method in METHODS for claim in _claims(method, data["lists"][method])]
    ours = list(data["onecopy"].values())
    seen = sum(each["contents"] == [1, 2] and each["worker"] != each["pid"] for each in ours)
    sentence = (
        f"What a worker writes into an array of onecopy its owner sees, under {seen} of "
        f"{len(ours)} start methods."
    )
    return [*found, Claim(sentence, seen == len(ours), certain=True, expected="all")]


def _claims(method: str, seen: list[dict[str, Any]]) -> list[Claim]:
    first, begins, ends, last = seen
    found = []
    if method == "fork":
        found += [
            Claim(
                f"Under fork the child's list is at {begins['id']:#x}, the parent's at {first['id']:#x}.",
                begins["id"] == first["id"] and begins["pid"] != first["pid"],
                certain=True,
                expected="one address in two processes",
            ),
            Claim(
                f"Under fork the child begins with {', '.join(begins['contents'])}.",
                "parent" in begins["contents"],
                certain=True,
                expected="what its parent appended, too",
            ),
        ]
    else:
        found.append(
            Claim(
                f"Under {method} the child begins with {', '.join(begins['contents'])}.",
                begins["contents"] == ["source"],
                certain=True,
                expected="the source's alone",
            )
        )
    sentence = (
        f"Under {method} the child ends with {', '.join(ends['contents'])}, the parent with "
        f"{', '.join(last['contents'])}."
    )
    holds = "child" not in last["contents"] and "child" in ends["contents"]
    return [
        *found,
        Claim(sentence, holds, certain=True, expected="the child's word in the child alone"),
    ]
