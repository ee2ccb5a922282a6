"""Where functions spend their time, by sampled stacks: the heaviest lines, and a tree.

A line is one of the program: of each stack the innermost one in a file of its own. What it
calls there, in a library, is named with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._observe.lines import is_programs_file
from .._observe.profile import Place
from .model import Run

# A tree's branches below this share of its whole cannot be seen.
_SEEN = 0.002


@dataclass(frozen=True)
class Line:
    """One line of the program, in one of the functions that tasks call.

    Attributes:
        function: that function.
        where: ``name (file:line)``.
        into: what it called for most of that time, or "".
        spent: seconds.
        share: of the function's time.
    """

    function: str
    where: str
    into: str
    spent: float
    share: float


def heaviest(run: Run, functions: int, lines: int) -> list[Line]:
    """So many lines of each of so many functions, the heaviest first."""
    wholes: dict[str, int] = {}
    for function, _, spent in run.profile:
        wholes[function] = wholes.get(function, 0) + spent
    found: list[Line] = []
    for function in sorted(wholes, key=lambda name: -wholes[name])[:functions]:
        found += _lines(run, function, wholes[function])[:lines]
    return found


def _lines(run: Run, function: str, whole: int) -> list[Line]:
    sums: dict[Place, int] = {}
    calls: dict[tuple[Place, str], int] = {}
    for name, stack, spent in run.profile:
        if name != function or not stack:
            continue
        own = [at for at, (_, file, _) in enumerate(stack) if is_programs_file(file)]
        at = own[-1] if own else 0
        place = stack[at]
        sums[place] = sums.get(place, 0) + spent
        into = stack[at + 1][0] if at + 1 < len(stack) else ""
        calls[place, into] = calls.get((place, into), 0) + spent
    lines = []
    for place, spent in sorted(sums.items(), key=lambda item: -item[1]):
        into, most = max(
            ((name, ns) for (at, name), ns in calls.items() if at == place),
            key=lambda item: item[1],
        )
        into = into if 2 * most > spent else ""
        lines.append(Line(function, _where(place), into, spent / 1e9, spent / whole))
    return lines


def _where(place: Place) -> str:
    name, file, line = place
    return f"{name} ({file.rpartition('/')[2]}:{line})"


@dataclass
class _Node:
    spent: int = 0
    below: dict[str, _Node] = field(default_factory=dict)


def tree(run: Run) -> list[Any]:
    """``[name, nanoseconds, children]`` of all stacks together, without what cannot be seen."""
    root = _Node()
    for function, stack, spent in run.profile:
        root.spent += spent
        node = root
        for name in (function, *map(_where, stack)):
            node = node.below.setdefault(name, _Node())
            node.spent += spent
    return _plain("all", root, _SEEN * root.spent)


def _plain(name: str, node: _Node, least: float) -> list[Any]:
    order = sorted(node.below.items(), key=lambda item: -item[1].spent)
    below = [_plain(each, child, least) for each, child in order if child.spent >= least]
    return [name, node.spent, below]
