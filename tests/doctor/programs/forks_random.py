"""Processes that os.fork has made begin with the parent's random numbers."""

import os

import numpy as np

if __name__ == "__main__":
    np.random.seed(4)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os.write(1, b"%.6f\n" % np.random.random())
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
