"""A saved run: written by one process, shown by another.

A zip archive: ``run.json`` and one ``.npy`` member per table, read without pickle, so that a file
of unknown origin can only be shown.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from .._observe.columns import DIARY, MEMORY, SPAN, TOTAL, WORKER, Columns, dtype_of
from .._observe.failures import Failed
from .._observe.profile import Stack
from ..errors import BadFile
from .model import HostRow, Run, Table
from .program import Words

SUFFIX = ".onecopy"
_VERSION = 4
# The version before had no ``initializing`` among the columns of workers; it is read, too.
_BEFORE = 3
_TABLES: dict[str, Columns] = {
    "spans": SPAN,
    "slowest": SPAN,
    "totals": TOTAL,
    "workers": WORKER,
    "memory": MEMORY,
    "diary": DIARY,
}


def save(run: Run, file: IO[bytes]) -> None:
    """Write ``run``."""
    plain = {field.name: getattr(run, field.name) for field in fields(run)}
    tables = {name: plain.pop(name) for name in _TABLES}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("run.json", json.dumps({"version": _VERSION, **plain}))
        for name, table in tables.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, table, allow_pickle=False)


def load(path: str | Path) -> Run:
    """Read a file that ``save`` wrote.

    Raises:
        BadFile: it is another kind of file, damaged, or of a later version.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return read(file, str(path))


def read(file: IO[bytes], name: str) -> Run:
    """Read an open file that ``save`` wrote; ``name`` is for messages.

    Raises:
        BadFile: it is another kind of file, damaged, or of a later version.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _read(archive)
    except BadFile:
        raise
    except Exception as error:  # of zipfile, json, NumPy: depends on the bytes
        raise BadFile(f"{name}: it is no run that onecopy saved: {error}") from error


def _read(archive: zipfile.ZipFile) -> Run:
    plain: dict[str, Any] = json.loads(archive.read("run.json"))
    version = plain.pop("version", None)
    if version not in (_BEFORE, _VERSION):
        raise ValueError(f"version {version!r}; this onecopy reads version {_VERSION}")
    for name, columns in _TABLES.items():
        data = io.BytesIO(archive.read(f"{name}.npy"))
        table = np.lib.format.read_array(data, allow_pickle=False)
        if version == _BEFORE and columns is WORKER:
            table = _with_initializing(table)
        if table.dtype != dtype_of(columns) or table.ndim != 1:
            raise ValueError(f"its table {name!r} has other columns")
        plain[name] = table
    plain["functions"] = tuple(plain["functions"])
    plain["sites"] = tuple(
        (str(a), str(b), str(c), int(d), int(e)) for a, b, c, d, e in plain["sites"]
    )
    plain["words"] = tuple(_words(*each) for each in plain.get("words", ()))
    plain["imports"] = tuple((str(a), int(b), int(c)) for a, b, c in plain["imports"])
    plain["profile"] = tuple(_stack(*each) for each in plain["profile"])
    plain["failures"] = tuple(Failed(*each) for each in plain["failures"])
    plain["hosts"] = tuple(HostRow(*each) for each in plain["hosts"])
    plain["large"] = tuple((int(a), str(b), int(c), int(d)) for a, b, c, d in plain["large"])
    run = Run(**plain)
    for table in (run.spans, run.slowest, run.totals):
        if len(table) and int(table["function"].max()) >= len(run.functions):
            raise ValueError("a task's function has no name")
        if len(table) and int(table["site"].max()) >= len(run.sites):
            raise ValueError("a task's call is not known")
    for table in (run.workers, run.memory):
        if len(table) and int(table["host"].max()) >= max(1, len(run.hosts)):
            raise ValueError("a host has no name")
    return run


def _with_initializing(before: Table) -> Table:
    """Return the workers of a run of the version before; none of them has run an initializer."""
    table = np.zeros(before.shape, dtype_of(WORKER))
    for name in before.dtype.names or ():
        table[name] = before[name]
    return table


def _words(*values: Any) -> Words:
    pool, function, items, sliced, whole, module, imported = values
    return Words(
        str(pool),
        str(function),
        str(items),
        str(sliced),
        str(whole),
        str(module),
        {str(name): str(known) for name, known in imported.items()},
    )


def _stack(function: Any, places: Any, spent: Any) -> Stack:
    found = tuple((str(name), str(file), int(line)) for name, file, line in places)
    return str(function), found, int(spent)
