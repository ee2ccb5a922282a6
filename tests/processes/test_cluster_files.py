"""Files on several hosts: decoded by each that sees them, and shipped to the others.

Mapped files are in `test_cluster.py`; the blocks of a scan in `test_scan.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import onecopy as oc
from onecopy._cluster import recipes
from onecopy._files.load import origins
from onecopy._memory.segment import registry

Make = Callable[..., oc.Pool]
ROWS = 1_000_000


@pytest.fixture
def make() -> Iterator[Make]:
    """Make pools on two hosts, which are gone when the test is."""
    pools: list[oc.Pool] = []

    def make(**options: Any) -> oc.Pool:
        pools.append(oc.Pool(cluster=oc.loopback(2, 1), **options))
        return pools[-1]

    yield make
    while pools:
        pool = pools.pop()
        pool.terminate()
        pool.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.parquet"
    table = pa.table({"a": np.arange(ROWS), "s": [f"row {at % 100}" for at in range(ROWS)]})
    pq.write_table(table, path)
    return path


def add_up(table: Any, number: int) -> int:
    return int(pc.sum(table["a"]).as_py()) + number


def shipped(pool: oc.Pool) -> list[int]:
    return [host.shipped for host in pool.hosts()]


def on_all(pool: oc.Pool, data: Any) -> None:
    """Use the data until each host has."""
    for _ in range(50):
        assert pool.starmap(add_up, [(data, at) for at in range(8)], chunksize=1) == [
            sum(range(ROWS)) + at for at in range(8)
        ]
        if all(host.segments for host in pool.hosts()):
            return
    raise AssertionError("one host does all of the work")


def test_each_host_decodes_what_it_sees(make: Make, path: Path) -> None:
    table = oc.load(path)
    pool = make()
    on_all(pool, table)
    assert shipped(pool) == [0, 0]
    # Parts of it are found there too, and so is a result that refers to it.
    (again,) = pool.map(lambda part: part, [table.slice(5, 100_000)])
    assert again.equals(table.slice(5, 100_000))
    assert oc.is_shared(again)


def test_options_and_folders_are_those_of_the_call(make: Make, tmp_path: Path, path: Path) -> None:
    (tmp_path / "d" / "k=1").mkdir(parents=True)
    path.rename(tmp_path / "d" / "k=1" / "x.parquet")
    table = oc.load(tmp_path / "d", columns=["k", "a"], dtype={"a": "float64"}, filter="a >= 10")
    pool = make()
    (total,) = pool.map(lambda part: pc.sum(part["a"]).as_py() + part["k"][0].as_py(), [table])
    assert total == sum(range(10, ROWS)) + 1
    assert shipped(pool) == [0, 0]


def test_arrays_of_an_archive(make: Make, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["g/b"] = np.arange(ROWS), np.arange(ROWS) / 2
    archive = oc.load(tmp_path / "x.h5")
    pool = make()
    assert pool.apply(np.sum, (archive["g/b"],)) == sum(range(ROWS)) / 2
    assert pool.apply(np.sum, (archive["a"],)) == sum(range(ROWS))
    assert shipped(pool) == [0, 0]


@pytest.mark.parametrize("how", ["touched", "another", "gone"])
def test_other_files_are_shipped(make: Make, path: Path, how: str) -> None:
    table = oc.load(path)
    if how == "gone":
        path.unlink()
    elif how == "touched":
        path.touch()
    else:
        pq.write_table(pa.table({"a": np.arange(ROWS) + 1, "s": ["another"] * ROWS}), path)
    pool = make()
    on_all(pool, table)
    # What has only been touched is still decoded to the same bytes.
    assert all(shipped(pool)) == (how != "touched")


@pytest.mark.parametrize("files", ["ship", "same"])
def test_the_option(make: Make, path: Path, files: str) -> None:
    table = oc.load(path)
    pool = make(files=files)
    on_all(pool, table)
    assert all(shipped(pool)) == (files == "ship")


def test_what_is_small_or_made_here_is_shipped(make: Make, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": np.arange(1000)}), tmp_path / "x.parquet")
    pool = make()
    assert pool.apply(len, (oc.load(tmp_path / "x.parquet"),)) == 1000
    assert pool.apply(len, (oc.share(np.zeros(ROWS)),)) == ROWS
    assert sum(shipped(pool)) > 8 * ROWS


def segment_of(table: Any) -> Any:
    found = registry.find(table["a"].chunk(0).buffers()[1].address)
    assert found is not None
    return found[0]


def test_other_bytes_are_not_taken(path: Path) -> None:
    """The files look the same by their sizes and times, and are decoded to something else."""
    table = oc.load(path)
    segment = segment_of(table)
    offer = recipes.offer(segment)
    assert offer is not None
    name, number, size, checksum, origin, stamps = offer
    assert (name, number, size) == ("decode", segment.id, segment.size)
    made = recipes.decoded(1 << 40, size, checksum, origin, stamps)
    assert not isinstance(made, str)
    assert bytes(made.view(0, 4096)) == bytes(segment.view(0, 4096))
    assert "other bytes" in str(recipes.decoded(1 << 41, size, checksum + 1, origin, stamps))
    assert "another file" in str(recipes.decoded(1 << 41, size, checksum, origin, [(1, 2)]))
    assert origins.of(made) is None
