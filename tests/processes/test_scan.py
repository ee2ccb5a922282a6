"""Workers read the blocks of a dataset that is not loaded.

What a block holds is in `tests/unit/test_scan.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import onecopy as oc
from onecopy.errors import BadFile, WorkerOutOfMemory
from tests import files
from tests.conftest import MakePool
from tests.scripts import until

pytestmark = pytest.mark.door

ROWS = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten row groups of a hundred rows each."""
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"a": range(ROWS), "g": [f"g{at // 100}" for at in range(ROWS)]}),
        path,
        row_group_size=100,
    )
    return path


@pytest.fixture
def scan(path: Path) -> oc.Scan:
    return oc.scan(path, block_bytes=1)


@pytest.fixture
def pool(make_pool: MakePool, method: str) -> oc.Pool:
    return make_pool(method, 2)


def first(table: Any) -> int:
    assert table.num_rows
    return int(table["a"][0].as_py())


def add_up(table: Any) -> int:
    return int(pc.sum(table["a"]).as_py())


def fail_in_the_third(table: Any) -> int:
    if first(table) == 200:
        raise KeyError("mine")
    return first(table)


def pid(table: Any) -> int:
    return os.getpid()


FIRST = [*range(0, ROWS, 100)]


def test_all_calls_that_take_one(pool: oc.Pool, scan: oc.Scan) -> None:
    async def streamed() -> list[int]:
        return [each async for each in pool.stream(first, scan)]

    assert pool.map_blocks(first, scan) == FIRST
    assert list(pool.imap(first, scan)) == FIRST
    assert sorted(pool.imap_unordered(first, scan)) == FIRST
    assert asyncio.run(streamed()) == FIRST
    assert pool.apply(lambda each: first(each.blocks[3].read()), (scan,)) == 300
    assert os.getpid() not in pool.map_blocks(pid, scan) or pool.method == "thread"


@pytest.mark.parametrize("name", [*files.TABLES])
def test_a_block_is_what_map_blocks_cuts_out_of_the_loaded_table(
    pool: oc.Pool, name: str, tmp_path: Path
) -> None:
    files.TABLES[name](tmp_path / name, files.table(ROWS))
    one = pool.map_blocks(lambda table: table, oc.load(tmp_path / name), block=70)
    other = pool.map_blocks(lambda table: table, oc.scan(tmp_path / name, block_bytes=4000))
    assert {type(each) for each in one} == {type(each) for each in other}
    assert pa.concat_tables(one).equals(pa.concat_tables(other))


def test_arrays_as_well(pool: oc.Pool, tmp_path: Path) -> None:
    array = np.arange(6000.0).reshape(1000, 6)
    np.save(tmp_path / "x.npy", array)
    scan = oc.scan(tmp_path / "x.npy", block_bytes=4800)
    assert len(scan.blocks) == 10
    assert pool.map_blocks(np.sum, scan, reduce="sum") == array.sum()
    np.testing.assert_array_equal(pool.map_blocks(np.abs, scan, reduce="concat"), array)


def test_reductions_know_the_rows_of_each_block(pool: oc.Pool, path: Path) -> None:
    kept = oc.scan(path, block_bytes=1, filter="a >= 350")

    def mean(table: Any) -> float:
        return float(pc.mean(table["a"]).as_py())

    assert pool.map_blocks(mean, kept, reduce="mean") == np.arange(350, 1000).mean()
    assert pool.map_blocks(add_up, kept, reduce="sum") == sum(range(350, 1000))
    assert pool.map_blocks(lambda table: table, kept, reduce="concat").num_rows == 650
    assert pool.map_blocks(first, kept, reduce="first") == 350


def test_blocks_without_rows_are_left_out(pool: oc.Pool, tmp_path: Path) -> None:
    """They can only be known by reading them: text says nothing of its rows."""
    files.TABLES["x.csv"](tmp_path / "x.csv", files.table(ROWS))
    some = oc.scan(tmp_path / "x.csv", block_bytes=1000, filter=["a >= 500", "a < 503"])
    assert len(some.blocks) > 5
    assert pool.map_blocks(first, some) == [500]
    assert list(pool.imap(first, some)) == [500]
    assert list(pool.imap_unordered(first, some)) == [500]
    none = oc.scan(tmp_path / "x.csv", block_bytes=1000, filter="a < 0")
    assert pool.map_blocks(first, none) == []
    assert list(pool.imap(first, none)) == []
    assert pool.map_blocks(len, none, reduce="sum") == 0
    assert pool.map_blocks(lambda table: table.schema.names, none, reduce="first") == [
        "a",
        "b",
        "s",
    ]


def test_a_function_that_fails(pool: oc.Pool, scan: oc.Scan) -> None:
    with pytest.raises(KeyError, match="mine") as failed:
        pool.map_blocks(fail_in_the_third, scan)
    assert re.fullmatch(r"with row group 2 of '.*x\.parquet'", failed.value.__notes__[0])
    left = [at for at in FIRST if at != 200]
    assert pool.map_blocks(fail_in_the_third, scan, errors="skip") == left
    assert pool.map_blocks(fail_in_the_third, scan, errors="skip", reduce="sum") == sum(left)
    assert list(pool.imap(fail_in_the_third, scan, errors="skip")) == left
    (bad,) = (
        each
        for each in pool.map_blocks(fail_in_the_third, scan, errors="return")
        if isinstance(each, oc.Failed)
    )
    assert bad.item is scan.blocks[2]


def test_a_file_that_is_gone(pool: oc.Pool, path: Path, scan: oc.Scan) -> None:
    path.rename(path.with_suffix(".old"))
    with pytest.raises(FileNotFoundError, match=r"x\.parquet"):
        pool.map_blocks(first, scan)
    assert pool.map_blocks(first, scan, errors="skip") == []
    path.write_bytes(b"another")
    with pytest.raises(BadFile, match="is not the file that was scanned"):
        pool.map_blocks(first, scan)


def test_functions_keep_their_names_and_globals(pool: oc.Pool, scan: oc.Scan) -> None:
    pool.map_blocks(first, scan)
    assert {str(each) for each in pool.spans()["name"]} == {"tests.processes.test_scan.first"}


def test_refused(pool: oc.Pool, tmp_path: Path, scan: oc.Scan) -> None:
    with pytest.raises(TypeError, match="worked through alone"):
        pool.map_blocks(first, scan, [1])
    with pytest.raises(TypeError, match="worked through alone"):
        pool.imap(first, [1], scan)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="block_bytes="):
        pool.map_blocks(first, scan, block=3)
    with pytest.raises(TypeError, match=r"pool\.imap\(f, scan\)"):
        pool.map(first, scan)
    with pytest.raises(ValueError, match="unknown reduce"):
        pool.map_blocks(first, scan, reduce="all")  # type: ignore[call-overload]
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{at},{at}\n" for at in range(ROWS)))
    cut = oc.scan(tmp_path / "x.csv", block_bytes=1000)
    with pytest.raises(ValueError, match="may begin within a row"):
        pool.map_blocks(first, cut, errors="skip")
    with pytest.raises(ValueError, match="may begin within a row"):
        pool.imap(first, cut, errors="return")
    for whole in ({"quote": ""}, {"block_bytes": 1 << 30}):
        scan = oc.scan(tmp_path / "x.csv", **{"block_bytes": 1000, **whole})  # type: ignore[arg-type]
        assert sum(pool.map_blocks(add_up, scan, errors="skip")) == sum(range(ROWS))


def test_memory_of_another_process_is_refused(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    files.TABLES["x.parquet"](tmp_path / "x.parquet", files.table(ROWS))
    system.pipe_file("/x.parquet", (tmp_path / "x.parquet").read_bytes())
    try:
        scan = oc.scan("memory://x.parquet")
        with oc.Pool(1) as pool, pytest.raises(ValueError, match="in this process alone"):
            pool.map_blocks(add_up, scan)
        with oc.Pool(1, method="thread") as pool:
            assert pool.map_blocks(add_up, scan, reduce="sum") == sum(range(ROWS))
    finally:
        system.store.clear()
        system.pseudo_dirs[:] = [""]


def own_bytes() -> int:
    """The bytes that this process alone has written."""
    (line,) = re.findall(r"^RssAnon:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(line) * 1024


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.feather"])
def test_a_worker_holds_one_block(name: str, tmp_path: Path) -> None:
    """384 MB in workers of at most 200 MB each, and nothing of it here. As one block it is too
    much."""
    rows, parts = 1_000_000, 48
    with_rows = pa.table({"a": np.random.default_rng(1).integers(10**6, 10**7, rows)})
    path = tmp_path / name
    limit = "200MB"
    if name == "x.parquet":
        with pq.ParquetWriter(path, with_rows.schema, compression="none") as parquet:
            for _ in range(parts):
                parquet.write_table(with_rows)
    elif name == "x.feather":
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(str(path), with_rows.schema, options=options) as arrow:
            for _ in range(parts):
                arrow.write_table(with_rows)
    else:
        text = "\n".join(map(str, with_rows["a"].to_pylist())).encode() + b"\n"
        with path.open("wb") as file:
            file.write(b"a\n")
            for _ in range(parts):
                file.write(text)
    before = own_bytes()
    scan = oc.scan(path)
    with oc.Pool(2, method="spawn") as pool:
        limited = pool.options(memory_limit=limit)
        assert limited.map_blocks(add_up, scan, reduce="sum") == parts * add_up(with_rows)
        assert own_bytes() < before + (60 << 20)
        assert oc.segments() == []
        whole = oc.scan(path, block_bytes=1 << 40)
        assert len(whole.blocks) == 1
        with pytest.raises(WorkerOutOfMemory, match=r"memory"):
            limited.map_blocks(add_up, whole)


def test_a_worker_holds_some_rows_of_a_large_row_group(tmp_path: Path) -> None:
    """A row group of 384 MB, in workers of at most 200 MB each."""
    rows = 48_000_000
    path = tmp_path / "x.parquet"
    table = pa.table({"a": np.random.default_rng(1).integers(10**6, 10**7, rows)})
    pq.write_table(table, path, row_group_size=rows, compression="none", use_dictionary=False)
    total = add_up(table)
    del table
    with oc.Pool(2, method="spawn") as pool:
        limited = pool.options(memory_limit="200MB")
        scan = oc.scan(path, rows=3_000_000)
        assert len(scan.blocks) == 16
        assert limited.map_blocks(add_up, scan, reduce="sum") == total
        assert sum(limited.imap_unordered(add_up, scan)) == total
        with pytest.raises(WorkerOutOfMemory, match=r"memory"):
            limited.map_blocks(add_up, oc.scan(path))


def test_rows_of_a_large_row_group_in_order(pool: oc.Pool, tmp_path: Path) -> None:
    """Other workers read other pieces of the same group, and nothing of a job is left open."""
    pq.write_table(pa.table({"a": range(ROWS)}), tmp_path / "x.parquet", row_group_size=ROWS)
    scan = oc.scan(tmp_path / "x.parquet", rows=10)
    for _ in range(3):
        assert pool.map_blocks(first, scan) == [*range(0, ROWS, 10)]
        assert list(pool.imap(first, scan)) == [*range(0, ROWS, 10)]
    until(lambda: set(pool.map(open_here, range(4), chunksize=1)) == {0}, "they are closed")


def open_here(item: int) -> int:
    """The descriptors of Parquet files of this process."""
    names = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
    return sum(name.endswith(".parquet") for name in names)


def test_on_hosts(path: Path, scan: oc.Scan) -> None:
    with oc.Pool(cluster=oc.loopback(2, 2)) as pool:
        assert pool.map_blocks(first, scan) == FIRST
        assert pool.map_blocks(add_up, scan, reduce="sum") == sum(range(ROWS))
        assert list(pool.imap(first, scan)) == FIRST
        with pytest.raises(KeyError, match="mine"):
            pool.map_blocks(fail_in_the_third, scan)
        assert sum(each.shipped for each in pool.hosts()) == 0


def test_progress_counts_blocks_and_shows_bytes(
    pool: oc.Pool, scan: oc.Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.map_blocks(first, scan, progress=True)
    assert re.search(r"first: 10 of 10 blocks in .*B/s", capsys.readouterr().err)
