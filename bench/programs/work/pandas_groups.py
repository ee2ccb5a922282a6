"""pandas: ``pool.map`` over the groups of a frame, the answer of many a question on the web."""

import numpy as np
import pandas as pd

from ..ways import WORKERS, Way, run


def summary(group: pd.DataFrame) -> tuple[float, float]:
    rolled = group["x"].rolling(10, min_periods=1).mean()
    return float(rolled.std()), float(group["x"].quantile(0.9))


def main(way: Way) -> object:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"key": rng.integers(0, 400, 200_000), "x": rng.normal(size=200_000)})
    with way.pool(WORKERS) as pool:
        return pool.map(summary, [group for _, group in frame.groupby("key")])


if __name__ == "__main__":
    run(main)
