"""`load` of tables: Arrow, Parquet, CSV, NDJSON; what is mapped, what is copied, and how often.

Damaged files are in `test_load_damage.py`.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._codec.codec import encode
from onecopy._files.load import parquet, tables
from onecopy._files.load.interface import reading
from onecopy._memory.segment import Segment, registry
from onecopy._memory.segment_writer import Growing
from onecopy.errors import BadFile, NotEnoughMemory
from tests import files, frames
from tests.frames import assert_equal
from tests.scripts import until


@pytest.fixture(params=files.TABLES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each format in turn, with `files.table()` in it."""
    path = tmp_path / str(request.param)
    files.TABLES[request.param](path, files.table())
    return path


def test_a_table_of_every_format(written: Path) -> None:
    got = oc.load(written)
    assert got.equals(files.table())
    assert oc.is_shared(got)
    (segment,) = oc.segments()
    assert segment.kind == ("file" if written.name in files.MAPPED else "shared")
    # Columns, slices and choices are views of it.
    for part in (got[7:200], got.select(["s"]), got["b"], got["s"].chunk(0)[1:]):
        assert oc.is_shared(part)
    column = got["a"].chunk(0).to_numpy()
    del got, part
    assert column[5] == 5
    assert len(oc.segments()) == 1
    assert not column.flags.writeable


def test_columns_rows_and_types(written: Path) -> None:
    whole = files.table()
    cuts: list[Any] = [(100, 200), slice(150), slice(290, 999), (0, 0), (400, None)]
    for rows in cuts:
        cut = rows if isinstance(rows, slice) else slice(*rows)
        got = oc.load(written, columns=["s", "a"], rows=rows)
        assert got.equals(whole.select(["s", "a"])[cut])
        assert oc.is_shared(got) or not got.num_rows
        got = oc.load(written, columns="a", rows=rows, dtype={"a": "float32"})
        assert got.schema.field("a").type == pa.float32()
        assert got["a"].to_pylist() == whole["a"].to_pylist()[cut]
        assert oc.is_shared(got) or not got.num_rows


def test_several_files_are_one_table(written: Path) -> None:
    other = written.with_name(f"y-{written.name}")
    files.TABLES[written.name](other, files.table(50))
    both = pa.concat_tables([files.table(), files.table(50)])
    assert oc.load([written, other]).equals(both)
    # A pattern's files come in order of their names.
    suffix = "".join(written.suffixes)
    assert oc.load(str(written.parent / f"*{suffix}")).equals(both)
    got = oc.load((each for each in (str(written), str(other))), rows=(290, 310))
    assert got.equals(both[290:310])
    assert len(oc.segments()) == (2 if written.name in files.MAPPED else 1)


def test_format_by_word(written: Path) -> None:
    plain = written.rename(written.with_name("nothing"))
    words = {".ipc": "arrow", ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow"}
    word = words.get(written.suffix, written.suffix[1:])
    if word in ("gz", "tsv", "jsonl"):
        pytest.skip("what is told by the name alone")
    assert oc.load(plain, format=word).equals(files.table())


def size(value: Any) -> int:
    """Bytes that a message with it moves."""
    encoded = encode(value)
    assert encoded.all_shared()
    return encoded.nbytes


def test_a_loaded_table_takes_the_same_bytes_at_any_size(written: Path, tmp_path: Path) -> None:
    large = tmp_path / f"large-{written.name}"
    files.TABLES[written.name](large, files.table(5_000))
    few, many = oc.load(written), oc.load(large)
    assert size(few) == size(many) < 200
    assert size(oc.load([large, large])) < 300
    rows = oc.load(large, rows=(10, 4_900))
    assert size(rows) < 200
    assert size([rows, {"x": few}]) < 400
    block = many[1000:1100]
    assert size(block) < 5000


def test_sharing_what_holds_a_loaded_table(written: Path) -> None:
    got = oc.load(written)
    assert oc.share(got) is got
    held = oc.share({"t": got, "a": np.arange(100_000)})
    assert held["t"].equals(got)
    assert oc.is_shared(held)
    del got
    gc.collect()
    again = oc.share([held["t"]])  # it is known as what it was opened from
    assert size(again) < 200


@settings(max_examples=40)
@given(frames.arrow(), st.sampled_from(["file", "stream", "zstd"]))
def test_any_arrow_table(tmp_path_factory: pytest.TempPathFactory, sent: Any, form: str) -> None:
    if isinstance(sent, pa.RecordBatch):
        sent = pa.Table.from_batches([sent])
    elif not isinstance(sent, pa.Table):
        sent = pa.table({"x": sent})
    path = tmp_path_factory.getbasetemp() / "any.arrow"
    options = pa.ipc.IpcWriteOptions(compression="zstd" if form == "zstd" else None)
    make = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    unified = sent.unify_dictionaries()
    with make(str(path), sent.schema, options=options) as writer:
        writer.write_table(unified)
    got = oc.load(path)
    assert_equal(got, unified)
    if got.num_rows:
        assert oc.is_shared(got)
    del got
    assert not oc.segments()


@pytest.mark.parametrize("kind", sorted(set(frames.ARROW) - {"runs", "unions", "views", "binary"}))
def test_parquet_of_every_type(tmp_path: Path, kind: str) -> None:
    column = frames.ARROW[kind](3000, np.random.default_rng(1))
    sent = pa.table({"x": column, "x y": column})
    pa.parquet.write_table(sent, tmp_path / "x.parquet", row_group_size=700)
    expected = pa.parquet.read_table(tmp_path / "x.parquet")
    got = oc.load(tmp_path / "x.parquet", rows=(650, 2900))
    assert got.schema.equals(expected.schema)
    assert got.to_pylist() == expected[650:2900].to_pylist()
    assert oc.is_shared(got) or kind == "nulls"


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    sent = pa.Table.from_arrays([pa.array([1]), pa.array(["a"])], ["x", "x"])
    for name in ("x.parquet", "x.arrow", "x.feather"):
        files.TABLES[name](tmp_path / name, sent)
        assert oc.load(tmp_path / name).equals(sent)


def test_dictionaries_that_differ_from_batch_to_batch(tmp_path: Path) -> None:
    parts = [pa.table({"c": pa.array(words).dictionary_encode()}) for words in (["a", "b"], ["c"])]
    for number, part in enumerate(parts):
        pa.parquet.write_table(part, tmp_path / f"{number}.parquet")
    got = oc.load(tmp_path / "*.parquet")
    assert got["c"].to_pylist() == ["a", "b", "c"]
    assert pa.types.is_dictionary(got.schema.field("c").type)
    assert oc.is_shared(got)


def test_pandas_finds_its_index_again(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"v": [1.5, 2.5]}, index=pd.Index(["p", "q"], name="k"))
    frame.to_parquet(tmp_path / "x.parquet")
    assert oc.load(tmp_path / "x.parquet").to_pandas().equals(frame)


def test_no_more_than_a_batch_is_held_beside_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one huge row group too; and tiny groups do not become tiny chunks."""
    numbers = np.random.default_rng(1)
    whole = pa.table(
        {"a": numbers.integers(0, 1 << 60, 1_500_000), "b": numbers.normal(size=1_500_000)}
    )
    piece = 1 << 20
    monkeypatch.setattr(tables, "PIECE", piece)
    monkeypatch.setattr(parquet, "PIECE", piece)
    most = 0
    write = Growing.write

    def noted(self: Growing, data: Any) -> int:
        nonlocal most
        most = max(most, pa.total_allocated_bytes())
        return write(self, data)

    monkeypatch.setattr(Growing, "write", noted)
    for group in (10_000, 1_500_000):
        pa.parquet.write_table(whole, tmp_path / "x.parquet", row_group_size=group)
        before, most = pa.total_allocated_bytes(), 0
        got = oc.load(tmp_path / "x.parquet")
        assert got.equals(whole)
        assert most - before < 12 * piece < whole.nbytes
        assert got["a"].num_chunks < 3 * whole.nbytes / piece
        del got


def test_types_that_do_not_fit(tmp_path: Path) -> None:
    for name in ("x.csv", "x.parquet", "x.ndjson"):
        files.TABLES[name](tmp_path / name, files.table())
        with pytest.raises(BadFile, match=rf"{name}'.*(cannot be loaded as int8|int8|Int8)"):
            oc.load(tmp_path / name, dtype={"a": "int8"})
        if name != "x.ndjson":
            with pytest.raises(BadFile, match=r"has no column 'z'; it has a, b, s"):
                oc.load(tmp_path / name, dtype={"z": int})
        with pytest.raises(BadFile, match=r"has no column 'z'; it has a, b, s"):
            oc.load(tmp_path / name, columns=["a", "z"])
        with pytest.raises(TypeError, match="is no type of a column"):
            oc.load(tmp_path / name, dtype={"a": "nonsense"})
    assert oc.segments() == []


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("f4", "float"),
        (np.int16, "int16"),
        (pa.string(), "string"),
        (str, "string"),
        ("M8[s]", "timestamp[s]"),
    ],
)
def test_types_by_every_name(kind: Any, made: str) -> None:
    assert str(tables.arrow_type(kind)) == made


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    pa.parquet.write_table(files.table(), tmp_path / "1.parquet")
    pa.parquet.write_table(
        files.table().set_column(1, "b", files.table()["a"]), tmp_path / "2.parquet"
    )
    pa.parquet.write_table(files.table().select(["a", "b"]), tmp_path / "3.parquet")
    with pytest.raises(
        BadFile, match=r"1\.parquet' and '.*2\.parquet' do not.*'b' of double, 'b' of int64"
    ):
        oc.load(tmp_path / "[12].parquet")
    with pytest.raises(BadFile, match=r"1\.parquet' and '.*3\.parquet'.*'s' of string is in one"):
        oc.load(tmp_path / "[13].parquet")
    assert oc.load(tmp_path / "[13].parquet", columns=["a"]).num_rows == 600
    assert (
        oc.load(tmp_path / "[12].parquet", dtype={"b": float}, columns=["a", "b"]).num_rows == 600
    )
    files.TABLES["x.csv"](tmp_path / "1.csv", files.table())
    with pytest.raises(BadFile, match=r"1\.csv' is csv and '.*1\.parquet' is parquet"):
        oc.load([tmp_path / "1.csv", tmp_path / "1.parquet"])
    with pytest.raises(FileNotFoundError, match="no file has a name of this pattern"):
        oc.load(tmp_path / "x*.csv")
    with pytest.raises(FileNotFoundError, match="empty list"):
        oc.load([])


def test_quoted_lines_and_empty_values(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('n,s\n1,"two\nlines"\n,\n')
    assert oc.load(path).to_pylist() == [{"n": 1, "s": "two\nlines"}, {"n": None, "s": ""}]


@pytest.mark.parametrize("rows", [slice(-1, None), slice(0, 5, 2), (0, -1), 5, (1, 2, 3)])
def test_rows_that_a_stream_cannot_know(tmp_path: Path, rows: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="rows="):
        oc.load(tmp_path / "x.csv", rows=rows)


def test_one_descriptor_whatever_the_number_of_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    with pa.ipc.new_file(str(path), files.table().schema) as writer:
        for _ in range(300):
            writer.write_table(files.table(3))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    got = oc.load(path)
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1, "nothing else is open")
    assert got.num_rows == 900


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.csv"])
def test_few_descriptors_whatever_the_number_of_files(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    files.TABLES[name](path, files.table(3))
    most = 0
    write = Growing.write

    def noted(self: Growing, data: Any) -> int:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))
        return write(self, data)

    monkeypatch.setattr(Growing, "write", noted)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    got = oc.load([path] * 60)
    assert got.num_rows == 180
    assert most <= before + 20
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1, "the files are closed")
    assert len(oc.segments()) == 1


def test_too_little_memory(tmp_path: Path, backing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at before each piece; nothing of it stays."""
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(files.table(60_000), path)
    module = (
        "onecopy._system.memory.available"
        if backing == "memfd"
        else "onecopy._system.unlinked._left"
    )
    monkeypatch.setattr(module, lambda *_: 1 << 19)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotEnoughMemory, match="wanted"):
        oc.load(path)
    gc.collect()
    # Arrow's threads may hold a file for a moment, this one or that of a test before.
    until(lambda: len(os.listdir("/proc/self/fd")) <= before, "the file is closed")
    assert oc.segments() == []


def test_what_was_decoded_is_sealed(tmp_path: Path, backing: str) -> None:
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(files.table(), path)
    got = oc.load(path)
    (info,) = oc.segments()
    assert info.backing == backing
    segment = registry.by_id[info.id]
    assert isinstance(segment, Segment)
    with pytest.raises(OSError, match=r"Operation not permitted|Bad file descriptor"):
        os.pwrite(segment.descriptor(), b"x", 0)
    assert got.num_rows == 300


def test_ctrl_c_that_pyarrow_tells_first_is_no_fault_of_the_file() -> None:
    """Its CSV reader has a handler of its own, and sends the signal again for the program's: that may
    be late. A program whose handler raises nothing gets pyarrow's error."""
    cancelled = pa.lib.ArrowCancelled("Operation cancelled. Detail: received signal 2")
    with pytest.raises(KeyboardInterrupt), reading("x.csv", "CSV file"):
        raise cancelled
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with pytest.raises(pa.lib.ArrowCancelled), reading("x.csv", "CSV file"):
            raise cancelled
    finally:
        signal.signal(signal.SIGINT, before)
