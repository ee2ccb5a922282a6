"""Workers are given the numbers themselves."""

from multiprocessing import Process


def add_up(numbers, begin, end):
    total = 0
    for at in range(begin, end):
        total += numbers[at]


if __name__ == "__main__":
    numbers = list(range(20_000))
    workers = [
        Process(target=add_up, args=(numbers, n * 10_000, n * 10_000 + 10_000)) for n in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("done")
