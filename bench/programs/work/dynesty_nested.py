"""dynesty's ``NestedSampler`` with ``pool=`` and ``queue_size=``, as its documents show."""

import dynesty
import numpy as np

from ..ways import WORKERS, Way, run


def log_likelihood(theta: np.ndarray) -> float:
    return float(-0.5 * (theta**2).sum() + np.cos(np.linspace(0, theta[0], 300)).sum() * 1e-3)


def prior(unit: np.ndarray) -> np.ndarray:
    return 10.0 * (2.0 * unit - 1.0)


def main(way: Way) -> object:
    with way.pool(WORKERS) as pool:
        sampler = dynesty.NestedSampler(
            log_likelihood,
            prior,
            2,
            nlive=100,
            pool=pool,
            queue_size=WORKERS,
            rstate=np.random.default_rng(1),
        )
        sampler.run_nested(maxcall=4000, print_progress=False)
    return sampler.results.logz[-1]


if __name__ == "__main__":
    run(main)
