"""A Parquet file into shared memory: seconds, and the peak of memory over the data.

Ours decodes it piece by piece into one segment; beside it stands what one writes by hand: all of it
decoded by pyarrow into its heap, then shared; and what three libraries take for their heaps alone.
Each sample is a process of its own; seconds are those of the call, with the file in the page cache,
and the peak is that of heap and shared memory together, in a run that is timed all the same
(reading it takes well under a millisecond). The file is about 2 GB once decoded at the full size,
and 200 MB otherwise: numbers, words and times.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..face import MB, Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

OURS, THEIRS = "onecopy.load", "pyarrow into heap, then share"
HEAP = "pyarrow into heap"
_WAYS = {OURS: "load", THEIRS: "share", HEAP: "arrow", "pandas": "pandas", "polars": "polars"}
_ROW = 8 + 8 + 8 + 20  # bytes decoded, about
_GROUP = 1 << 20


def _rows(size: Size) -> int:
    return (2000 if size.full else 200) * MB // _ROW


@cache
def _file(size: Size) -> Path:
    """The file, written once and kept."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = size.directory / f"table-{_rows(size)}.parquet"
    if path.exists():
        return path
    size.directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    words = pa.array([f"word number {i}" for i in range(5000)])
    schema = pa.schema({"n": "int64", "v": "double", "t": pa.timestamp("us"), "w": "string"})
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, schema) as writer:
        for start in range(0, _rows(size), _GROUP):
            count = min(_GROUP, _rows(size) - start)
            numbers = np.arange(start, start + count)
            columns = [
                pa.array(numbers),
                pa.array(random.normal(size=count)),
                pa.array(numbers.astype("M8[us]")),
                words.take(pa.array(random.integers(0, 5000, count))),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    part.rename(path)
    return path


def _sample(way: str, size: Size, what: str) -> float:
    path = _file(size)
    with open(path, "rb") as file:  # into the page cache
        while file.read(1 << 24):
            pass
    _, said = timed(["-m", "bench.load_job", _WAYS[way], str(path)])
    seconds, data, peak = map(float, said.split())
    return seconds if what == "seconds" else peak / data


def contenders(size: Size) -> list[Contender]:
    return [
        Contender(
            f"{way}, {what}",
            lambda w=way, s=what: plain(lambda: _sample(w, size, s)),
            warm=0,
            needs=3 * _rows(size) * _ROW,
        )
        for what in ("seconds", "peak over data")
        for way in (_WAYS if what == "seconds" else (OURS, THEIRS))
    ]


def bars(size: Size) -> list[Bar]:
    return [
        Bar(
            "peak of memory over the data, with a batch and its copy on top",
            Sense.VALUE,
            1.1 if size.full else 1.8,
            (f"{OURS}, peak over data",),
        ),
        Bar(
            "time against decoding into heap, then sharing",
            Sense.AT_MOST,
            1.0,
            (f"{OURS}, seconds",),
            (f"{THEIRS}, seconds",),
        ),
        Bar(
            "time against decoding into heap alone",
            Sense.AT_MOST,
            1.15,
            (f"{OURS}, seconds",),
            (f"{HEAP}, seconds",),
        ),
    ]


FIGURE = Figure(
    "parquet",
    "a Parquet file into shared memory: seconds, and peak memory over the data's bytes",
    contenders,
    bars,
    unit="",
    rounds=3,
)
