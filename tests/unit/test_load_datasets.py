"""`load` of datasets: folders, key=value folders, files that differ, filters, URLs."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files import load
from onecopy._files.load import filters, parquet
from onecopy._files.load.meter import Meter
from onecopy.cli import main
from onecopy.errors import BadFile, LoadWarning, human_bytes
from tests import files


@pytest.fixture
def hive(tmp_path: Path) -> Path:
    """A dataset as pandas writes it."""
    folder = tmp_path / "sales.parquet"
    frame = pd.DataFrame(
        {
            "year": [2023, 2023, 2024, 2024],
            "city": ["Köln", "a b", "Köln", None],
            "sales": [1, 2, 3, 4],
        }
    )
    frame.to_parquet(folder, partition_cols=["year", "city"])
    (folder / "_SUCCESS").write_text("")
    (folder / ".part.crc").write_text("x")
    return folder


def rows(table: Any) -> list[tuple[Any, ...]]:
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=str)


# Folders.


def test_keys_of_folders_are_columns(hive: Path) -> None:
    want = [(1, 2023, "Köln"), (2, 2023, "a b"), (3, 2024, "Köln"), (4, 2024, None)]
    for path in (hive, str(hive / "**" / "*.parquet"), f"{hive}/year=*/*/*.parquet"):
        table = oc.load(path)
        assert [str(field.type) for field in table.schema] == ["int64", "int64", "string"]
        assert table.column_names == ["sales", "year", "city"]
        assert rows(table) == sorted(want, key=str)
        assert oc.is_shared(table)
    assert oc.load(hive, columns=["city", "sales"]).column_names == ["city", "sales"]
    assert sorted(oc.load(hive, columns="year")["year"].to_pylist()) == [2023, 2023, 2024, 2024]
    assert oc.load(hive, rows=(1, 3)).num_rows == 2
    table = oc.load(hive, dtype={"year": "string", "sales": "int8"})
    assert [str(field.type) for field in table.schema] == ["int8", "string", "string"]
    with pytest.raises(BadFile, match="has no column 'z'; it has sales, year, city"):
        oc.load(hive, columns=["z"])
    # A file by its name is that file.
    one = next(hive.glob("year=2023/*/*.parquet"))
    assert oc.load(one).column_names == ["sales"]


def test_keys_that_are_not_numbers(tmp_path: Path) -> None:
    for key in ("01", "x"):
        (tmp_path / f"k={key}").mkdir()
        (tmp_path / f"k={key}" / "a.csv").write_text("n\n1\n")
    assert oc.load(tmp_path)["k"].to_pylist() == ["01", "x"]
    (tmp_path / "k=x").rename(tmp_path / "k=12")
    assert oc.load(tmp_path)["k"].to_pylist() == [1, 12]
    with pytest.raises(BadFile, match="k='01' is no date32"):
        oc.load(tmp_path, dtype={"k": "date32"})
    (tmp_path / "loose.csv").write_text("n\n5\n")
    with pytest.raises(BadFile, match=r"loose\.csv' is in no folder k=\.\.\."):
        oc.load(tmp_path)
    got = oc.load(tmp_path, missing="null")
    assert rows(got) == [(1, 1), (1, 12), (5, None)]
    # A column of the file goes before a key of the same name.
    (tmp_path / "k=01" / "a.csv").write_text("n,k\n1,7\n")
    assert oc.load(str(tmp_path / "k=01" / "*.csv")).to_pydict() == {"n": [1], "k": [7]}


def test_a_folder_of_one_format(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.csv").write_text("n\n2\n")
    assert oc.load(tmp_path)["n"].to_pylist() == [1, 2]
    (tmp_path / "README.md").write_text("x")
    with pytest.warns(LoadWarning, match=r"nothing is read: '.*README\.md'"):
        assert oc.load(tmp_path).num_rows == 2
    np.save(tmp_path / "c.npy", np.arange(3))
    with pytest.raises(BadFile, match=r"several formats \(csv, npy\): format= or a pattern"):
        oc.load(tmp_path)
    with pytest.warns(LoadWarning, match=r"nothing is read: '.*README\.md' and 1 more"):
        assert oc.load(tmp_path, format="csv").num_rows == 2
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "part-00000").write_text("n\n5\n")
    assert oc.load(parts, format="csv")["n"].to_pylist() == [5]
    with pytest.raises(BadFile, match="no file of a format that onecopy knows"):
        oc.load(parts)
    (tmp_path / "none").mkdir()
    with pytest.raises(BadFile, match="no file of a format"):
        oc.load(tmp_path / "none")


# Files that differ.


def test_columns_in_any_order_and_missing_ones(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": [2]}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"a": [3], "c": [True]}), tmp_path / "3.parquet")
    assert oc.load(tmp_path / "[12].parquet").to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    with pytest.raises(BadFile, match=r"1\.parquet' and '.*3\.parquet'.*'b' of string is in one"):
        oc.load(tmp_path / "[13].parquet")
    got = oc.load(tmp_path, missing="null")
    assert got.to_pydict() == {
        "a": [1, 2, 3],
        "b": ["x", "y", None],
        "c": [None, None, True],
    }
    got = oc.load(tmp_path, missing="null", columns=["c", "b"], dtype={"b": "large_string"})
    assert got.column_names == ["c", "b"]
    assert got["b"].to_pylist() == ["x", "y", None]
    assert str(got["b"].type) == "large_string"
    for option in ({"columns": ["z"]}, {"dtype": {"z": "int8"}}):
        with pytest.raises(BadFile, match="no column 'z'"):
            oc.load(tmp_path, missing="null", **option)
    pq.write_table(pa.table({"a": [4], "b": pa.nulls(1)}), tmp_path / "4.parquet")
    assert oc.load(tmp_path / "[14].parquet")["b"].to_pylist() == ["x", None]
    with pytest.raises(ValueError, match="'error' and 'null'"):
        oc.load(tmp_path, missing="fill")  # type: ignore[arg-type]  # refused


@pytest.mark.parametrize("write", [pq.write_table, pa.feather.write_feather])
@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (pa.array([1, None], pa.int8()), pa.array([2**40], pa.int64()), "int64"),
        (pa.array([1], pa.uint8()), pa.array([2**32 - 1], pa.uint32()), "uint32"),
        (pa.array([0.5], pa.float32()), pa.array([0.1]), "double"),
        (pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("us")), "timestamp[us]"),
        (pa.array(["x"]), pa.array(["y"], pa.large_string()), "large_string"),
        (pa.array(["x", "x"]).dictionary_encode(), pa.array(["y"]), "string"),
        (pa.array([1]), pa.array([0.5]), None),  # 2**53 + 1 would be rounded
        (pa.array([1], pa.uint64()), pa.array([1]), None),
        (pa.array(["1"]), pa.array([1]), None),
        (pa.array([1], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "UTC")), None),
    ],
    ids=lambda each: str(getattr(each, "type", each)),
)
def test_types_that_one_of_them_holds(
    tmp_path: Path, write: Callable[..., None], one: Any, other: Any, kind: str | None
) -> None:
    paths = [tmp_path / "0.data", tmp_path / "1.data"]
    name = "parquet" if write is pq.write_table else "arrow"
    for pair in ((one, other), (other, one)):
        for path, values in zip(paths, pair, strict=True):
            write(pa.table({"a": values}), path)
        if kind is None:
            with pytest.raises(BadFile, match="do not make one table: 'a' of "):
                oc.load(paths, format=name)
            continue
        got = oc.load(paths, format=name)
        assert str(got.schema.field("a").type) == kind
        assert got["a"].to_pylist() == [*pair[0].to_pylist(), *pair[1].to_pylist()]


def test_text_with_missing_columns(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("c,a\n5,1.5\n")
    got = oc.load(tmp_path, missing="null")
    assert got.to_pydict() == {"a": [1.0, 1.5], "b": ["x", None], "c": [None, 5]}


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.feather", "x.ndjson"])
def test_files_that_are_left_out(tmp_path: Path, name: str) -> None:
    for at in range(4):
        files.TABLES[name](tmp_path / f"{at}-{name}", files.table(100))
    damaged = tmp_path / f"1-{name}"
    damaged.write_bytes(damaged.read_bytes()[:-40] + b"{\n")
    (tmp_path / f"2-{name}").write_bytes(b"")
    with pytest.raises(BadFile):
        oc.load(tmp_path)
    with pytest.warns(LoadWarning) as caught:
        got = oc.load(tmp_path, errors="skip")
    assert got.num_rows == 200
    said = [str(each.message) for each in caught]
    assert [f"{at}-{name}" in " ".join(said) for at in range(4)] == [False, True, True, False]
    assert all("left out: " in line for line in said)
    several = [tmp_path / f"0-{name}", tmp_path / f"none-{name}"]
    with pytest.warns(LoadWarning, match="left out: .*none-"):
        assert oc.load(several, errors="skip").num_rows == 100
    with pytest.raises(BadFile):
        oc.load(damaged, errors="skip")
    with pytest.raises(BadFile, match="none"):
        oc.load([damaged, damaged], errors="skip")


def test_converting_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at in range(3):
        files.TABLES["x.parquet"](tmp_path / f"{at}.parquet", files.table(100))
    broken = bytearray((tmp_path / "1.parquet").read_bytes())
    broken[60] ^= 0xFF  # in the first page
    (tmp_path / "1.parquet").write_bytes(broken)
    out = tmp_path / "out" / "all.csv"
    out.parent.mkdir()
    arguments = [f"{tmp_path}/*.parquet", str(out), "--errors", "skip", "--filter", "a<50"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", *arguments])
    assert not ended.value.code
    assert "1.parquet': left out: " in capsys.readouterr().err
    assert oc.load(out)["a"].to_pylist() == [*range(50), *range(50)]


def test_a_file_with_bad_rows_is_left_out_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0.csv").write_text("a,b\n1,2\n")
    (tmp_path / "1.csv").write_text("a,b\n3\n")
    with pytest.raises(SystemExit) as ended:
        main(["convert", f"{tmp_path}/?.csv", str(tmp_path / "out.csv"), "--errors", "skip"])
    assert not ended.value.code
    (line,) = capsys.readouterr().err.splitlines()
    assert "1.csv': left out: " in line
    assert (tmp_path / "out.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("name", ["deflated.npz", "x.h5"])
def test_arrays_that_are_left_out(tmp_path: Path, name: str) -> None:
    for at in range(3):
        files.ARRAYS[name](tmp_path / f"{at}-{name}", np.random.default_rng(at).random((600, 4)))
    damaged = tmp_path / f"1-{name}"
    broken = bytearray(damaged.read_bytes())
    middle = len(broken) // 2
    broken[middle : middle + 400] = bytes(400)  # among the compressed elements
    damaged.write_bytes(broken)
    with pytest.raises(BadFile, match=f"1-{name}"):
        oc.load(tmp_path)
    with pytest.warns(LoadWarning, match=rf"1-{name}': left out: "):
        got = oc.load(tmp_path, errors="skip")
    assert len(files.array_of(got)) == 1200
    with pytest.raises(BadFile):
        oc.load(damaged, errors="skip")


# Filters.


def test_filters(hive: Path) -> None:
    condition: Any
    for condition in (("year", ">=", 2024), "year >= 2024", [("year", "=", 2024)], ["year!=2023"]):
        assert sorted(oc.load(hive, filter=condition)["sales"].to_pylist()) == [3, 4]
    got = oc.load(hive, filter=["year == 2024", ("sales", "in", [3, 1])], columns=["city"])
    assert got.to_pydict() == {"city": ["Köln"]}
    # What is null meets nothing.
    assert oc.load(hive, filter="city != 'Köln'")["sales"].to_pylist() == [2]
    assert oc.load(hive, filter=("city", "not in", ["Köln"]))["sales"].to_pylist() == [2]
    assert oc.load(hive, filter="year > 3000").column_names == ["sales", "year", "city"]
    assert oc.load(hive, filter="year > 3000").num_rows == 0
    assert oc.load(hive, filter="sales > 1", rows=(1, 3)).num_rows == 2
    for condition, error, says in (
        ("year", ValueError, "it is a column, one of"),
        (("year", "~", 1), ValueError, "'~' is not one of"),
        ([("year", "==")], TypeError, "it is .column, how, value."),
        (("year", "in", "2024"), TypeError, "takes a list"),
        ("z > 1", BadFile, "has no column 'z'"),
        ("sales > soon", BadFile, "cannot be compared with 'soon'"),
    ):
        with pytest.raises(error, match=says):
            oc.load(hive, filter=condition)
    np.save(hive.parent / "x.npy", np.arange(3))
    with pytest.raises(ValueError, match="filter= is not for npy"):
        oc.load(hive.parent / "x.npy", filter="a > 1")


def test_groups_that_cannot_hold_a_row_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(at) for at in range(100)]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": range(100), "day": days}), path, row_group_size=10)
    read: list[int] = []
    decoded = parquet.Opened._decoded

    def noted(self: Any, groups: list[int]) -> Iterator[Any]:
        read.extend(groups)
        return decoded(self, groups)

    monkeypatch.setattr(parquet.Opened, "_decoded", noted)
    assert oc.load(path, filter="n >= 85")["n"].to_pylist() == [*range(85, 100)]
    assert read == [8, 9]
    read.clear()
    assert oc.load(path, filter="day == 2024-01-15")["n"].to_pylist() == [14]
    assert read == [1]
    read.clear()
    assert oc.load(path, filter=("n", "in", [3, 77]), columns=["day"]).num_rows == 2
    assert read == [0, 7]


KEPT = st.none() | st.integers(-5, 5) | st.floats(-5, 5) | st.just(float("nan"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(KEPT, max_size=30),
    how=st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    value=st.integers(-6, 6) | st.floats(-6, 6),
)
def test_any_filter_leaves_what_arrow_would(
    tmp_path: Path, values: list[Any], how: str, value: Any
) -> None:
    """Whatever the statistics of groups say, with nulls and NaN among the values."""
    table = pa.table({"n": pa.array(values, pa.float64())})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=3)
    got = oc.load(tmp_path / "x.parquet", filter=("n", how, value))
    condition = filters.Condition("n", how, value)
    batch = table.combine_chunks().to_batches()
    want = batch[0].filter(filters.mask(batch[0], [condition], "x")) if batch else table
    assert str(got["n"].to_pylist()) == str(want.column(0).to_pylist())


# URLs.


@pytest.fixture
def remote() -> Iterator[Any]:
    """A file system that is in this process's memory."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs.clear()
    system.pseudo_dirs.append("")


@pytest.mark.parametrize("name", files.TABLES)
def test_tables_from_a_url(tmp_path: Path, remote: Any, name: str) -> None:
    files.TABLES[name](tmp_path / name, files.table())
    for at in (1, 2):
        remote.pipe(f"/data/k={at}/{name}", (tmp_path / name).read_bytes())
    got = oc.load(f"memory://data/k=1/{name}")
    assert got.equals(files.table())
    assert oc.is_shared(got)
    both = oc.load(f"memory://data/*/{name}", columns=["a", "k"], rows=(299, 301))
    assert both.to_pydict() == {"a": [299, 0], "k": [1, 2]}
    assert oc.load("memory://data", filter="k > 1").num_rows == 300
    with pytest.raises(FileNotFoundError, match="does not exist"):
        oc.load(f"memory://data/none-{name}")
    remote.pipe(f"/bad/{name}", (tmp_path / name).read_bytes()[:-30])
    with pytest.raises(BadFile, match=r"memory://bad/"):
        oc.load(f"memory://bad/{name}")


def test_arrays_from_a_url(tmp_path: Path, remote: Any) -> None:
    np.save(tmp_path / "x.npy", np.arange(10))
    remote.pipe("/x.npy", (tmp_path / "x.npy").read_bytes())
    got = oc.load("memory://x.npy")
    assert got.tolist() == [*range(10)]
    assert oc.is_shared(got)
    with pytest.raises(BadFile, match="nonsense"):
        oc.load("nonsense://x.npy")


def test_a_file_url_is_the_file_itself(tmp_path: Path) -> None:
    """Mapped, then, and found by its pattern."""
    np.save(tmp_path / "x.npy", np.arange(10))
    got = oc.load(f"file://{tmp_path}/*.npy")
    assert got.tolist() == [*range(10)]
    assert oc.segments()[0].path == str(tmp_path / "x.npy")


# How far it has come.


@pytest.mark.parametrize("name", [*files.TABLES, "x.h5", "deflated.npz"])
def test_progress_in_bytes_of_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    array = name in files.ARRAYS
    write = files.ARRAYS[name] if array else files.TABLES[name]
    for at in (1, 2):
        write(tmp_path / f"{at}-{name}", np.arange(5000.0) if array else files.table(5000))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    oc.load(tmp_path / f"*-{name}", progress="reading")
    err = capsys.readouterr().err
    if name in files.MAPPED:
        assert err == ""
    else:
        assert f"reading: {human_bytes(size)} of {human_bytes(size)} in " in err.splitlines()[-1]
    oc.load(tmp_path / f"1-{name}")
    assert capsys.readouterr().err == ""


def test_progress_of_a_file_that_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 12)
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 20_000 + "x\n")
    oc.load(path, progress=True)
    size = human_bytes(path.stat().st_size)
    assert capsys.readouterr().err.startswith(f"load: {size} of {size} in "), "one bar, to its end"


ZONED = "a\n" + "2024-01-02T00:00:00Z\n" * 5000
HUGE = "a\n" + "1.5\n" * 15_000 + "18446744073709551617.0\n" + "1.5\n" * 5000
MIXED = '{"a": 1}\n' * 5000 + '{"a": {"b": 1}, "c": "x"}\n' + '{"a": 1}\n' * 5000


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.csv", ZONED), ("x.csv", HUGE), ("x.ndjson", MIXED)],
    ids=["zone", "huge", "mixed"],
)
def test_progress_of_a_look_at_all_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """It is counted like the reading itself, which goes on where it was or begins again."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 12)
    path = tmp_path / name
    path.write_text(text)
    runs: list[list[int]] = []

    def begin(total: int) -> Callable[[int], None]:
        runs.append([])
        assert total == len(text)
        return runs[-1].append

    wanted = load.asked(dtype={"a": "string"} if name == "x.ndjson" else None)
    watched = replace(wanted, meter=Meter(begin, lambda _: len(text)))
    assert load.loaded(path, watched).num_rows == text.count("\n") - (name == "x.csv")
    whole = [run for run in runs if sum(run) == len(text)]
    assert len(whole) >= 2, "the look, and the reading"
    assert max(map(len, whole)) > 4, "it is told in between"
    assert all(sum(run) <= len(text) for run in runs)
