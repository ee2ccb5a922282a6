"""The main job with ``ProcessPoolExecutor``: as many pickled slices as workers.

The job as it was published: every worker is sent its slice of the data. The file is mapped
and not read, so that no time goes into a first copy. METHOD is a start method, with
``:field`` behind it when slices of the one field are sent instead of whole records: a third
of the bytes, as in a program whose author knows that records are pickled whole.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from ..records import slices
from . import finish


def sum_records(records: np.ndarray) -> float:
    return float(np.nansum(records["val"]))


def sum_values(values: np.ndarray) -> float:
    return float(np.nansum(values))


def main() -> None:
    path, workers = sys.argv[1], int(sys.argv[2])
    method, _, field = sys.argv[3].partition(":")
    records = np.asarray(np.load(path, mmap_mode="r"))
    data, task = (records["val"], sum_values) if field else (records, sum_records)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(task, data[a:b]) for a, b in slices(len(data), workers)]
        finish(sum(future.result() for future in futures))


if __name__ == "__main__":
    main()
