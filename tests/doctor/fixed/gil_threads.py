"""Processes in the place of threads."""

import onecopy


def count(steps):
    total = 0
    for number in range(steps):
        total += number


if __name__ == "__main__":
    with onecopy.Pool(3) as pool:
        pool.map(count, [12_000_000] * 3)
    print("done")
