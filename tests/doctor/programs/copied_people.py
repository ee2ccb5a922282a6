"""A list of many small objects, read by forked workers: the reference counts copy it."""

import multiprocessing
import time

people = [{"name": f"person {n}", "born": 1900 + n % 100} for n in range(500_000)]


def oldest(_):
    return min(each["born"] for each in people), time.sleep(0.3)


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print([year for year, _ in pool.map(oldest, range(4), chunksize=1)])
