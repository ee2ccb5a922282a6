"""pandas: frames with columns of Python strings, cleaned by ``pool.map``."""

import numpy as np
import pandas as pd

from ..ways import WORKERS, Way, run


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    name = frame["name"].str.strip().str.title()
    return frame.assign(name=name, length=name.str.len())


def main(way: Way) -> object:
    frames = []
    for part in range(16):
        names = np.array([f"  person number {part * at} " for at in range(10_000)], dtype=object)
        frames.append(pd.DataFrame({"name": pd.Series(names, dtype=object), "n": range(10_000)}))
    with way.pool(WORKERS) as pool:
        return [int(frame["length"].sum()) for frame in pool.map(clean, frames)]


if __name__ == "__main__":
    run(main)
