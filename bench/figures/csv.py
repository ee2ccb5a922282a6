"""A CSV file into shared memory: seconds beside three libraries that read it into their heaps, and
the peak of memory over the data.

Each sample is a process of its own; seconds are those of the call, with the file in the page
cache. The file has numbers, fractions, words in quotes and dates: 286 MB at the full size, a tenth
of that otherwise. The peak is what the process held above what it had when its libraries were
there, heap and shared memory together.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..face import MB, Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

OURS = "onecopy.load"
_WAYS = {OURS: "load", "pyarrow": "arrow", "pandas": "pandas", "polars": "polars"}
_LINE = 39  # bytes, about


def _rows(size: Size) -> int:
    return (286 if size.full else 29) * MB // _LINE


@cache
def _file(size: Size) -> Path:
    """The file, written once and kept."""
    path = size.directory / f"table-{_rows(size)}.csv"
    if path.exists():
        return path
    size.directory.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write("id,x,name,day\n")
        for start in range(0, _rows(size), 100_000):
            file.writelines(
                f'{at},{at * 0.37:.4f},"name {at % 1000}",2024-01-{at % 28 + 1:02d}\n'
                for at in range(start, min(start + 100_000, _rows(size)))
            )
    part.rename(path)
    return path


def _sample(way: str, size: Size, what: str) -> float:
    path = _file(size)
    with open(path, "rb") as file:  # into the page cache
        while file.read(1 << 24):
            pass
    _, said = timed(["-m", "bench.load_job", _WAYS[way], str(path)])
    seconds, data, peak = map(float, said.split())
    return seconds if what == "seconds" else peak - data


def contenders(size: Size) -> list[Contender]:
    asked = [(way, "seconds") for way in _WAYS] + [(OURS, "bytes over the data")]
    return [
        Contender(
            f"{way}, {what}",
            lambda w=way, s=what: plain(lambda: _sample(w, size, s)),
            warm=0,
            needs=4 * _rows(size) * _LINE,
        )
        for way, what in asked
    ]


def bars(size: Size) -> list[Bar]:
    return [
        Bar(
            "time against pyarrow into its heap",
            Sense.AT_MOST,
            1.15,
            (f"{OURS}, seconds",),
            ("pyarrow, seconds",),
        ),
        Bar(
            "peak of memory over the data, in bytes",
            Sense.VALUE,
            100 * MB,
            (f"{OURS}, bytes over the data",),
        ),
    ]


FIGURE = Figure(
    "csv",
    "a CSV file into shared memory: seconds beside pyarrow, pandas and polars; peak memory",
    contenders,
    bars,
    unit="",
    rounds=3,
)
