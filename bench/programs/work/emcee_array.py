"""emcee with its data of 8 MB in ``args``, which pools pickle for every point."""

import emcee
import numpy as np

from ..ways import WORKERS, Way, run


def log_probability(theta: np.ndarray, data: np.ndarray) -> float:
    return float(-0.5 * ((data[::50] - theta[0]) ** 2).sum() - theta[1] ** 2)


def main(way: Way) -> object:
    data = np.random.default_rng(1).normal(size=1_000_000)
    start = 1e-2 * np.random.default_rng(2).normal(size=(16, 2))
    np.random.seed(3)
    with way.pool(WORKERS) as pool:
        sampler = emcee.EnsembleSampler(16, 2, log_probability, args=(data,), pool=pool)
        sampler.run_mcmc(start, 8)
    return sampler.get_chain(flat=True).mean(axis=0)


if __name__ == "__main__":
    run(main)
