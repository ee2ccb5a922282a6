"""apply waits for its result before the next call is made."""

from multiprocessing import Pool

STEPS = 2_000_000


def count(first):
    total = first
    for number in range(STEPS):
        total += number
    return total


if __name__ == "__main__":
    with Pool(2) as pool:
        print(sum(pool.apply(count, (first,)) for first in range(12)))
