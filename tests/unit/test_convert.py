"""`onecopy convert`: from every format to every format, in pieces, whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files import convert as into
from onecopy._files.load import asked
from onecopy._files.save.arrays import evenly
from onecopy.cli import main
from onecopy.errors import BadFile, human_bytes
from tests import files
from tests.files import array_of

pytestmark = pytest.mark.usefixtures("zarr_ends")

TABLES = ["x.arrow", "x.arrows", "x.parquet", "x.csv.gz", "x.tsv", "x.ndjson"]
ARRAYS = ["x.npy", "x.npz", "x.h5", "x.zarr"]


def convert(*arguments: object) -> None:
    """`onecopy convert ARGUMENTS`, which ends well and says nothing."""
    with pytest.raises(SystemExit) as ended:
        main(["convert", *map(str, arguments)])
    assert not ended.value.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 2) -> str:
    """The one line by which it is refused."""
    with pytest.raises(SystemExit) as ended:
        main(["convert", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (status, "", 1)
    return err


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    files.TABLES[path.name](path, files.table())
    return path


@pytest.fixture(params=ARRAYS)
def array(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    files.ARRAYS[path.name](path, np.arange(40.0))
    return path


def test_tables_to_tables(table: Path) -> None:
    for name in TABLES:
        out = table.parent / "out" / name
        out.parent.mkdir(exist_ok=True)
        convert(table, out)
        assert oc.load(out).equals(files.table())
        convert(table, out, "--columns", "s,a", "--rows", "7:290", "--dtype", "a=int16")
        part = files.table().select(["s", "a"])[7:290]
        got = oc.load(out, dtype={"a": "int16"})
        assert got.equals(part.set_column(1, "a", part["a"].cast("int16")))
        assert os.listdir(out.parent) == [name]
        out.unlink()


def test_tables_to_arrays_and_back(table: Path, tmp_path: Path) -> None:
    numbers = files.table().select(["a", "b"])
    for name in ARRAYS:
        out = tmp_path / f"to-{name}"
        convert(table, out, "--columns", "a,b")
        got = oc.load(out)
        assert got["a"].tolist() == numbers["a"].to_pylist()
        assert got["b"].tolist() == numbers["b"].to_pylist()
        convert(out, tmp_path / "back.parquet")
        assert oc.load(tmp_path / "back.parquet").equals(numbers)
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_arrays_to_arrays_and_tables(array: Path, tmp_path: Path) -> None:
    for name in ARRAYS:
        out = tmp_path / f"to-{name}"
        convert(array, out, "--rows", ":30", "--dtype", "f4")
        got = array_of(oc.load(out))
        assert got.dtype == "f4"
        assert got.tolist() == list(range(30))
    convert(array, tmp_path / "out.csv")
    (column,) = oc.load(tmp_path / "out.csv").columns
    assert column.to_pylist() == list(range(40))


def test_records_matrices_and_members(tmp_path: Path) -> None:
    records = np.zeros(50, [("t", "M8[ms]"), ("v", ">f8"), ("s", "U3")])
    records["v"], records["s"] = np.arange(50), "abc"
    np.save(tmp_path / "records.npy", records)
    convert(tmp_path / "records.npy", tmp_path / "t.parquet")
    got = oc.load(tmp_path / "t.parquet")
    assert [str(field.type) for field in got.schema] == ["timestamp[ms]", "double", "string"]
    assert got["v"].to_pylist() == list(range(50))
    for name, fields in (("r.zarr", ["v", "s"]), ("r2.npy", ["t", "v"]), ("r.npz", ["s", "v"])):
        convert(tmp_path / "records.npy", tmp_path / name, "--columns", ",".join(fields))
        back = array_of(oc.load(tmp_path / name))
        assert back.dtype.names == tuple(fields)
        assert all((back[field] == records[field]).all() for field in fields)
    np.savez(
        tmp_path / "x.npz", m=np.arange(12.0).reshape(4, 3), w=np.arange(4), single=np.array(5)
    )
    convert(f"{tmp_path / 'x.npz'}:m", tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[:2] == ['"0","1","2"', "0,1,2"]
    convert(f"{tmp_path / 'x.npz'}:w", tmp_path / "w.npy")
    assert oc.load(tmp_path / "w.npy").tolist() == [0, 1, 2, 3]
    convert(tmp_path / "x.npz", tmp_path / "all.h5")
    assert oc.load(tmp_path / "all.h5")["single"][()] == 5


def test_several_files_into_one(tmp_path: Path) -> None:
    for number in range(3):
        files.TABLES["x.csv"](tmp_path / f"{number}.csv", files.table(number * 10 + 1))
    convert(tmp_path / "*.csv", tmp_path / "all.feather")
    convert(*sorted(tmp_path.glob("*.csv")), tmp_path / "listed.feather")
    for name in ("all.feather", "listed.feather"):
        got = oc.load(tmp_path / name)
        assert got.num_rows == 1 + 11 + 21
        (segment,) = oc.segments()
        assert segment.kind == "file"  # written so that it can be mapped


@pytest.mark.parametrize("name", ["x.arrow", "x.parquet", "x.csv", "x.npy", "x.h5"])
def test_several_files_of_every_kind(tmp_path: Path, name: str) -> None:
    """Described first, and opened again one after another when they are read."""
    value: Any = files.table() if name in files.TABLES else np.arange(300)
    {**files.TABLES, **files.ARRAYS}[name](tmp_path / name, value)
    sources = [tmp_path / name] * 3
    options = ["--columns", "a"] if name in files.TABLES else []
    for target in ("o.npz", "o.npy", "o.parquet"):
        convert(*sources, tmp_path / target, *options, "--rows", "299:602")
    assert oc.load(tmp_path / "o.parquet").column(0).to_pylist() == [299, *range(300), 0, 1]
    got = oc.load(tmp_path / "o.npy")
    assert (got["a"] if options else got).tolist() == [299, *range(300), 0, 1]
    assert array_of(oc.load(tmp_path / "o.npz")).tolist() == [299, *range(300), 0, 1]


def test_nulls_and_values_that_json_does_not_have(tmp_path: Path) -> None:
    odd = pa.table(
        {"f": [1.5, None, float("nan"), float("inf")], "d": pa.array([0, 1, None, 3], pa.date32())}
    )
    pa.parquet.write_table(odd, tmp_path / "x.parquet")
    convert(tmp_path / "x.parquet", tmp_path / "x.ndjson")
    assert (tmp_path / "x.ndjson").read_text().splitlines() == [
        '{"f":1.5,"d":"1970-01-01"}',
        '{"f":null,"d":"1970-01-02"}',
        '{"f":null,"d":null}',
        '{"f":null,"d":"1970-01-04"}',
    ]
    convert(tmp_path / "x.parquet", tmp_path / "x.npy")
    got = oc.load(tmp_path / "x.npy")
    assert np.isnan(got["f"]).tolist() == [False, True, True, False]
    assert np.isnat(got["d"]).tolist() == [False, False, True, False]


def test_what_cannot_be_held_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.parquet"
    odd = pa.table({"s": ["a"], "n": pa.array([None], pa.int8()), "l": [[1]]})
    pa.parquet.write_table(odd, path)
    for options, out, says in (
        (("--columns", "s"), "x.npy", "column 's' of string has no equal among arrays"),
        (("--columns", "n"), "x.npy", "x.parquet:n' has nulls, which int8 does not have"),
        ((), "x.csv", "x.csv' cannot hold this: "),
        (("--columns", "z"), "x.csv", "has no column 'z'; it has s, n, l"),
        (("--rows", "5"), "x.csv", "--rows '5': it is START:STOP"),
        (("--dtype", "f4", "--dtype", "n=f4"), "x.csv", "--dtype is one type"),
        (("--columns", "s", "--dtype", "s=int8"), "x.csv", "column 's' cannot be loaded as int8"),
        ((), "x.pkl", "no file is written as 'pickled'"),
        ((), "x.unknown", "the format is not known"),
        ((), "nowhere/x.csv", "there is no directory"),
        ((), "x.parquet", "is what is read"),
    ):
        assert says in refused(capsys, path, tmp_path / out, *options)
    assert "lasts" not in refused(capsys, path)
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.arange(4))
    assert "there are a: 3, b: 4" in refused(capsys, tmp_path / "x.npz", tmp_path / "x.csv")
    assert "holds one array, and there are 2" in refused(
        capsys, tmp_path / "x.npz", tmp_path / "x.npy"
    )
    assert "does not exist" in refused(capsys, tmp_path / "none.csv", tmp_path / "x.npy")
    (tmp_path / "x.zarr").mkdir()
    line = refused(capsys, tmp_path / "x.npz", tmp_path / "x.zarr", status=1)
    assert "there is a directory of this name" in line
    assert sorted(os.listdir(tmp_path)) == ["x.npz", "x.parquet", "x.zarr"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([None, 1, None, None, 2, None]),
        pa.array([None, "x", "", "a\n\nb", None, "y"]),
        pa.array([None, "x", "a\n\n", None, "x", None]).dictionary_encode(),
        pa.array([None, 0, None, None, 0, 0], pa.timestamp("s")),
        pa.array([None, True, False, None, None, True]),
        pa.array([None, b"x", None, b"", b"z\n\n", None]),
        pa.array([None, b"x\n", None, b"\n\n", b"z ", None], pa.binary(2)),
        pa.array([None, Decimal(1), None, None, Decimal(2), None], pa.decimal128(5)),
        pa.nulls(6),
    ],
    ids=lambda values: str(values.type)[:10],
)
def test_a_null_that_is_a_whole_row_stays_a_row(tmp_path: Path, values: Any) -> None:
    """It is an empty value in quotes: null again, or an empty string in text."""
    pa.parquet.write_table(pa.table({"a": values}), tmp_path / "x.parquet")
    convert(tmp_path / "x.parquet", tmp_path / "x.csv")
    got = oc.load(tmp_path / "x.csv")["a"]
    kind = got.type
    want = values.to_pylist()
    if pa.types.is_string(kind):
        want = ["" if each is None else getattr(each, "decode", each.__str__)() for each in want]
    assert got.to_pylist() == want


def test_text_is_no_array_and_that_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before all of the file has been converted to Arrow, and by the name of the file."""
    path = tmp_path / "x.csv"
    path.write_text("n,s,t\n1,a,2024-01-01\n")
    np.savez(tmp_path / "x.npz", s=np.array(["a", "b"]))
    line = refused(capsys, tmp_path / "x.npz", tmp_path / "x.h5")
    assert "x.npz:s.npy': HDF5 has no type for <U1" in line
    with monkeypatch.context() as patch:
        patch.setattr(into, "_as_arrow", None)
        line = refused(capsys, path, tmp_path / "x.h5")
        assert "x.csv': column 's' of string has no equal among arrays" in line
    line = refused(capsys, path, tmp_path / "x.h5", "--columns", "t,n")
    assert "x.csv:t': HDF5 has no type for datetime64[D]" in line
    convert(path, tmp_path / "x.h5", "--columns", "n")
    assert oc.load(tmp_path / "x.h5")["n"].tolist() == [1]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may become larger than that; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that was there stays, and nothing else."""
    random = np.random.default_rng(1).normal(size=(1 << 14, 2))
    big = tmp_path / "big.csv.gz"
    files.TABLES["x.csv.gz"](big, pa.table({"a": random[:, 0], "b": random[:, 1]}))
    for name in ("t.parquet", "t.arrow", "t.csv", "t.ndjson", "a.npy", "a.npz", "a.h5", "a.zarr"):
        out = tmp_path / name
        if name != "a.zarr":
            out.write_text("as it was")
        with largest_file(1 << 16):
            line = refused(capsys, big, out, status=1)
        assert os.strerror(errno.EFBIG) in line
        assert name == "a.zarr" or out.read_text() == "as it was"
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_a_damaged_file_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.TABLES["x.feather"](tmp_path / "x.feather", files.table(5000))
    whole = bytearray((tmp_path / "x.feather").read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 500] = bytes(500)
    (tmp_path / "x.feather").write_bytes(whole)
    for name in ("x.parquet", "x.npy", "x.h5"):
        line = refused(capsys, tmp_path / "x.feather", tmp_path / name, "--columns", "a,b")
        assert "x.feather' is not a whole Arrow file" in line
    assert os.listdir(tmp_path) == ["x.feather"]


def test_progress_goes_to_standard_error(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(table, table.with_name("out.arrow"), "--progress")
    out, err = capsys.readouterr()
    assert out == ""
    text = table.name.endswith(("csv.gz", "tsv", "ndjson"))
    size = human_bytes(table.stat().st_size)
    count = f"{size} of {size} in" if text else "300 of 300"
    assert f"to out.arrow: {count}" in err.splitlines()[-1]


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """Of a table that is larger than what is ever held of it."""
    path = tmp_path / "x.arrow"
    piece = pa.table({"a": np.arange(1 << 18, dtype="i8"), "b": np.ones(1 << 18)})
    with pa.ipc.new_file(str(path), piece.schema) as writer:
        for _ in range(12):
            writer.write_table(piece)
    convert(path, tmp_path / "x.parquet")
    assert pa.parquet.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups >= 2
    assert oc.load(tmp_path / "x.parquet", columns=["a"]).num_rows == 12 << 18


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_even_blocks(lengths: list[int], step: int) -> None:
    whole = np.arange(sum(lengths))
    blocks: Any = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    got = list(evenly(iter(blocks), step))
    assert [len(block) for block in got[:-1]] == [step] * (len(got) - 1)
    assert np.concatenate([whole[:0], *got]).tolist() == whole.tolist()
    assert all(len(block) for block in got)


def test_what_is_asked_for_is_looked_at_first() -> None:
    assert asked("a", slice(None, 5)).columns == ("a",)
    assert asked(rows=(None, 5)).window(3) == (0, 3)
    with pytest.raises(ValueError, match="from the front"):
        asked(rows=(-1, 5))
    with pytest.raises(BadFile, match="a pickle"):
        oc.load(__file__, format="pickled")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([0, 10**15], pa.timestamp("s")), "1000000000000000 is a timestamp[s] of no year"),
        (pa.array([253402300799], pa.timestamp("s", "Asia/Tokyo")), "of no year from 1 to 9999"),
        (pa.array([-(10**6), None], pa.date32()), "-1000000 is a date32[day] of no year"),
        (pa.array([86_400_000 * 10**8], pa.int64()).view(pa.date64()), "is a date64[ms] of no"),
        (pa.array([-1], pa.int64()).view(pa.time64("us")), "time64[us] -1 is not within"),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array) else "",
)
@pytest.mark.parametrize("target", ["o.csv", "o.ndjson"])
def test_times_that_text_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: Any, said: str, target: str
) -> None:
    """Arrow would write "<value out of range>", or another time."""
    with pa.ipc.new_file(tmp_path / "x.arrow", pa.schema({"t": column.type})) as writer:
        writer.write(pa.table({"t": column}))
    assert said in refused(capsys, tmp_path / "x.arrow", tmp_path / target)
    assert not (tmp_path / target).exists()


def test_offsets_with_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long_ago = pa.array([-2051244000], pa.timestamp("s", "Asia/Kolkata"))
    pa.parquet.write_table(pa.table({"t": long_ago}), tmp_path / "x.parquet")
    assert "no seconds in an offset" in refused(capsys, tmp_path / "x.parquet", tmp_path / "o.csv")
    convert(tmp_path / "x.parquet", tmp_path / "o.ndjson")
    assert (tmp_path / "o.ndjson").read_text() == '{"t":"1904-12-31T23:21:10+05:21:10"}\n'
