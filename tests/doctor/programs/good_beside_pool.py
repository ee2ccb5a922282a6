"""Good: a pool of onecopy's own beside another of multiprocessing's."""

from multiprocessing import Pool

import numpy as np

import onecopy as oc


def work(factor):
    total = 0
    for number in range(200_000):
        total += number * factor
    return total


if __name__ == "__main__":
    data = oc.share(np.ones(2_000_000))
    with oc.Pool(1, method="fork") as ours, Pool(1) as theirs:
        jobs = theirs.map_async(work, range(40))
        print(float(sum(ours.map_blocks(np.nansum, data))), sum(ours.map(work, range(40))))
        print(sum(jobs.get()))
