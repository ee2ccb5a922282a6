"""Each worker has a rotating handler for the same file."""

import logging
import logging.handlers
import os
import sys
import tempfile
from multiprocessing import Pool

RECORDS = 400
logger = logging.getLogger("work")


def set_up(file):
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=20_000, backupCount=50)
    logging.basicConfig(level=logging.INFO, format="%(process)d %(message)s", handlers=[handler])


def work(number):
    for each in range(RECORDS):
        logger.info("task %d, line %d", number, each)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "app.log")
        with Pool(3, initializer=set_up, initargs=(file,)) as pool:
            pool.map(work, range(9), chunksize=1)
        lines = 0
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as each:
                lines += sum(1 for _ in each)
    print(f"{lines} of {9 * RECORDS} lines", file=sys.stderr)
