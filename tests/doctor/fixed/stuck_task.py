"""No answer within 50 ms is an answer, too."""

import socket
import time
from multiprocessing import Pool

SILENT = socket.create_server(("127.0.0.1", 0))


def ask(number):
    time.sleep(0.01)
    if number == 30:
        with socket.create_connection(SILENT.getsockname(), timeout=0.05) as server:
            try:
                server.recv(100)
            except TimeoutError:
                return 0
    return number


if __name__ == "__main__":
    with Pool(2) as pool:
        print(sum(pool.map(ask, range(40), chunksize=1)))
