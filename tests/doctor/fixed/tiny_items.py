"""A hundred thousand items of a microsecond each, handed out one by one."""

from multiprocessing import Pool


def square(number):
    return number * number


if __name__ == "__main__":
    with Pool(2) as pool:
        print(sum(pool.imap(square, range(100_000), chunksize=2_000)))
