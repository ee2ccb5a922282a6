"""Results as JSON: complete and strict, or an error that names what JSON lacks.

Numbers that JSON lacks are written as in protocol buffers, ``"NaN"``, ``"Infinity"``,
``"-Infinity"``. Arrays and columns become lists; records, and rows of tables, objects; a pandas
object with labels becomes an object by label. Times are ISO 8601. Values that their text says
completely (decimals, complex numbers, durations, paths, UUIDs) are that text. No other object is
written as its text: no program could read it back, and the file would look whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Complex
from pathlib import PurePath
from typing import Any
from uuid import UUID

from .._objects.sequences import SharedText

_TEXTS = (Complex, Decimal, PurePath, UUID, timedelta)
_BYTES = (bytes, bytearray, memoryview)


class NotJson(Exception):
    """A value holds something that JSON lacks.

    Args:
        what: names it.
        where: its place in the value, such as ``[0]['x']``; "" for the value itself.
    """

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what, where)
        self.what = what
        self.where = where

    def __str__(self) -> str:
        return f"{self.what}{self.where and f' at {self.where}'}, which JSON lacks"


def dump(value: Any, indent: int | None = None) -> str:
    """Return one JSON text, strict: no ``NaN``, which other languages' readers refuse.

    Raises:
        NotJson: something in the value has no form in JSON.
    """
    return json.dumps(to_json(value), allow_nan=False, indent=indent)


def to_json(value: Any) -> Any:
    """Return ``value`` in the types that JSON has.

    Raises:
        NotJson: something in the value has no form in JSON.
    """
    try:
        return _of(value, "")
    except RecursionError:
        raise NotJson("an object within itself, or nested too deep") from None


def _unknown(value: Any, where: str) -> NotJson:
    return NotJson(f"an object of type {type(value).__name__}", where)


def _of(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return _object(value.items(), where)
    library = type(value).__module__.partition(".")[0]
    if library in _BY_LIBRARY:
        return _BY_LIBRARY[library](value, where)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # a user's class of arrays
        return _of_numpy(value, where)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, (*_TEXTS, SharedText)):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, _BYTES):
        return _list(value, where)
    raise _unknown(value, where)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _list(values: Iterable[Any], where: str) -> list[Any]:
    return [_of(each, f"{where}[{at}]") for at, each in enumerate(values)]


def _object(items: Iterable[tuple[Any, Any]], where: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in items:
        name = _key(key, where)
        if name in made:
            raise NotJson(f"several keys {name!r}", where)
        made[name] = _of(value, f"{where}[{key!r}]")
    return made


def _key(key: Any, where: str) -> str:
    """Return the text of a key, as ``json`` writes it; also of NumPy's numbers and of times."""
    plain = _of(key, where) if not isinstance(key, tuple) else key
    if isinstance(plain, str):
        return plain
    if plain is None or isinstance(plain, bool | int | float):
        return json.dumps(plain)
    raise NotJson(f"a key of type {type(key).__name__}", where)


def _of_numpy(value: Any, where: str) -> Any:
    dtype: Any = getattr(value, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if kind in ("M", "m"):
        return value.astype(str).tolist()
    names = getattr(dtype, "names", None)
    if names is not None:
        if value.ndim:
            return _list(value, where)
        return _object(((name, value[name]) for name in names), where)
    if kind == "f" and dtype.itemsize > 8:  # every reader of JSON rounds to that, too
        value = value.astype(float)
    if kind in ("V", "S") or not hasattr(value, "tolist"):
        raise NotJson("bytes", where) if kind else _unknown(value, where)
    return _of(value.tolist(), where)


def _of_pandas(value: Any, where: str) -> Any:
    if type(value).__name__ == "NAType":
        return None
    if isinstance(value, date):
        return value.isoformat()
    if type(value).__name__ in ("Timedelta", "Period"):
        return str(value)
    if hasattr(value, "iloc"):
        rows = _rows(value, where) if value.ndim == 2 else value.tolist()
        if type(value.index).__name__ == "RangeIndex":
            return _list(rows, where)
        return _object(zip(value.index.tolist(), rows, strict=True), where)
    if not hasattr(value, "tolist"):
        raise _unknown(value, where)
    return _list(value.tolist(), where)


def _rows(frame: Any, where: str) -> Any:
    """Return a frame's rows as dicts."""
    names = _names(frame.columns, where)
    columns = [frame.iloc[:, at].tolist() for at in range(len(names))]
    if not columns:
        return [{} for _ in range(len(frame))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _names(names: Iterable[Any], where: str) -> list[str]:
    return list(_object(((name, None) for name in names), where))


def _of_arrow(value: Any, where: str) -> Any:
    if hasattr(value, "column_names"):
        _names(value.column_names, where)
    if hasattr(value, "to_pylist"):
        return _list(value.to_pylist(), where)
    if hasattr(value, "as_py"):
        return _of(value.as_py(), where)
    raise _unknown(value, where)


def _of_polars(value: Any, where: str) -> Any:
    for method in ("to_dicts", "to_list"):
        if hasattr(value, method):
            return _list(getattr(value, method)(), where)
    raise _unknown(value, where)


_BY_LIBRARY = {
    "numpy": _of_numpy,
    "pandas": _of_pandas,
    "pyarrow": _of_arrow,
    "polars": _of_polars,
}
