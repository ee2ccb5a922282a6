"""Good: a large list that no worker touches is not copied."""

import multiprocessing


def spin(number):
    for _ in range(8_000_000):
        pass
    print(number**2)


if __name__ == "__main__":
    unrelated = list(range(2**23))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=spin, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(len(unrelated))
