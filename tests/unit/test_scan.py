"""Datasets that are not loaded: what is known of them, what a block holds, and where they are cut.

That workers read them is in `tests/processes/test_scan.py`.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files.load import places
from onecopy._files.load.parquet import Opened
from onecopy._files.scan.handle import NoRows, OnBlocks
from onecopy.data import Block
from onecopy.errors import BadFile, LoadWarning
from tests import files

pytestmark = pytest.mark.usefixtures("zarr_ends")

ROWS = 3000
SMALL = 4000


def read(scan: oc.Scan) -> Any:
    """All of it, from the blocks that have rows."""
    parts = [block.read() for block in scan.blocks]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return pa.concat_tables(parts).combine_chunks()


def loaded(*args: Any, **kwargs: Any) -> Any:
    return oc.load(*args, **kwargs).combine_chunks()


@pytest.fixture(params=files.TABLES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    files.TABLES[path.name](path, files.table(ROWS))
    return path


def test_blocks_hold_what_load_returns(path: Path) -> None:
    scan = oc.scan(path, block_bytes=SMALL)
    assert scan.schema.equals(oc.load(path).schema)
    assert read(scan).equals(loaded(path))
    cut = path.name not in ("x.arrows", "stream.ipc", "x.csv.gz")
    assert (len(scan.blocks) > 5) == cut
    assert scan.rows in (None, ROWS)
    assert scan.files == [str(path)]


BY_ROWS = ["x.parquet", "x.arrow"]


@pytest.fixture(params=BY_ROWS)
def countable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of which the rows of each part are known."""
    path = tmp_path / str(request.param)
    files.TABLES[path.name](path, files.table(ROWS))
    return path


@pytest.mark.parametrize("rows", [1, 7, 150, 1000, ROWS, 10 * ROWS])
def test_blocks_of_rows_hold_what_load_returns(countable: Path, rows: int) -> None:
    scan = oc.scan(countable, rows=rows)
    sizes = [block.rows for block in scan.blocks]
    assert sum(filter(None, sizes)) == scan.rows == ROWS
    assert max(filter(None, sizes)) <= rows
    assert (len(sizes) == 1) == (rows >= ROWS)
    blocks = scan.blocks if rows > 1 else scan.blocks[:150]
    parts = [block.read() for block in blocks]
    assert [part.num_rows for part in parts] == sizes[: len(parts)]
    table = pa.concat_tables(parts).combine_chunks()
    assert table.equals(loaded(countable)[: table.num_rows].combine_chunks())


def test_columns_and_filter_of_blocks_of_rows(countable: Path) -> None:
    wanted: Any = {"columns": ["s", "a"], "filter": ["b >= 200", ("s", "!=", "row 7")]}
    scan = oc.scan(countable, rows=41, **wanted)
    assert read(scan).equals(loaded(countable, **wanted))
    function = OnBlocks(lambda table: table, counted=False)
    found = [function(block) for block in scan.blocks]
    assert pa.concat_tables([each for each in found if each is not NoRows]).equals(
        loaded(countable, **wanted)
    )


def one_group(path: Path, rows: int = ROWS) -> pa.Table:
    table = pa.table({"a": range(rows), "s": [f"row {at}" for at in range(rows)]})
    pq.write_table(table, path, row_group_size=rows)
    return table


def test_small_row_groups_are_joined_and_large_ones_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pq.ParquetWriter(path, pa.schema({"a": pa.int64()})) as writer:
        for rows in (30, 40, 50, 250, 20):
            writer.write_table(pa.table({"a": range(rows)}))
    scan = oc.scan(path, rows=100)
    assert [(block.rows, block.part) for block in scan.blocks] == [
        (70, "row groups 0 to 1"),
        (50, "row group 2"),
        (83, "rows 0 to 82 of row group 3"),
        (83, "rows 83 to 165 of row group 3"),
        (84, "rows 166 to 249 of row group 3"),
        (20, "row group 4"),
    ]
    assert read(scan).equals(loaded(path))
    assert len(oc.scan(path, rows=100, block_bytes=1).blocks) == 7


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 2, 3], [1, 3], [2, 1, 3], [3, 0], [1, 1, 2]])
def test_a_worker_goes_on_in_a_row_group(
    order: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are behind it are decoded from the beginning again."""
    table = one_group(tmp_path / "x.parquet")
    begun: list[int] = []
    forward = Opened.forward

    def counted(self: Opened, group: int) -> Any:
        begun.append(group)
        return forward(self, group)

    monkeypatch.setattr(Opened, "forward", counted)
    scan = oc.scan(tmp_path / "x.parquet", rows=750)
    function = OnBlocks(lambda table: table, counted=False)
    for at in order:
        assert function(scan.blocks[at]).equals(table[750 * at : 750 * (at + 1)])
    back = sum(b <= a for a, b in itertools.pairwise(order))
    assert len(begun) == 1 + back
    assert (function._kept._last is None) == (order[-1] == 3)


def test_a_group_of_another_file_or_column_is_not_gone_on_with(tmp_path: Path) -> None:
    tables = [one_group(tmp_path / name) for name in ("x.parquet", "y.parquet")]
    one, other = (oc.scan(tmp_path / name, rows=1000) for name in ("x.parquet", "y.parquet"))
    some = oc.scan(tmp_path / "x.parquet", rows=1000, columns=["s"])
    function = OnBlocks(lambda table: table, counted=False)
    assert function(one.blocks[0]).equals(tables[0][:1000])
    assert function(other.blocks[1]).equals(tables[1][1000:2000])
    assert function(one.blocks[1]).equals(tables[0][1000:2000])
    assert function(some.blocks[2]).equals(tables[0][2000:].select(["s"]))


def test_a_file_that_changes_between_its_pieces_is_an_error(tmp_path: Path) -> None:
    one_group(tmp_path / "x.parquet")
    scan = oc.scan(tmp_path / "x.parquet", rows=1000)
    function = OnBlocks(lambda table: table.num_rows, counted=False)
    assert function(scan.blocks[0]) == 1000
    one_group(tmp_path / "x.parquet", 2 * ROWS)
    with pytest.raises(BadFile, match="not the file that was scanned"):
        function(scan.blocks[1])


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("x.csv", ValueError, "rows= is not for csv"),
        ("x.ndjson", ValueError, "rows= is not for ndjson"),
        ("x.arrows", BadFile, "rows= cannot cut it"),
    ],
)
def test_formats_that_do_not_know_their_rows(
    name: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    files.TABLES[name](tmp_path / name, files.table(ROWS))
    with pytest.raises(error, match=said):
        oc.scan(tmp_path / name, rows=10)


def test_columns_and_filter(path: Path) -> None:
    wanted: Any = {"columns": ["s", "a"], "filter": ["b >= 200", ("s", "!=", "row 7")]}
    scan = oc.scan(path, block_bytes=SMALL, **wanted)
    assert read(scan).equals(loaded(path, **wanted))
    assert scan.rows is None


def test_types_that_are_asked_for(path: Path) -> None:
    dtype = {"a": "float32", "s": "large_string"}
    scan = oc.scan(path, block_bytes=SMALL, dtype=dtype)
    assert read(scan).equals(loaded(path, dtype=dtype))


def test_a_scan_and_its_blocks_are_small_when_pickled(path: Path) -> None:
    scan = oc.scan(path, block_bytes=SMALL)
    assert len(pickle.dumps(scan.blocks[-1])) < 3000
    again = pickle.loads(pickle.dumps(scan))
    assert again.blocks[-1].read().equals(scan.blocks[-1].read())


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "deflated.npz", "x.h5", "x.zarr"])
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_arrays(name: str, dtype: Any, tmp_path: Path) -> None:
    array = np.arange(6000.0).reshape(1000, 6)
    files.ARRAYS[name](tmp_path / name, array)
    scan = oc.scan(tmp_path / name, block_bytes=1000, dtype=dtype)
    parts = read(scan)
    assert (len(scan.blocks) > 5) == (name != "deflated.npz")
    assert scan.rows == 1000
    assert scan.schema == parts.dtype == np.dtype(dtype or float)
    np.testing.assert_array_equal(parts, array)


def test_fields_of_records(tmp_path: Path) -> None:
    records = np.zeros(100, [("a", "i4"), ("b", "f8")])
    records["a"] = np.arange(100)
    np.save(tmp_path / "x.npy", records)
    scan = oc.scan(tmp_path / "x.npy", columns="a", block_bytes=100)
    assert len(scan.blocks) == 4
    assert read(scan)["a"].tolist() == [*range(100)]


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "deflated.npz", "x.h5", "x.zarr"])
@pytest.mark.parametrize(("rows", "nbytes"), [(1, None), (7, None), (400, None), (400, 1000)])
def test_arrays_by_rows(name: str, rows: int, nbytes: int | None, tmp_path: Path) -> None:
    array = np.arange(600.0).reshape(100, 6)
    files.ARRAYS[name](tmp_path / name, array)
    scan = oc.scan(tmp_path / name, rows=rows, block_bytes=nbytes)
    assert max(block.rows or 0 for block in scan.blocks) <= rows
    # A member that can only be inflated from its beginning is cut for ``rows=`` alone.
    whole = rows == 400 and (nbytes is None or name == "deflated.npz")
    assert (len(scan.blocks) == 1) == whole
    np.testing.assert_array_equal(read(scan), array)


def test_an_array_is_cut_at_its_chunks(tmp_path: Path) -> None:
    files.ARRAYS["x.h5"](tmp_path / "x.h5", np.arange(100.0))  # three rows each
    scan = oc.scan(tmp_path / "x.h5", block_bytes=80)
    assert {block.rows for block in scan.blocks[:-1]} == {9}


def test_an_archive_of_several_arrays_wants_a_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.arange(4))
    with pytest.raises(BadFile, match=r"several arrays \(a, b\.\.\.\): columns= names the one"):
        oc.scan(tmp_path / "x.npz")
    assert read(oc.scan(tmp_path / "x.npz", columns="b")).tolist() == [0, 1, 2, 3]


def test_small_row_groups_are_joined_and_large_ones_stay(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(1000)}), tmp_path / "x.parquet", row_group_size=100)
    path = tmp_path / "x.parquet"
    assert [block.part for block in oc.scan(path, block_bytes=4000).blocks] == [
        "row groups 0 to 3",
        "row groups 4 to 7",
        "row groups 8 to 9",
    ]
    assert len(oc.scan(path, block_bytes=1).blocks) == 10


def test_row_groups_that_no_row_can_be_in_are_no_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": range(1000)}), path, row_group_size=100)
    scan = oc.scan(path, filter=["a >= 250", "a < 310"], block_bytes=1)
    assert [block.part for block in scan.blocks] == ["row group 2", "row group 3"]
    assert read(scan)["a"].to_pylist() == [*range(250, 310)]


def test_a_dataset_in_folders(tmp_path: Path) -> None:
    frame = pd.DataFrame({"year": [2023, 2023, 2024], "month": ["01", "02", "x"], "a": [1, 2, 3]})
    frame.to_parquet(tmp_path / "sales", partition_cols=["year", "month"])
    for wanted in ({}, {"filter": "year == 2023"}, {"columns": ["month", "a"]}):
        assert read(oc.scan(tmp_path / "sales", **wanted)).equals(
            loaded(tmp_path / "sales", **wanted)
        )
    # The month is text by the files together, and by this one alone a number.
    assert oc.scan(tmp_path / "sales").blocks[0].read()["month"].to_pylist() == ["01"]


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_files_of_several_types_have_one_in_all_blocks(suffix: str, tmp_path: Path) -> None:
    for name, values in (("a", [1, 2]), ("b", [1.5, 2.5])):
        table = pa.table({"x": pa.array(values), "only": [name] * 2})
        if suffix == "parquet":
            table = table.set_column(
                0, "x", pa.array(values, "float32" if name == "a" else "float64")
            )
        files.TABLES[f"x.{suffix}"](tmp_path / f"{name}.{suffix}", table)
    scan = oc.scan(tmp_path / f"*.{suffix}")
    assert [block.read().schema for block in scan.blocks] == [scan.schema] * 2
    assert read(scan).equals(loaded(tmp_path / f"*.{suffix}"))


def test_a_column_that_one_file_lacks(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [2]}), tmp_path / "2.parquet")
    with pytest.raises(BadFile, match="missing='null'"):
        oc.scan(tmp_path)
    assert read(oc.scan(tmp_path, missing="null")).to_pylist() == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": None},
    ]


def test_a_file_that_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    (tmp_path / "2.parquet").write_bytes(b"PAR1 nothing more")
    with pytest.raises(BadFile, match=r"2\.parquet"):
        oc.scan(tmp_path)
    with pytest.warns(LoadWarning, match=r"2\.parquet.*left out"):
        scan = oc.scan(tmp_path, errors="skip")
    assert read(scan).to_pylist() == [{"a": 1}]


def test_a_changed_file_is_refused(path: Path) -> None:
    scan = oc.scan(path)
    path.touch()
    with pytest.raises(BadFile, match=r"is not the file that was scanned"):
        scan.blocks[0].read()


def test_damage_names_the_file_and_the_part(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"a": np.random.default_rng(1).random(3000)}),
        path,
        row_group_size=1000,
        write_page_checksum=True,
        compression="none",
    )
    where = pq.read_metadata(path).row_group(1).column(0).total_compressed_size
    with path.open("r+b") as file:
        file.seek(int(where * 1.5))
        file.write(b"damage")
    scan = oc.scan(path, block_bytes=1)
    scan.blocks[0].read()
    with pytest.raises(BadFile, match=r"x\.parquet.*\(in row group 1 of .*x\.parquet'\)"):
        scan.blocks[1].read()


def test_it_is_not_read_here(path: Path) -> None:
    scan = oc.scan(path)
    with pytest.raises(TypeError, match=r"pool\.map_blocks\(f, scan\)"):
        list(scan)
    assert repr(scan).startswith("<onecopy.Scan of 1 file: ")
    assert str(path) in repr(scan.blocks[0])
    assert isinstance(scan.blocks[0], Block)


def test_wrong_arguments(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    files.pickled(tmp_path / "x.pkl", [1])
    with pytest.raises(ValueError, match="at least 1 byte"):
        oc.scan(tmp_path / "x.parquet", block_bytes=0)
    with pytest.raises(ValueError, match="at least 1 row"):
        oc.scan(tmp_path / "x.parquet", rows=0)
    with pytest.raises(ValueError, match="load collects them"):
        oc.scan(tmp_path / "x.csv", bad_rows="collect")  # type: ignore[arg-type]  # refused
    with pytest.raises(ValueError, match="sep= is not for parquet"):
        oc.scan(tmp_path / "x.parquet", sep=";")
    with pytest.raises(BadFile, match="one object, which has no blocks"):
        oc.scan(tmp_path / "x.pkl")
    with pytest.raises(FileNotFoundError):
        oc.scan(tmp_path / "none.parquet")
    with pytest.raises(BadFile, match="no column 'b'"):
        oc.scan(tmp_path / "x.parquet", columns="b")


# --- text ---------------------------------------------------------------------


def write_csv(path: Path, rows: list[list[str]], **how: Any) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, **how).writerows(rows)
    path.write_text(text.getvalue(), "utf-8", newline="")


def test_what_is_before_the_rows_is_in_the_first_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = "".join(f"{at},v{at}\n" for at in range(400_000))
    before = "written by a program\n" * 100 + "# a remark\n" * 100
    path.write_text("\ufeff" + before + "id,name\n" + lines, "utf-8")
    wanted: Any = {"skip_rows": 100, "comment": "#"}
    scan = oc.scan(path, block_bytes=300_000, **wanted)
    assert len(scan.blocks) > 10
    assert read(scan).equals(loaded(path, **wanted))


def test_a_file_without_names(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("".join(f"a{at};{at}\n" for at in range(500)))
    wanted: Any = {"header": False, "sep": ";"}
    scan = oc.scan(path, block_bytes=300, **wanted)
    assert len(scan.blocks) > 5
    assert read(scan).equals(loaded(path, **wanted))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_longer_than_a_block(end: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [["id", "text"], *([str(at), "x" * (at * 37 % 900)] for at in range(60))]
    write_csv(path, rows, lineterminator=end)
    scan = oc.scan(path, block_bytes=100)
    assert len(scan.blocks) > 100
    assert read(scan).equals(loaded(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "cp1252", "shift-jis"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    word = "日本" if encoding == "shift-jis" else "Köln"
    path.write_text("id,city\n" + f"1,{word}\n" * 300, encoding)
    scan = oc.scan(path, block_bytes=500, encoding=encoding)
    assert (len(scan.blocks) > 1) == (encoding in ("utf-8", "cp1252"))
    assert read(scan).equals(loaded(path, encoding=encoding))


def test_a_value_of_another_type_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 2_000_000 + "1,2.5\n")
    scan = oc.scan(path)
    assert scan.schema.types == [pa.int64()] * 2
    with pytest.raises(
        BadFile, match=r"column 'b' is int64 by the beginning.*not here:.*'2.5'.*; dtype="
    ):
        scan.blocks[-1].read()
    typed = oc.scan(path, dtype={"b": "float64"})
    assert typed.blocks[-1].read()["b"][-1].as_py() == 2.5


def test_a_field_of_another_type_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_text('{"a": 1, "c": 2}\n' * 300_000 + '{"a": 1.5}\n')
    scan = oc.scan(path)
    with pytest.raises(BadFile, match=r"column 'a' is int64 by the beginning.*double here"):
        scan.blocks[-1].read()
    path.write_text('{"a": 1, "c": 2}\n' * 300_000 + '{"z": 1}\n')
    with pytest.raises(BadFile, match="z: not in the beginning of the file"):
        oc.scan(path).blocks[-1].read()


def test_doubles_that_may_have_been_rounded_are_checked(tmp_path: Path) -> None:
    """In a block of whole numbers alone, beside one with a field that it lacks."""
    path = tmp_path / "x.ndjson"
    path.write_text('{"a": 1.5, "c": 2}\n' * 300_000 + '{"a": 1e300}\n{"a": 3}\n')
    scan = oc.scan(path)
    assert scan.blocks[-1].read()["a"].to_pylist()[-2:] == [1e300, 3.0]
    path.write_text('{"a": 1.5, "c": 2}\n' * 300_000 + '{"a": 9007199254740993}\n')
    with pytest.raises(BadFile):
        oc.scan(path).blocks[-1].read()


def test_bad_rows_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 500 + "1,2,3\n" + "1,2\n" * 500)
    with pytest.raises(BadFile, match=r"it has 3 values, and there are 2 columns"):
        read(oc.scan(path, block_bytes=1000))
    scan = oc.scan(path, block_bytes=1000, bad_rows="skip")
    with pytest.warns(LoadWarning, match="1 row was left out"):
        assert read(scan).num_rows == 1000


def test_a_line_end_within_a_value_is_found(tmp_path: Path) -> None:
    """The block that begins at a row and ends in a value is the first that fails."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + '1,"x\ny"\n' * 1000)
    scan = oc.scan(path, block_bytes=1000)
    with pytest.raises(BadFile, match="block_bytes= beyond the file's size"):
        read(scan)
    assert read(oc.scan(path, block_bytes=1 << 30)).equals(loaded(path))
    assert len(oc.scan(path, block_bytes=1 << 30).blocks) == 1


CELLS = st.text(st.sampled_from('ab,"\n\r é'), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30),
    block=st.integers(3, 120),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_blocks_are_right_up_to_the_first_that_is_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block: int, end: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"scan-{os.getpid()}.csv"
    write_csv(path, [["k", "m", "e"], *([*row, "e"] for row in rows)], lineterminator=end)
    wanted: Any = {"dtype": "string", "sep": ","}
    try:
        whole = oc.load(path, **wanted)
    except BadFile:
        return  # such as a carriage return by itself
    parts = []
    for each in oc.scan(path, block_bytes=block, **wanted).blocks:
        try:
            parts.append(each.read())
        except BadFile:
            break
    else:
        assert pa.concat_tables(parts).equals(whole)
        return
    found = pa.concat_tables([whole.slice(0, 0), *parts])
    assert found.equals(whole.slice(0, found.num_rows))
    assert '"' in path.read_text("utf-8")


# --- URLs ---------------------------------------------------------------------


@pytest.fixture
def memory() -> Any:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("name", [*files.TABLES])
def test_tables_at_urls(name: str, memory: Any, tmp_path: Path) -> None:
    files.TABLES[name](tmp_path / name, files.table(ROWS))
    memory.pipe_file(f"/d/{name}", (tmp_path / name).read_bytes())
    scan = oc.scan(f"memory://d/{name}", block_bytes=SMALL)
    local = oc.scan(tmp_path / name, block_bytes=SMALL)
    assert (len(scan.blocks) > 5) == (len(local.blocks) > 5)
    assert read(scan).equals(loaded(tmp_path / name))
    memory.pipe_file(f"/d/{name}", b"another")
    with pytest.raises(BadFile, match="is not the file that was scanned"):
        scan.blocks[0].read()


@pytest.mark.parametrize("name", ["x.parquet", "x.npy"])
def test_blocks_of_rows_at_urls(name: str, memory: Any, tmp_path: Path) -> None:
    if name == "x.npy":
        np.save(tmp_path / name, np.arange(float(ROWS)))
    else:
        files.TABLES[name](tmp_path / name, files.table(ROWS))
    memory.pipe_file(f"/d/{name}", (tmp_path / name).read_bytes())
    scan = oc.scan(f"memory://d/{name}", rows=130)
    assert max(block.rows or 0 for block in scan.blocks) <= 130
    if name == "x.npy":
        np.testing.assert_array_equal(read(scan), np.arange(float(ROWS)))
    else:
        assert read(scan).equals(loaded(tmp_path / name))
    files.TABLES["x.arrow"](tmp_path / "x.arrow", files.table(ROWS))
    memory.pipe_file("/d/x.arrow", (tmp_path / "x.arrow").read_bytes())
    with pytest.raises(BadFile, match="at a URL: rows= cannot cut it"):
        oc.scan("memory://d/x.arrow", rows=130)


def test_files_at_urls_are_opened_at_the_same_time(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.TABLES["x.parquet"](tmp_path / "x.parquet", files.table(ROWS))
    for at in range(4):
        memory.pipe_file(f"/d/{at}.parquet", (tmp_path / "x.parquet").read_bytes())
    memory.pipe_file("/d/9.parquet", b"PAR1 nothing more")
    opened, both = places.seekable, threading.Barrier(2)

    def seekable(name: str, **how: Any) -> Any:
        if name.endswith(("1.parquet", "3.parquet")):
            both.wait(20)  # for the other one
        return opened(name, **how)

    monkeypatch.setattr(places, "seekable", seekable)
    with pytest.raises(BadFile, match=r"9\.parquet"):
        oc.scan("memory://d/*.parquet")
    with pytest.warns(LoadWarning, match=r"9\.parquet.*left out"):
        scan = oc.scan("memory://d/*.parquet", errors="skip")
    assert [Path(name).name for name in scan.files] == [f"{at}.parquet" for at in range(4)]


@pytest.mark.parametrize("name", ["x.npy", "x.h5", "x.zarr"])
def test_arrays_at_urls(name: str, memory: Any, tmp_path: Path) -> None:
    array = np.arange(6000.0).reshape(1000, 6)
    files.ARRAYS[name](tmp_path / name, array)
    memory.put(str(tmp_path / name), f"/d/{name}", recursive=True)
    scan = oc.scan(f"memory://d/{name}", block_bytes=1000)
    assert len(scan.blocks) > 5
    np.testing.assert_array_equal(read(scan), array)


def test_columns_of_an_array_first_in_fortran_order_are_one_block_at_a_url(
    memory: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6000.0).reshape(1000, 6)))
    memory.put(str(tmp_path / "x.npy"), "/d/x.npy")
    scan = oc.scan("memory://d/x.npy", block_bytes=1000)
    assert len(scan.blocks) == 1
    np.testing.assert_array_equal(read(scan), np.load(tmp_path / "x.npy"))
    assert len(oc.scan(tmp_path / "x.npy", block_bytes=1000).blocks) > 5
