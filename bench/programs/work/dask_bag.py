"""dask's bag on processes, with an executor as its pool: words of lines, counted."""

import dask
import dask.bag

from ..ways import Way, run


def words(line: str) -> list[str]:
    return line.lower().replace(",", " ").split()


def main(way: Way) -> object:
    lines = [f"Line {at}, of {at % 91} kinds, with word{at % 1013} in it" for at in range(40_000)]
    with way.executor() as pool, dask.config.set(scheduler="processes", pool=pool):
        bag = dask.bag.from_sequence(lines, npartitions=16)
        counted = bag.map(words).flatten().frequencies().compute()
    return sorted(counted)


if __name__ == "__main__":
    run(main)
