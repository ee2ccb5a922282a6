"""The kinds of time in a worker's life, with the names and colours that every report uses."""

from __future__ import annotations

from typing import NamedTuple

from .model import Accounting


class Kind(NamedTuple):
    """One kind of time.

    Attributes:
        name: as in ``Accounting``.
        label: in a legend.
        lost: its name in a sentence about the largest loss; "" if it is not a loss.
        explained: a longer description.
        paint: its colour; the kinds of idle time have the same, because lanes cannot distinguish
            them.
    """

    name: str
    label: str
    lost: str
    explained: str
    paint: str


KINDS = (
    Kind("running", "in your function, on a CPU", "", "what you want to see", "running"),
    Kind(
        "pausing",
        "in your function, waiting",
        "waiting inside your functions",
        "for a disk, the network, a lock or a clock",
        "pausing",
    ),
    Kind(
        "wanting",
        "in your function, no CPU free",
        "ready to run without a free CPU",
        "other processes, or the workers' own threads, had them",
        "wanting",
    ),
    Kind("importing", "importing", "importing modules", "in each worker", "importing"),
    Kind(
        "decode",
        "unpacking arguments",
        "unpacking arguments",
        "and loading functions",
        "decode",
    ),
    Kind("encode", "packing results", "packing results", "to be sent", "encode"),
    Kind(
        "blocked",
        "writing results",
        "writing results that the main process had not read",
        "which the main process had not read yet",
        "blocked",
    ),
    Kind("startup", "start-up", "starting workers", "until a worker was ready", "startup"),
    Kind(
        "initializing",
        "in your initializer",
        "running your initializer",
        "once in each worker, before its first task",
        "initializing",
    ),
    Kind(
        "packing",
        "idle: arguments being packed",
        "waiting while the main process packed arguments",
        "by the main process, one task after another",
        "waiting",
    ),
    Kind(
        "iterable",
        "idle: in your iterable",
        "waiting for your iterable",
        "the main process was making items",
        "waiting",
    ),
    Kind(
        "callbacks",
        "idle: in your callbacks",
        "waiting while the main process ran callbacks",
        "callbacks and reduce run in the main process",
        "waiting",
    ),
    Kind(
        "handlers",
        "idle: in log handlers",
        "waiting while the main process handled what tasks log and print",
        "handling what tasks log and print",
        "waiting",
    ),
    Kind(
        "results",
        "idle: results being unpacked",
        "waiting while the main process unpacked results",
        "by the main process",
        "waiting",
    ),
    Kind(
        "between",
        "idle: between calls",
        "waiting between calls",
        "the pool had nothing to do: your program did something else",
        "waiting",
    ),
    Kind(
        "handing",
        "idle: tasks on their way",
        "waiting for tasks on their way",
        "from the main process to a worker",
        "waiting",
    ),
    Kind(
        "tail",
        "idle: others still at work",
        "done while another worker was still at work",
        "nothing was left to hand out",
        "tail",
    ),
    Kind("lost", "lost", "lost with a worker", "in what died with its worker", "lost"),
)

GLYPHS = {
    "running": ("█", "green"),
    "pausing": ("≈", "green"),
    "wanting": ("%", "yellow"),
    "importing": ("▚", "yellow"),
    "decode": ("▓", "cyan"),
    "encode": ("▒", "blue"),
    "blocked": ("×", "magenta"),
    "startup": ("░", "yellow"),
    "initializing": ("≡", "yellow"),
    "waiting": ("·", "bright_black"),
    "tail": ("_", "bright_black"),
    "lost": ("!", "red"),
}
"""A glyph and a colour of the terminal's for each way to be painted."""

COLOURS = {
    "running": "#2f7d4f",
    "pausing": "#93c9a7",
    "wanting": "#b5a531",
    "importing": "#e07b39",
    "decode": "#3aa6b9",
    "encode": "#3f6fd1",
    "blocked": "#b04fc0",
    "startup": "#d9a441",
    "initializing": "#8a5a2b",
    "waiting": "#b9bec6",
    "tail": "#dfe2e6",
    "lost": "#d1495b",
}
"""The same where a page has no style of its own; told apart by lightness as well."""


def spent(parts: Accounting) -> list[tuple[Kind, float]]:
    """Return the kinds that took time, and how many seconds."""
    values = [(kind, float(getattr(parts, kind.name))) for kind in KINDS]
    return [(kind, value) for kind, value in values if value > 0]
