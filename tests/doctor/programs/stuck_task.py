"""One of forty tasks never ends: a server that does not answer, or a loop without an end."""

import socket
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool

SILENT = socket.create_server(("127.0.0.1", 0))


def ask(number):
    time.sleep(0.01)
    if number == 30:
        with socket.create_connection(SILENT.getsockname()) as server:
            server.recv(100)
    return number


def search(number):
    step = 0 if number == 30 else 1
    found = 0
    while found < 100_000:
        found += step
    return found


if __name__ == "__main__":
    work = search if "search" in sys.argv else ask
    if "executor" in sys.argv:
        with ProcessPoolExecutor(2) as pool:
            print(sum(pool.map(work, range(40))))
    else:
        with Pool(2) as pool:
            print(sum(pool.map(work, range(40), chunksize=1)))
