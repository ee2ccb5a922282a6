"""dask's dataframe on processes, with an executor as its pool: groups of a made-up table."""

import dask
import dask.dataframe
import numpy as np
import pandas as pd

from ..ways import Way, run


def main(way: Way) -> object:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"key": rng.integers(0, 200, 400_000), "x": rng.normal(size=400_000), "y": 1.0}
    )
    with way.executor() as pool, dask.config.set(scheduler="processes", pool=pool):
        frame = dask.dataframe.from_pandas(table, npartitions=8)
        found = frame.groupby("key").agg({"x": "mean", "y": "sum"}).compute()
    return found.sort_index().to_numpy()


if __name__ == "__main__":
    run(main)
