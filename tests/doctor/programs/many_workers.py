"""Eight workers that compute, on fewer CPUs."""

from multiprocessing import Pool


def work(factor):
    total = 0
    for number in range(200_000):
        total += number * factor
    return total


if __name__ == "__main__":
    with Pool(8) as pool:
        print(sum(pool.map(work, range(160), chunksize=2)))
