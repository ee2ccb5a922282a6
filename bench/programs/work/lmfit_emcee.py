"""lmfit: a model of two exponentials, its posterior by ``emcee(workers=pool)``."""

import lmfit
import numpy as np

from ..ways import WORKERS, Way, run

X = np.linspace(1, 10, 250)
Y = 3.0 * np.exp(-X / 2) - 5.0 * np.exp(-(X - 0.1) / 10.0)
Y = Y + 0.1 * np.random.default_rng(0).normal(size=X.size)


def residual(parameters: lmfit.Parameters) -> np.ndarray:
    v = parameters.valuesdict()
    return v["a1"] * np.exp(-X / v["t1"]) + v["a2"] * np.exp(-(X - 0.1) / v["t2"]) - Y


def main(way: Way) -> object:
    parameters = lmfit.create_params(a1=3.0, a2=-5.0, t1=2.0, t2=10.0)
    with way.pool(WORKERS) as pool:
        found = lmfit.Minimizer(residual, parameters).emcee(
            steps=40, nwalkers=40, workers=pool, seed=1, is_weighted=False, progress=False
        )
    return [found.params[name].value for name in ("a1", "a2", "t1", "t2")]


if __name__ == "__main__":
    run(main)
