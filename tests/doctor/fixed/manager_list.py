"""Workers read the numbers in place."""

from multiprocessing import Process

import onecopy as oc


def add_up(numbers, begin, end):
    total = 0
    for at in range(begin, end):
        total += numbers[at]


if __name__ == "__main__":
    numbers = oc.share(list(range(20_000)))
    workers = [
        Process(target=add_up, args=(numbers, n * 10_000, n * 10_000 + 10_000)) for n in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("done")
