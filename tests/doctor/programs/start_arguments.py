"""Each fresh interpreter is sent the whole table at its start."""

import multiprocessing

import numpy as np


def add_up(table, at):
    print(float(table[at::4].sum()))


if __name__ == "__main__":
    table = np.ones(12_000_000)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=add_up, args=(table, at)) for at in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
