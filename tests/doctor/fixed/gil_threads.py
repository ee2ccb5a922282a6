"""Processes in the place of threads."""

import multiprocessing


def count(steps):
    total = 0
    for number in range(steps):
        total += number


if __name__ == "__main__":
    workers = [multiprocessing.Process(target=count, args=(12_000_000,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("done")
