"""One pool for all batches."""

import multiprocessing


def work(number):
    return sum(range(number))


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    total = 0
    with context.Pool(2) as pool:
        for batch in range(12):
            total += sum(pool.map(work, [20_000 + batch] * 16))
    print(total)
