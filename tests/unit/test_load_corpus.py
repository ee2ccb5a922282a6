"""Files by many writers: `load` gives the values that each writer's own library reads."""

from __future__ import annotations

import datetime
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import onecopy as oc
from tests import corpus
from tests.corpus import WRITERS, Made

pytestmark = pytest.mark.usefixtures("zarr_ends")

# How many files each writer makes at least; together more than 150.
LEAST = {
    "arrow_parquet": 32,
    "arrow_files": 17,
    "arrow_csv": 16,
    "pandas_parquet": 6,
    "pandas_csv": 17,
    "pandas_ndjson": 6,
    "polars_parquet": 12,
    "polars_text": 20,
    "duckdb_files": 11,
    "fastparquet_files": 9,
    "csv_module": 16,
    "json_module": 4,
    "numpy_files": 66,
    "hdf5_files": 5,
    "zarr_files": 32,
}


@pytest.mark.leaks("pyarrow and polars keep pipes of their own once they have been used")
@pytest.mark.parametrize("name", WRITERS)
def test_values_are_those_of_the_writers_own_library(tmp_path: Path, name: str) -> None:
    wrong, count = [], 0
    for made in WRITERS[name](tmp_path):
        count += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                got = oc.load(made.path, **made.options)
            wrong += [f"{made.path.name}: {each}" for each in differences(got, made)]
        except Exception as error:
            wrong.append(f"{made.path.name}: {type(error).__name__}: {error}")
    assert wrong == []
    assert count >= LEAST[name]


def test_the_corpus_is_large() -> None:
    assert LEAST.keys() == WRITERS.keys()
    assert sum(LEAST.values()) >= 150


def differences(got: Any, made: Made) -> list[str]:
    """Everything that is not as the writer's library reads it, in words."""
    if isinstance(got, pa.Table):
        found: dict[str, Any] = {
            name: column.to_pylist()
            for name, column in zip(got.column_names, got.columns, strict=True)
        }
    else:
        found = {"": got} if isinstance(got, np.ndarray) else dict(got)
    if sorted(found) != sorted(made.want):
        return [f"there are {sorted(found)}, not {sorted(made.want)}"]
    wrong = []
    for name, want in made.want.items():
        if isinstance(want, list):
            pairs = zip(found[name], want, strict=False)
            odd = [(a, b) for a, b in pairs if not same(a, b)]
            if len(found[name]) != len(want) or odd:
                wrong.append(f"{name}: {len(found[name])} of {len(want)} rows, {odd[:3]}")
        elif not same_array(found[name], np.asarray(want)):
            wrong.append(f"{name}: {found[name]!r}, not {want!r}")
    return wrong


def same_array(got: Any, want: Any) -> bool:
    if want.dtype.hasobject or got.dtype.kind == "U":
        return bool(got.tolist() == want.tolist())
    alike = got.dtype == want.dtype and got.shape == want.shape
    return bool(alike and got.tobytes() == want.tobytes())


def same(got: Any, want: Any) -> bool:
    """Tells whether it is the same value; libraries have classes of their own for some."""
    got, want = plain(got), plain(want)
    if got is None or want is None:
        return got is want
    if isinstance(want, dict) and isinstance(got, dict):
        return got.keys() == want.keys() and all(same(got[each], want[each]) for each in got)
    if isinstance(want, list) and isinstance(got, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, str) and not isinstance(got, str):
        return str(got) == want  # text that the other library makes nothing of
    if type(want) is datetime.date and isinstance(got, datetime.datetime):
        return got == datetime.datetime.combine(want, datetime.time())
    return bool(got == want) and isinstance(got, bool) == isinstance(want, bool)


def plain(value: Any) -> Any:
    """A value of Python's own; None for whatever stands for none."""
    if isinstance(value, np.ndarray | tuple | pd.Series):
        return [plain(each) for each in value]
    if value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, pd.Timestamp):
        return value if value.nanosecond else value.to_pydatetime()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def test_the_comparison_tells_values_apart() -> None:
    for one, other in (
        (1, 2),
        (1, True),
        (None, 0),
        ("1", "2"),
        ([1], [1, 2]),
        ({"a": 1}, {"a": 2}),
    ):
        assert same(one, one)
        assert not same(one, other)
    assert corpus.ROWS % 2 == 0
