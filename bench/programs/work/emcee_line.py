"""emcee's tutorial on pools: a line fitted to points, ``EnsembleSampler(pool=pool)``."""

import emcee
import numpy as np

from ..ways import WORKERS, Way, run

X = np.linspace(0, 10, 500)
Y = 0.7 * X + 1.3 + np.random.default_rng(1).normal(size=500)


def log_probability(theta: np.ndarray) -> float:
    slope, offset, spread = theta
    if not 0.01 < spread < 10:
        return -np.inf
    return float(-0.5 * (((Y - slope * X - offset) / spread) ** 2).sum() - 500 * np.log(spread))


def main(way: Way) -> object:
    start = np.array([0.7, 1.3, 1.0]) + 1e-3 * np.random.default_rng(2).normal(size=(32, 3))
    np.random.seed(3)
    with way.pool(WORKERS) as pool:
        sampler = emcee.EnsembleSampler(32, 3, log_probability, pool=pool)
        sampler.run_mcmc(start, 150)
    return sampler.get_chain(flat=True).mean(axis=0)


if __name__ == "__main__":
    run(main)
