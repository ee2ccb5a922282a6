"""submit(...).result() in a loop: one at a time, whatever the number of workers."""

from concurrent.futures import ProcessPoolExecutor

STEPS = 2_000_000


def count(first):
    total = first
    for number in range(STEPS):
        total += number
    return total


if __name__ == "__main__":
    total = 0
    with ProcessPoolExecutor(2) as executor:
        for first in range(12):
            total += executor.submit(count, first).result()
    print(total)
