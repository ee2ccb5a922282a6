"""pandas: eight frames of 8 MB through ``executor.map``, each there and a new one back."""

import numpy as np
import pandas as pd

from ..ways import Way, run


def features(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(total=frame.sum(axis=1), ratio=frame[0] / (frame[1].abs() + 1))


def main(way: Way) -> object:
    rng = np.random.default_rng(1)
    frames = [pd.DataFrame(rng.normal(size=(100_000, 10))) for _ in range(8)]
    with way.executor() as pool:
        return [float(frame["ratio"].sum()) for frame in pool.map(features, frames)]


if __name__ == "__main__":
    run(main)
