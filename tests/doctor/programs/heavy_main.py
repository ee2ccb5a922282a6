"""Under spawn every worker runs the main module again, with a table that only main needs."""

import multiprocessing

import pandas  # noqa: F401

NAMES = {number: str(number) * 2 for number in range(1_500_000)}


def double(number):
    return 2 * number + 0 * sum(range(200_000))


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        print(sum(pool.map(double, range(64))), len(NAMES))
