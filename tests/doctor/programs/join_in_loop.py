"""Each process is joined before the next one starts."""

from multiprocessing import Process

STEPS = 8_000_000


def count(steps):
    total = 0
    for number in range(steps):
        total += number


if __name__ == "__main__":
    for _ in range(4):
        worker = Process(target=count, args=(STEPS,))
        worker.start()
        worker.join()
    print("done")
