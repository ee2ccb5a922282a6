"""Limits of the source that no linter holds: lengths, attributes, ancestors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import onecopy

ROOT = Path(onecopy.__file__).parent
LINES, FUNCTION, ATTRIBUTES = 600, 60, 20

# An ancestor from another room, with the reason.
ANCESTORS = {
    # Users' programs ask isinstance(pool, concurrent.futures.ProcessPoolExecutor).
    ("executor", "ProcessPoolExecutor"),
    # A host's engine is an ordinary one, but for what it does with results and output.
    ("_cluster.host_engine", "HostEngine"),
    ("_cluster.host_engine", "HostCore"),
    ("_cluster.host_engine", "HostReceiver"),
    ("_cluster.host_engine", "HostPreemption"),
    ("_cluster.host_engine", "HostOutcomes"),
    ("_cluster.host_engine", "HostLifetime"),
    ("_cluster.host_engine", "Relay"),
    ("_cluster.given", "Given"),
}


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        text = path.read_text()
        yield name, text, ast.parse(text)


def test_files_are_short() -> None:
    long = {name: n for name, text, _ in modules() if (n := text.count("\n")) > LINES}
    assert not long


def test_functions_are_short() -> None:
    """Without what is said of them, and the options of a command."""
    long = {}
    for name, _, tree in modules():
        if name.startswith("_lab.") and name.count(".") == 1:
            continue  # an experiment's claims are its text
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body:
                    assert node.end_lineno is not None
                    length = node.end_lineno - body[0].lineno + 1
                    if length > FUNCTION:
                        long[f"{name}.{node.name}"] = length
    assert not long


def test_objects_are_small() -> None:
    large = {}
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found = {
                    each.attr
                    for each in ast.walk(node)
                    if isinstance(each, ast.Attribute)
                    and isinstance(each.ctx, ast.Store)
                    and isinstance(each.value, ast.Name)
                    and each.value.id == "self"
                }
                if len(found) > ATTRIBUTES:
                    large[f"{name}.{node.name}"] = len(found)
    assert not large


def test_no_class_has_an_ancestor_in_another_room() -> None:
    """Errors, protocols and the doors' common calls are the exceptions."""
    rooms: dict[str, set[str]] = {}
    bases: dict[tuple[str, str], list[str]] = {}
    for name, _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                rooms.setdefault(node.name, set()).add(name.partition(".")[0])
                bases[name, node.name] = [
                    base.id for base in node.bases if isinstance(base, ast.Name)
                ]
    protocols = {cls for (_, cls), names in bases.items() if {"Protocol", "Exception"} & {*names}}
    far = {
        (name, cls, base)
        for (name, cls), names in bases.items()
        for base in names
        if base in rooms and base not in protocols
        if name.partition(".")[0] not in rooms[base]
        if not rooms[base] & {"errors"} and (name, cls) not in ANCESTORS
    }
    assert far <= {("pool", "Pool", "PoolView")}
