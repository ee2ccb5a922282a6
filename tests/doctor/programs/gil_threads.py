"""The same by threads that the program makes itself."""

import threading


def count(steps):
    total = 0
    for number in range(steps):
        total += number


if __name__ == "__main__":
    threads = [threading.Thread(target=count, args=(12_000_000,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done")
