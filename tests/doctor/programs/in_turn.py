"""The main process waits for a child before it begins its own part."""

from multiprocessing import Process


def count(steps):
    total = 0
    for number in range(steps):
        total += number


if __name__ == "__main__":
    child = Process(target=count, args=(12_000_000,))
    child.start()
    child.join()
    count(12_000_000)
    print("done")
