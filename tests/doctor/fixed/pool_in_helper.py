"""The cure: one pool, handed on."""

from multiprocessing import Pool


def norm(value):
    return (value * value) ** 0.5


def norms(pool, block):
    return pool.map(norm, block)


def main():
    best = 0
    with Pool(2) as pool:
        for start in range(0, 4000, 100):
            best = max(best, *norms(pool, range(start, start + 100)))
    print(best)


if __name__ == "__main__":
    main()
