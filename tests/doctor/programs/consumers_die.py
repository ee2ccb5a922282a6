"""Those who read a queue die of a bad item; the one that fills it waits for ever."""

import multiprocessing


def consume(queue):
    for item in iter(queue.get, None):
        1 // item[0]


if __name__ == "__main__":
    queue = multiprocessing.SimpleQueue()
    workers = [multiprocessing.Process(target=consume, args=(queue,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for number in range(200):
        queue.put([0] * 5_000)
    for worker in workers:
        worker.join()
