"""The table is shared once."""

import numpy as np

import onecopy as oc


def add_up(table, at):
    return float(table[at::4].sum())


if __name__ == "__main__":
    table = oc.share(np.ones(12_000_000))
    with oc.Pool(4, method="spawn") as pool:
        jobs = [pool.submit(add_up, table, at) for at in range(4)]
        for job in jobs:
            print(job.result())
