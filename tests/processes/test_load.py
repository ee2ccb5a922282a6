"""Loaded files in real workers: what a task moves does not depend on how much was loaded.

What `load` makes of each format is in `tests/unit/test_load_tables.py` and its neighbours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import onecopy as oc
from onecopy.errors import FileTruncated
from tests import files
from tests.conftest import MakePool
from tests.scripts import until

pytestmark = [pytest.mark.door, pytest.mark.beside]

FEW, MANY = 1000, 100_000


@pytest.fixture(params=["x.parquet", "x.arrow", "x.csv"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file with `FEW` rows, and beside it one with `MANY`."""
    path = tmp_path / str(request.param)
    files.TABLES[path.name](path, files.table(FEW))
    files.TABLES[path.name](path.with_name(f"many-{path.name}"), files.table(MANY))
    return path


def add_up(table: Any) -> int:
    return int(pc.sum(table["a"]).as_py())


def same_there(table: Any) -> Any:
    assert oc.is_shared(table)
    return table


def moved(pool: Any, table: Any) -> int:
    """Bytes that one task with the table as its argument and its result moves."""
    fewest = 1 << 40
    for _ in range(8):  # the first ones make it known to each worker
        before = pool.stats()
        assert pool.apply(same_there, (table,)).equals(table)
        after = pool.stats()
        assert after.bytes_copied == before.bytes_copied
        sent = after.bytes_sent - before.bytes_sent
        fewest = min(fewest, sent + after.bytes_received - before.bytes_received)
    return int(fewest)


def test_a_loaded_table_moves_the_same_bytes_at_any_size(
    make_pool: MakePool, process_method: str, path: Path
) -> None:
    pool = make_pool(process_method)
    few, many = oc.load(path), oc.load(path.with_name(f"many-{path.name}"))
    assert abs(moved(pool, few) - moved(pool, many)) < 64
    assert moved(pool, oc.load(path.with_name(f"many-{path.name}"), rows=(5, MANY - 5))) < 1500
    # Blocks of it are references too; results come back as what they are.
    before = pool.stats()
    assert pool.map_blocks(add_up, many, reduce="sum") == MANY * (MANY - 1) // 2
    assert pool.map_blocks(pc.sum, many["a"], reduce="sum") == MANY * (MANY - 1) // 2
    assert pool.map_blocks(same_there, many, reduce="concat").equals(many)
    assert pool.stats().bytes_copied == before.bytes_copied


def test_blocks_of_frames_and_series(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    table = oc.share(files.table(MANY))
    frame = oc.share(table.to_pandas())
    whole = MANY * (MANY - 1) // 2
    for data in (frame, table):
        assert (
            pool.map_blocks(lambda block: int(block["a"].to_numpy().sum()), data, reduce="sum")
            == whole
        )
    assert pool.map_blocks(lambda block: block.sum(), frame["a"], reduce="sum") == whole
    pairs = pool.map_blocks(lambda block, more: len(block) == len(more), frame, table, reduce="min")
    assert pairs
    joined = pool.map_blocks(lambda block: block[["s", "a"]], frame, reduce="concat")
    pd.testing.assert_frame_equal(joined, frame[["s", "a"]])
    joined = pool.map_blocks(lambda block: block["b"], table, reduce="concat")
    assert joined.equals(table["b"])
    assert pool.map_blocks(lambda block: block.to_batches()[0], table, reduce="concat").equals(
        table
    )
    means = pool.map_blocks(lambda block: pc.mean(block["b"]), table, reduce="concat", block=1000)
    assert (len(means), means.type) == (MANY // 1000, pa.float64())
    columns = pool.map_blocks(lambda part: part.shape[1], frame, axis=1, block=1)
    assert columns == [1, 1, 1]
    with pytest.raises(ValueError, match="argument 0 is a Table, which is cut by rows: axis 0"):
        pool.map_blocks(len, table, axis=1)


def test_blocks_of_polars(make_pool: MakePool, process_method: str) -> None:
    if process_method == "fork":
        pytest.skip("polars cannot be used in a fork of a process that has used it")
    pool = make_pool(process_method)
    frame = oc.share(pl.from_arrow(files.table(MANY)))
    assert isinstance(frame, pl.DataFrame)
    whole = MANY * (MANY - 1) // 2
    assert pool.map_blocks(lambda block: block["a"].sum(), frame, reduce="sum") == whole
    assert pool.map_blocks(lambda block: block, frame, reduce="concat").equals(frame)
    doubled = pool.map_blocks(lambda block: block * 2, frame["a"], reduce="concat")
    assert doubled.equals(frame["a"] * 2)


def test_a_mapped_table_that_somebody_cuts_short(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.arrow"
    files.TABLES["x.arrow"](path, files.table(MANY))
    table = oc.load(path)
    pool = make_pool(process_method)
    assert pool.apply(add_up, (table,)) == MANY * (MANY - 1) // 2
    os.truncate(path, 4096)
    with pytest.raises(FileTruncated, match=r"x\.arrow' was truncated"):
        pool.apply(add_up, (table,))
    assert pool.apply(abs, (-1,)) == 1


def onecopy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onecopy", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz", "x.h5", "x.zarr"])
def test_run_takes_every_format(tmp_path: Path, name: str) -> None:
    writers = {**files.TABLES, **files.ARRAYS}
    numbers = files.table(FEW)
    if name == "x.zarr":  # written by a process of its own: zarr keeps threads
        np.save(tmp_path / "x.npy", numbers["a"].to_numpy())
        assert onecopy(tmp_path, "convert", "x.npy", name).returncode == 0
    else:
        value = numbers if name in files.TABLES else numbers["a"].to_numpy()
        writers[name](tmp_path / name, value)
    field = ["--field", "a"] if name in files.TABLES else []
    done = onecopy(tmp_path, "run", "numpy:sum", name, *field, "--reduce", "sum", "--json")
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert (got["result"], got["rows"]) == (FEW * (FEW - 1) // 2, FEW)


def test_run_cuts_tables(tmp_path: Path) -> None:
    for number in range(2):
        files.TABLES["x.ndjson"](tmp_path / f"{number}.ndjson", files.table(FEW))
    (tmp_path / "tasks.py").write_text("def rows(table): return table.num_rows")
    done = onecopy(tmp_path, "run", "tasks.py:rows", "*.ndjson", "--reduce", "sum")
    assert (done.returncode, done.stdout) == (0, f"{2 * FEW}\n")


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    files.TABLES["x.csv"](tmp_path / "part.csv", files.table(FEW))
    names = ["part.csv"] * 3000  # more than there are descriptors
    process = subprocess.Popen(
        [sys.executable, "-m", "onecopy", "convert", *names, "out.ndjson"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: any(tmp_path.glob(".out.ndjson-*/out.ndjson")), "it writes")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode in (130, -signal.SIGINT), err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == ["part.csv"]


def test_arrays_of_several_files_move_nothing(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.arange(100_000.0))
    data = oc.load(tmp_path / "*.npy", dtype="f4")
    pool = make_pool(process_method)
    total = pool.map_blocks(lambda block: float(block.sum(dtype="f8")), data, reduce="sum")
    assert total == 3 * np.arange(100_000.0).sum()
    assert pool.stats().bytes_copied == 0
