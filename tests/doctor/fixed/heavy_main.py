"""The same, and what only main needs is under the guard."""

import multiprocessing


def double(number):
    return 2 * number + 0 * sum(range(200_000))


if __name__ == "__main__":
    import pandas  # noqa: F401

    NAMES = {number: str(number) * 2 for number in range(1_500_000)}
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        print(sum(pool.map(double, range(64))), len(NAMES))
