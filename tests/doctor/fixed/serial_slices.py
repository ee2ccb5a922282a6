"""Slices of one large record array go through the executor's pipe."""

import multiprocessing
import sys

import numpy as np

import onecopy as oc

ROWS, PARTS = 9_000_000, 6


def total(part):
    return float(np.nansum(part.value))


if __name__ == "__main__":
    readings = np.recarray(ROWS, dtype=[("number", "i8"), ("time", "M8[ns]"), ("value", "f8")])
    readings.number, readings.value = np.arange(ROWS), 1.0
    readings.time = np.datetime64("2024-01-01", "ns")
    readings = oc.share(readings)
    context = multiprocessing.get_context(sys.argv[1] if sys.argv[1:] else "fork")
    with oc.ProcessPoolExecutor(3, mp_context=context) as pool:
        step = ROWS // PARTS
        jobs = [pool.submit(total, readings[at : at + step]) for at in range(0, ROWS, step)]
        print(sum(job.result() for job in jobs))
