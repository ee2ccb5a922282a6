"""Python code in threads: one computes at a time."""

from concurrent.futures import ThreadPoolExecutor


def count(steps):
    total = 0
    for number in range(steps):
        total += number
    return total


if __name__ == "__main__":
    with ThreadPoolExecutor(4) as pool:
        print(sum(pool.map(count, [5_000_000] * 8)))
