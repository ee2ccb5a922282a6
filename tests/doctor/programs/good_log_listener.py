"""Good: the main process alone rotates the file; workers send their records to it."""

import logging
import logging.handlers
import multiprocessing
import os
import sys
import tempfile
from multiprocessing import Pool

RECORDS = 400
logger = logging.getLogger("work")


def set_up(queue):
    logging.basicConfig(level=logging.INFO, handlers=[logging.handlers.QueueHandler(queue)])


def work(number):
    for each in range(RECORDS):
        logger.info("task %d, line %d", number, each)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "app.log")
        handler = logging.handlers.RotatingFileHandler(file, maxBytes=20_000, backupCount=50)
        handler.setFormatter(logging.Formatter("%(process)d %(message)s"))
        queue = multiprocessing.Queue()
        listener = logging.handlers.QueueListener(queue, handler)
        # Before there is a thread.
        pool = Pool(3, initializer=set_up, initargs=(queue,))
        listener.start()
        pool.map(work, range(9), chunksize=1)
        pool.close()
        pool.join()
        listener.stop()
        handler.close()
        lines = 0
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as each:
                lines += sum(1 for _ in each)
    print(f"{lines} of {9 * RECORDS} lines", file=sys.stderr)
