"""Small files as several libraries write them, each with what that library reads from it.

A writer is a generator: it is given a folder, and yields files in it, each with its columns (or
its arrays) by name as its own library reads them, and with what ``load`` has to be told.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import gc
import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import fastparquet
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import zarr

ROWS = 40


@dataclass(frozen=True)
class Made:
    """A file.

    Attributes:
        want: what its library reads: lists of values, or arrays, by name.
        options: for ``load``.
    """

    path: Path
    want: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


Writer = Callable[[Path], Iterator[Made]]


def simple() -> Any:
    """A table that every format holds, with nulls, odd strings and numbers at their limits."""
    at = np.arange(ROWS)
    texts = ["", "plain", 'qu"ote', "a,b;c|d\te", "ünï 🎈", " space ", "NA", "1.5", "tab\t", "'"]
    return pa.table(
        {
            "n": pa.array(at - 20, pa.int64()),
            "limit": pa.array([2**63 - 1, -(2**63)] * (ROWS // 2), pa.int64()),
            "gap": pa.array([None if i % 3 == 0 else int(i) for i in at], pa.int64()),
            "x": at / 7,
            "tiny": [5e-324, 1.7976931348623157e308] * (ROWS // 2),
            "s": [texts[i % len(texts)] for i in at],
            "flag": [bool(i % 2) for i in at],
        }
    )


def rich() -> Any:
    """The types that Arrow's own formats hold beside that."""
    when = datetime.datetime(2024, 3, 31, 2, 30, 0, 123456)
    every: list[Any] = [None if i % 5 == 0 else i for i in range(ROWS)]

    def some(make: Callable[[int], Any], kind: Any = None) -> Any:
        return pa.array([None if each is None else make(each) for each in every], kind)

    return pa.table(
        {
            "date": some(lambda i: datetime.date(1900 + i, 2, 28)),
            "when": some(lambda i: when + datetime.timedelta(i), pa.timestamp("us")),
            "zone": some(lambda i: when, pa.timestamp("us", "Europe/Berlin")),
            "ns": some(lambda i: i, pa.timestamp("ns")),
            "time": some(lambda i: datetime.time(i % 24, 5)),
            "decimal": some(lambda i: decimal.Decimal(f"{i}.125"), pa.decimal128(20, 3)),
            "list": some(lambda i: [i, None, i * 2]),
            "struct": some(lambda i: {"a": i, "b": {"c": [str(i)]}}),
            "bytes": some(lambda i: bytes([i, 255])),
            "category": some(lambda i: "xyz"[i % 3]).dictionary_encode(),
            "small": some(lambda i: i, pa.int8()),
            "unsigned": some(lambda i: 2**64 - i, pa.uint64()),
            "single": some(lambda i: i / 2, pa.float32()),
            "none": pa.nulls(ROWS),
            "map": some(lambda i: [("k", i)], pa.map_(pa.string(), pa.int64())),
            "large": some(str, pa.large_string()),
        }
    )


def columns(table: Any) -> dict[str, list[Any]]:
    """The values of a pyarrow table, a pandas or a polars frame, by column."""
    if isinstance(table, pa.Table):
        return {str(k): v for k, v in table.to_pydict().items()}
    if isinstance(table, pl.DataFrame):
        return {name: table[name].to_list() for name in table.columns}
    return {str(name): list(table[name]) for name in table.columns}


# Arrow.


def arrow_parquet(folder: Path) -> Iterator[Made]:
    ways = itertools.product(
        ("none", "snappy", "gzip", "brotli", "zstd", "lz4"), ("1.0", "2.0"), (True, False)
    )
    for codec, page, dictionary in ways:
        path = folder / f"{codec}-{page}-{dictionary}.parquet"
        pq.write_table(
            pa.concat_tables([simple(), simple()]),
            path,
            compression=codec,
            data_page_version=page,
            use_dictionary=dictionary,
            row_group_size=33,
        )
        yield Made(path, columns(pq.read_table(path)))
    others: list[dict[str, Any]] = [
        {"use_deprecated_int96_timestamps": True},
        {"version": "1.0"},
        {"version": "2.6", "coerce_timestamps": "ms", "allow_truncated_timestamps": True},
        {"write_statistics": False, "store_schema": False},
        {"use_byte_stream_split": ["single"], "use_dictionary": False},
        {"write_page_index": True, "data_page_size": 100},
    ]
    for at, options in enumerate(others):
        path = folder / f"rich-{at}.parquet"
        table = rich()
        if "version" in options and options["version"] == "1.0":
            table = table.drop_columns(["unsigned", "ns"])
        pq.write_table(table, path, **options)
        yield Made(path, columns(pq.read_table(path)))
    for name, empty in (("rows", simple()[:0]), ("table", pa.table({"a": pa.nulls(0)}))):
        path = folder / f"empty-{name}.parquet"
        pq.write_table(empty, path)
        yield Made(path, columns(pq.read_table(path)))


def arrow_files(folder: Path) -> Iterator[Made]:
    for (at, table), codec in itertools.product(
        enumerate((simple(), rich(), simple()[:0])), ("uncompressed", "lz4", "zstd")
    ):
        path = folder / f"{at}-{codec}.feather"
        pa.feather.write_feather(table, path, compression=codec, chunksize=13)
        yield Made(path, columns(pa.feather.read_table(path)))
    for (at, table), codec in itertools.product(enumerate((simple(), rich())), (None, "zstd")):
        options = pa.ipc.IpcWriteOptions(compression=codec)
        for suffix, new in (("arrow", pa.ipc.new_file), ("arrows", pa.ipc.new_stream)):
            path = folder / f"{at}-{codec}.{suffix}"
            with new(str(path), table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=7)
            yield Made(path, columns(table))


def arrow_csv(folder: Path) -> Iterator[Made]:
    for sep, style, header in itertools.product(",;\t|", ("needed", "all_valid"), (True, False)):
        path = folder / f"{ord(sep)}-{style}-{header}.csv"
        write = pa.csv.WriteOptions(delimiter=sep, quoting_style=style, include_header=header)
        table = simple()
        pa.csv.write_csv(table, path, write)
        names = None if header else [f"f{at}" for at in range(table.num_columns)]
        read = pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(column_names=names),
            pa.csv.ParseOptions(delimiter=sep, newlines_in_values=True),
        )
        yield Made(path, columns(read), {"sep": sep, "header": header})


# pandas.


def pandas_parquet(folder: Path) -> Iterator[Made]:
    frame = pd.DataFrame(
        {
            "n": range(ROWS),
            "s": [f"ü{at}" for at in range(ROWS)],
            "when": pd.date_range("2024-01-01", periods=ROWS, freq="h", tz="Asia/Tokyo"),
            "period": pd.period_range("2024-01", periods=ROWS, freq="M").astype(str),
            "cat": pd.Categorical(["a", "b"] * (ROWS // 2)),
            "nullable": pd.array([1, None] * (ROWS // 2), "Int64"),
        },
    )
    for codec in (None, "snappy", "gzip", "zstd"):
        path = folder / f"{codec}.parquet"
        frame.to_parquet(path, compression=codec)
        yield Made(path, columns(pd.read_parquet(path)))
    path = folder / "index.parquet"
    frame.set_index("s").to_parquet(path)
    yield Made(path, columns(pd.read_parquet(path).reset_index()))
    path = folder / "frame.feather"
    frame.to_feather(path)
    yield Made(path, columns(pd.read_feather(path)))


def pandas_csv(folder: Path) -> Iterator[Made]:
    frame = simple().drop_columns(["tiny"]).to_pandas()
    frame["gap"] = frame["gap"].astype("Int64")
    # pandas takes both for missing, and text for text here.
    frame["s"] = frame["s"].replace({"NA": "N.A.", "": "empty"})
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"sep": ";"}, {"sep": ";"}),
        ({"sep": ";", "decimal": ","}, {"sep": ";", "decimal": ","}),
        ({"sep": "\t", "quoting": csv.QUOTE_ALL}, {"sep": "\t"}),
        ({"sep": "|", "quoting": csv.QUOTE_NONNUMERIC}, {"sep": "|"}),
        ({"quotechar": "'"}, {"quote": "'"}),
        ({"lineterminator": "\r\n"}, {}),
        ({"lineterminator": "\r"}, {}),
        ({"na_rep": "missing"}, {"na_values": ["missing"]}),
        ({"encoding": "utf-16"}, {"encoding": "utf-16"}),
        ({"encoding": "utf-8-sig"}, {}),
        ({"header": False}, {"names": list(frame.columns)}),
        *(({"compression": each}, {}) for each in ("gzip", "bz2", "xz", "zstd")),
    ]
    for at, (write, read) in enumerate(ways):
        suffix = {"gzip": ".gz", "zstd": ".zst"}.get(
            write.get("compression", ""),
            f".{write['compression']}" if "compression" in write else "",
        )
        path = folder / f"{at}.csv{suffix}"
        frame.to_csv(path, index=False, **write)
        known = {"sep", "decimal", "quotechar", "lineterminator", "encoding"}
        again = {name: value for name, value in write.items() if name in known}
        if "header" in write:
            again |= {"header": None, "names": list(frame.columns)}
        again["na_values"] = read.get("na_values")
        if again.get("lineterminator") == "\r\n":
            del again["lineterminator"]
        want = pd.read_csv(path, **again)
        yield Made(path, columns(want), read)
    path = folder / "index.csv"
    frame.to_csv(path)
    want = pd.read_csv(path)
    yield Made(path, {"" if k.startswith("Unnamed") else k: v for k, v in columns(want).items()})


def pandas_ndjson(folder: Path) -> Iterator[Made]:
    frame = simple().drop_columns(["tiny"]).to_pandas()
    frame["gap"] = frame["gap"].astype("Int64")
    for ascii_, codec in itertools.product((True, False), (None, "gzip", "zstd")):
        suffix = {None: "", "gzip": ".gz", "zstd": ".zst"}[codec]
        path = folder / f"{ascii_}.jsonl{suffix}"
        frame.to_json(
            path,
            orient="records",
            lines=True,
            force_ascii=ascii_,
            double_precision=15,
            compression=codec,
        )
        want = pd.read_json(path, lines=True, precise_float=True, dtype=False)
        yield Made(path, columns(want))


# polars.


def polars_parquet(folder: Path) -> Iterator[Made]:
    frame = pl.DataFrame(
        {
            "n": pl.Series(range(ROWS), dtype=pl.UInt16),
            "s": [None if at % 4 == 0 else f"{at}é" for at in range(ROWS)],
            "when": [datetime.datetime(2024, 1, 1, at % 24) for at in range(ROWS)],
            "span": [datetime.timedelta(milliseconds=at) for at in range(ROWS)],
            "list": [[at, None] for at in range(ROWS)],
            "struct": [{"x": at, "y": [str(at)]} for at in range(ROWS)],
            "array": pl.Series([[at, 1] for at in range(ROWS)], dtype=pl.Array(pl.Int8, 2)),
            "enum": pl.Series(["a", "b"] * (ROWS // 2), dtype=pl.Enum(["a", "b"])),
            "decimal": pl.Series([decimal.Decimal(f"{at}.50") for at in range(ROWS)]),
            "bytes": [bytes([at]) for at in range(ROWS)],
            "time": [datetime.time(at % 24) for at in range(ROWS)],
        }
    )
    for codec in ("uncompressed", "snappy", "gzip", "zstd", "lz4", "brotli"):
        path = folder / f"{codec}.parquet"
        frame.write_parquet(path, compression=codec, row_group_size=17)
        yield Made(path, columns(pl.read_parquet(path)))
    codecs: Any = ("uncompressed", "lz4", "zstd")
    for codec in codecs:
        path = folder / f"{codec}.arrow"
        frame.write_ipc(path, compression=codec)
        yield Made(path, columns(pl.read_ipc(path)))
        path = folder / f"{codec}.arrows"
        frame.write_ipc_stream(path, compression=codec)
        yield Made(path, columns(pl.read_ipc_stream(path)))


def polars_text(folder: Path) -> Iterator[Made]:
    frame = pl.from_arrow(simple())
    assert isinstance(frame, pl.DataFrame)
    styles: Any = ("necessary", "always", "non_numeric")
    for sep, style, bom in itertools.product((",", ";", "|"), styles, (True, False)):
        path = folder / f"{ord(sep)}-{style}-{bom}.csv"
        frame.write_csv(path, separator=sep, quote_style=style, include_bom=bom)
        want = columns(frame)
        yield Made(path, want, {"sep": sep})
    path = folder / "rows.ndjson"
    frame.write_ndjson(path)
    yield Made(path, columns(pl.read_ndjson(path)))
    nested = pl.DataFrame({"l": [[1, 2], [], None], "o": [{"a": 1}, {"a": None}, None]})
    path = folder / "nested.ndjson"
    nested.write_ndjson(path)
    yield Made(path, columns(pl.read_ndjson(path)))


# DuckDB.


def duckdb_files(folder: Path) -> Iterator[Made]:
    table = simple()
    parquet = [f"COMPRESSION {each}" for each in ("UNCOMPRESSED", "SNAPPY", "ZSTD", "GZIP")]
    text: list[tuple[str, dict[str, Any]]] = [
        ("HEADER", {}),
        ("HEADER, DELIMITER ';'", {"sep": ";"}),
        ("HEADER, DELIMITER '|', FORCE_QUOTE *", {"sep": "|"}),
        ("HEADER, COMPRESSION gzip", {}),
        ("HEADER, NULLSTR '-'", {"na_values": ["-"]}),
        ("HEADER false", {"names": table.column_names}),
    ]
    with duckdb.connect() as base:
        base.register("simple", table)
        base.register("rich", rich().drop_columns(["none", "map", "zone", "ns", "category"]))
        for at, options in enumerate(parquet):
            path = folder / f"{at}.parquet"
            base.execute(f"COPY rich TO '{path}' (FORMAT PARQUET, {options}, ROW_GROUP_SIZE 16)")
            yield Made(path, columns(base.sql(f"FROM '{path}'").to_arrow_table()))
        for at, (options, given) in enumerate(text):
            path = folder / f"{at}.csv{'.gz' if 'gzip' in options else ''}"
            base.execute(f"COPY simple TO '{path}' (FORMAT CSV, {options})")
            yield Made(path, columns(table), given)
        path = folder / "rows.ndjson"
        base.execute(f"COPY simple TO '{path}' (FORMAT JSON)")
        yield Made(path, columns(base.sql(f"FROM '{path}'").to_arrow_table()))


# fastparquet.


def _by_fastparquet(path: Path) -> Any:
    """The frame that it reads; it leaves its files to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        frame = fastparquet.ParquetFile(str(path)).to_pandas()
        gc.collect()
    return frame


def fastparquet_files(folder: Path) -> Iterator[Made]:
    frame = pd.DataFrame(
        {
            "n": np.arange(ROWS, dtype="i4"),
            "x": np.arange(ROWS) / 3,
            "s": [f"t{at}" for at in range(ROWS)],
            "when": pd.date_range("2024-01-01", periods=ROWS, freq="D").astype("M8[ns]"),
            "cat": pd.Categorical(["a", "b"] * (ROWS // 2)),
            "flag": [True, False] * (ROWS // 2),
        }
    )
    for codec, times in itertools.product(
        ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"), ("int64", "int96")
    ):
        path = folder / f"{codec}-{times}.parquet"
        fastparquet.write(
            str(path), frame, compression=codec, times=times, row_group_offsets=[0, 15]
        )
        yield Made(path, columns(_by_fastparquet(path)))
    path = folder / "hive.parquet"
    fastparquet.write(str(path), frame, file_scheme="hive", partition_on=["flag"])
    want = _by_fastparquet(path)
    want["flag"] = want["flag"].astype(str)
    yield Made(path, columns(want))


# Python's csv, every dialect.


_QUOTING: Any = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)


def csv_module(folder: Path) -> Iterator[Made]:
    texts = simple()["s"].to_pylist()
    rows = [[f"t{at}{text}", text, str(at)] for at, text in enumerate(texts)]
    names = ["first", 'se"co,nd', "n"]
    csv.register_dialect("semicolon", delimiter=";", quotechar="'", lineterminator="\n")
    csv.register_dialect("old_mac", "excel", lineterminator="\r")
    for dialect, quoting in itertools.product(
        ("excel", "excel-tab", "unix", "semicolon", "old_mac"),
        _QUOTING,
    ):
        path = folder / f"{dialect}-{quoting}.csv"
        known = csv.get_dialect(dialect)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, dialect, quoting=quoting).writerows([names, *rows])
        with path.open(newline="", encoding="utf-8") as file:
            head, *read = csv.reader(file, dialect)
        want = {name: [row[at] for row in read] for at, name in enumerate(head)}
        yield Made(path, want, {"sep": known.delimiter, "quote": known.quotechar})
    path = folder / "escapes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_NONE, escapechar="\\").writerows(
            [["a", "b"], *[r[:2] for r in rows]]
        )
    yield Made(
        path,
        {"a": [row[0] for row in rows], "b": [row[1] for row in rows]},
        {"escape": "\\", "quote": ""},
    )


def json_module(folder: Path) -> Iterator[Made]:
    rows: list[dict[str, Any]] = [
        {
            "id": 2**64 - 1 - at,
            "big": 10**30 + at,
            "s": "\u2028ü\ud83c".encode("utf-16", "surrogatepass").decode("utf-16", "ignore"),
            "when": "2024-01-01",
            "l": [at],
            "o": {"x": at},
        }
        for at in range(ROWS)
    ]
    for ascii_, separators in itertools.product((True, False), ((",", ":"), (" , ", " : "))):
        path = folder / f"{ascii_}{len(separators[0])}.ndjson"
        text = "".join(
            json.dumps(row, ensure_ascii=ascii_, separators=separators) + "\n" for row in rows
        )
        path.write_text(text, encoding="utf-8")
        read = [json.loads(line) for line in text.split("\n") if line]
        yield Made(path, {name: [row[name] for row in read] for name in rows[0]})


# Arrays.

_DTYPES = [
    "?", "i1", "u2", ">i4", "<u8", "f2", "f4", ">f8", "c8", "c16", "S3", "U4", "M8[s]", "m8[ns]",
    "V5", "i4,f8",
]  # fmt: skip


def _array(kind: str) -> Any:
    raw = np.arange(24).reshape(4, 6)
    if kind == "i4,f8":
        made = np.zeros((4, 6), "i4,f8")
        made["f0"], made["f1"] = raw, raw / 3
        return made
    if kind == "V5":
        return np.frombuffer(bytes(range(120)), "V5").reshape(4, 6)
    return raw.astype("U4").astype(kind) if kind in ("S3", "U4") else raw.astype(kind)


def numpy_files(folder: Path) -> Iterator[Made]:
    for at, kind in enumerate(_DTYPES):
        array = _array(kind)
        for order, made in (("C", array), ("F", np.asfortranarray(array)), ("0", array[:0])):
            path = folder / f"{at}-{order}.npy"
            np.save(path, made)
            yield Made(path, {"": np.load(path)})
        path = folder / f"{at}.npy"
        np.save(path, array[0, 0])
        yield Made(path, {"": np.load(path)})
    every: dict[str, Any] = {f"a{at}": _array(kind) for at, kind in enumerate(_DTYPES)}
    for save in (np.savez, np.savez_compressed):
        path = folder / f"{save.__name__}.npz"
        save(path, **every)
        with np.load(path) as archive:
            yield Made(path, dict(archive))


def hdf5_files(folder: Path) -> Iterator[Made]:
    ways: list[dict[str, Any]] = [
        {},
        {"chunks": (3, 4)},
        {"chunks": (1, 6), "compression": "gzip", "shuffle": True},
        {"chunks": (4, 1), "compression": "lzf", "fletcher32": True},
        {"maxshape": (None, 6)},
    ]
    for at, options in enumerate(ways):
        path = folder / f"{at}.h5"
        with h5py.File(path, "w", libver=("earliest", "latest")[at % 2]) as file:
            for kind in _DTYPES:
                if kind[0] in "UMm":
                    continue  # HDF5 has no such types
                file.create_dataset(f"g{kind}/a", data=_array(kind), **options)
            file.create_dataset("words", data=["a", "ünï", ""], dtype=h5py.string_dtype())
            file["one"] = 4.5
        with h5py.File(path) as file:
            paths = [*(f"g{each}/a" for each in _DTYPES if f"g{each}" in file), "one"]
            want = {each: file[each][()] for each in paths}
            want["words"] = file["words"].asstr()[()]
        yield Made(path, want)


def zarr_files(folder: Path) -> Iterator[Made]:
    for version, kind in itertools.product((2, 3), _DTYPES):
        if kind == "V5" and version == 3:
            continue  # it has no specification
        path = folder / f"{version}-{_DTYPES.index(kind)}.zarr"
        array = _array(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.create_array(
                str(path),
                data=array,
                chunks=(3, 4),
                zarr_format=version,  # type: ignore[arg-type]
            )
            yield Made(path, {"": zarr.open_array(str(path), mode="r")[...]})
    path = folder / "sharded.zarr"
    zarr.create_array(str(path), data=_array("f4"), chunks=(1, 2), shards=(2, 6))
    yield Made(path, {"": _array("f4")})


WRITERS: dict[str, Writer] = {
    each.__name__: each
    for each in (
        arrow_parquet,
        arrow_files,
        arrow_csv,
        pandas_parquet,
        pandas_csv,
        pandas_ndjson,
        polars_parquet,
        polars_text,
        duckdb_files,
        fastparquet_files,
        csv_module,
        json_module,
        numpy_files,
        hdf5_files,
        zarr_files,
    )
}
