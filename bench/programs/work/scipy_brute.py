"""SciPy's ``brute``: a grid of 3,375 points by ``workers=pool.map``, as its documents show."""

import numpy as np
from scipy.optimize import brute

from ..ways import WORKERS, Way, run


def surface(point: np.ndarray, depth: float) -> float:
    x, y, z = point
    values = np.cos(np.linspace(0, x, 400)) * np.sin(np.linspace(0, y, 400)) - z * z
    return float(values.sum() + depth * (x - y) ** 2)


def main(way: Way) -> object:
    with way.pool(WORKERS) as pool:
        ranges = ((-3.0, 3.0),) * 3
        return brute(surface, ranges, args=(0.5,), Ns=15, finish=None, workers=pool.map)


if __name__ == "__main__":
    run(main)
