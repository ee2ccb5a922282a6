"""tqdm's ``process_map``, which makes an executor of its own: 400 items, without the bar."""

import concurrent.futures
import math
import multiprocessing
from typing import Any

from tqdm.contrib.concurrent import process_map

from ..ways import WORKERS, Way, run


def work(number: int) -> float:
    return math.fsum(math.sin(number * at) for at in range(4000))


def main(way: Way) -> object:
    if way.ours:
        # It takes the class from there when it is called.
        replaced: Any = way.executor
        concurrent.futures.ProcessPoolExecutor = replaced  # type: ignore[misc]
    else:
        multiprocessing.set_start_method(way.name)
    return process_map(work, range(400), max_workers=WORKERS, chunksize=1, disable=True)


if __name__ == "__main__":
    run(main)
