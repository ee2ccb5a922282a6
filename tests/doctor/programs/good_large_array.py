"""Good: a large array that forked workers read, and no process copies."""

import multiprocessing

import numpy as np

data = np.ones(25_000_000)


def total(at):
    return float(data[at::8].sum()) + 0 * sum(range(1_000_000))


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(sum(pool.map(total, range(40))))
