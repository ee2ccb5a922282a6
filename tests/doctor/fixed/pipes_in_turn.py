"""The cure: one array for all, and its name goes through the pipe."""

import multiprocessing

import numpy as np

import onecopy as oc


def serve(link, block):
    while link.recv() is not None:
        np.multiply(block, 2, out=block)
        link.send(0)


if __name__ == "__main__":
    links = []
    shared = oc.empty(1_000_000, float)
    for _ in range(2):
        link, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=serve, args=(theirs, shared))
        process.start()
        links.append((link, process))
    block, total = np.ones(1_000_000), 0
    for number in range(50):
        link, _ = links[number % 2]
        np.add(block, number, out=shared)
        link.send(0)
        link.recv()
        total += shared[0]
    for link, process in links:
        link.send(None)
        process.join()
    print(total)
