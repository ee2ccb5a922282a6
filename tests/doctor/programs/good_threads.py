"""Good: threads that wait, and threads whose C code lets others run."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

BLOCK = bytes(40_000_000)


def fetch(number):
    time.sleep(0.02)
    return number


def digest(_):
    return hashlib.sha256(BLOCK).hexdigest()


if __name__ == "__main__":
    with ThreadPoolExecutor(8) as pool:
        print(sum(pool.map(fetch, range(80))))
    with ThreadPoolExecutor(2) as pool:
        print(len(set(pool.map(digest, range(16)))))
