"""The worker is joined while its results are still in the queue."""

import multiprocessing


def fill(queue):
    queue.put([0] * 1_000_000)


if __name__ == "__main__":
    queue = multiprocessing.Queue()
    worker = multiprocessing.Process(target=fill, args=(queue,))
    worker.start()
    worker.join()
    print(len(queue.get()))
