"""Small files of every format that `load` takes, as other programs write them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import zarr

Write = Callable[[Path, Any], None]


def table(rows: int = 300) -> Any:
    """Numbers and strings: what every format of tables can hold."""
    numbers = np.arange(rows)
    return pa.table(
        {"a": numbers, "b": numbers / 8 + 0.5, "s": [f"row {i % 100}" for i in numbers]}
    )


def _stream(path: Path, value: Any) -> None:
    with pa.ipc.new_stream(str(path), value.schema) as writer:
        writer.write_table(value, max_chunksize=70)


def _file(path: Path, value: Any) -> None:
    with pa.ipc.new_file(str(path), value.schema) as writer:
        writer.write_table(value, max_chunksize=70)


def _feather(path: Path, value: Any) -> None:
    pa.feather.write_feather(value, str(path), compression="zstd", chunksize=70)


def _parquet(path: Path, value: Any) -> None:
    pa.parquet.write_table(value, path, row_group_size=70, write_page_checksum=True)


def _ndjson(path: Path, value: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in value.to_pylist()))


def _tsv(path: Path, value: Any) -> None:
    pa.csv.write_csv(value, path, pa.csv.WriteOptions(delimiter="\t"))


def _csv_gz(path: Path, value: Any) -> None:
    with pa.output_stream(str(path), compression="gzip") as sink:
        pa.csv.write_csv(value, sink)


# By the end of the file's name.
TABLES: dict[str, Write] = {
    "x.arrow": _file,
    "x.arrows": _stream,
    "stream.ipc": _stream,
    "x.feather": _feather,
    "x.parquet": _parquet,
    "x.csv": lambda path, value: pa.csv.write_csv(value, path),
    "x.csv.gz": _csv_gz,
    "x.tsv": _tsv,
    "x.ndjson": _ndjson,
    "x.jsonl": _ndjson,
}
# Those that are mapped.
MAPPED = ("x.arrow", "x.arrows", "stream.ipc")


def _hdf5(path: Path, array: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("g/a", data=array, chunks=(3, *array.shape[1:]), compression="gzip")


def _zarr(path: Path, array: Any) -> None:
    chunks = (3, *array.shape[1:])
    zarr.create_array(str(path), data=array, chunks=chunks)


ARRAYS: dict[str, Write] = {
    "x.npy": np.save,
    "x.npz": lambda path, array: np.savez(path, a=array),
    "deflated.npz": lambda path, array: np.savez_compressed(path, a=array),
    "x.h5": _hdf5,
    "x.zarr": _zarr,
}


def array_of(loaded: Any) -> Any:
    """The array, or the only one of an archive."""
    return loaded if isinstance(loaded, np.ndarray) else next(iter(loaded.values()))


def pickled(path: Path, value: Any) -> None:
    path.write_bytes(pickle.dumps(value))
