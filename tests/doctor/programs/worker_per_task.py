"""A fresh interpreter for each short task."""

import multiprocessing


def more(number):
    return number + 1


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        print(sum(pool.imap(more, range(40))))
