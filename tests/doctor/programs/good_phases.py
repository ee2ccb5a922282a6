"""Good: one pool, used again after the main process has done work of its own."""

from multiprocessing import Pool


def work(factor):
    total = 0
    for number in range(200_000):
        total += number * factor
    return total


if __name__ == "__main__":
    total = 0
    with Pool(2) as pool:
        for _ in range(3):
            total += sum(pool.map(work, range(40), chunksize=2))
            for number in range(3_000_000):
                total += number
    print(total)
