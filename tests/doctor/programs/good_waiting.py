"""Good: eight workers that wait, on two CPUs."""

import time
from concurrent.futures import ProcessPoolExecutor


def fetch(number):
    time.sleep(0.05)
    return number


if __name__ == "__main__":
    with ProcessPoolExecutor(8) as executor:
        print(sum(executor.map(fetch, range(160))))
