"""Shared memory that is not in /dev/shm."""

import numpy as np

import onecopy as oc

COUNT = 5_000_000


def total(values):
    return float(values.sum())


if __name__ == "__main__":
    values = oc.share(np.ones(COUNT))
    with oc.Pool(1) as pool:
        print(pool.submit(total, values).result())
