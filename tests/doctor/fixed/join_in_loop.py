"""All are started, then all are joined."""

from multiprocessing import Process

STEPS = 8_000_000


def count(steps):
    total = 0
    for number in range(steps):
        total += number


if __name__ == "__main__":
    workers = [Process(target=count, args=(STEPS,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print("done")
