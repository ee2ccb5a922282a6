"""All are handed out before the first result is asked for."""

from concurrent.futures import ProcessPoolExecutor

STEPS = 2_000_000


def count(first):
    total = first
    for number in range(STEPS):
        total += number
    return total


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as executor:
        print(sum(executor.map(count, range(12))))
