"""A helper that makes a pool of its own for each call of short tasks."""

from multiprocessing import Pool


def norm(value):
    return (value * value) ** 0.5


def norms(block):
    with Pool(2) as pool:
        return pool.map(norm, block)


def main():
    best = 0
    for start in range(0, 4000, 100):
        best = max(best, *norms(range(start, start + 100)))
    print(best)


if __name__ == "__main__":
    main()
