"""SciPy's ``differential_evolution`` by ``workers=pool.map`` and deferred updates."""

import numpy as np
from scipy.optimize import differential_evolution

from ..ways import WORKERS, Way, run

TIMES = np.linspace(0, 10, 2000)
SEEN = 2.5 * np.exp(-TIMES / 3.0) * np.sin(1.7 * TIMES)


def misfit(point: np.ndarray) -> float:
    height, decay, rate = point
    return float(((height * np.exp(-TIMES / decay) * np.sin(rate * TIMES) - SEEN) ** 2).sum())


def main(way: Way) -> object:
    with way.pool(WORKERS) as pool:
        found = differential_evolution(
            misfit,
            [(0.1, 5), (0.5, 8), (0.2, 4)],
            workers=pool.map,
            updating="deferred",
            maxiter=60,
            popsize=20,
            polish=False,
            seed=1,
        )
    return [found.x, found.fun]


if __name__ == "__main__":
    run(main)
