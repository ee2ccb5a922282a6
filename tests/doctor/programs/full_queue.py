"""The one who reads a small queue dies, and main waits for room in it for ever."""

import multiprocessing


def consume(queue):
    for item in iter(queue.get, None):
        if item == 3:
            raise ValueError("an item that it cannot take")


if __name__ == "__main__":
    queue = multiprocessing.Queue(maxsize=4)
    reader = multiprocessing.Process(target=consume, args=(queue,))
    reader.start()
    for number in range(100):
        queue.put(number)
    queue.put(None)
    reader.join()
