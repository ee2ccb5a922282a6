"""Arrays of 8 MB go to two processes in turn, each by a pipe of its own, and come back."""

import multiprocessing

import numpy as np


def serve(link):
    while True:
        block = link.recv()
        if block is None:
            return
        link.send(block * 2)


if __name__ == "__main__":
    links = []
    for _ in range(2):
        link, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=serve, args=(theirs,))
        process.start()
        links.append((link, process))
    block, total = np.ones(1_000_000), 0
    for number in range(50):
        link, _ = links[number % 2]
        link.send(block + number)
        total += link.recv()[0]
    for link, process in links:
        link.send(None)
        process.join()
    print(total)
