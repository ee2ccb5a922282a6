"""Each worker writes its records by the handler that it has inherited, and sends them to main as well."""

import logging
import logging.handlers
import multiprocessing
import os
import sys
import tempfile

log = logging.getLogger()


def set_up(queue):
    log.addHandler(logging.handlers.QueueHandler(queue))


def work(number):
    log.info("item %d", number)
    return number


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "app.log")
        logging.basicConfig(level=logging.INFO, filename=file)
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        listener = logging.handlers.QueueListener(queue, *log.handlers)
        listener.start()
        with context.Pool(2, initializer=set_up, initargs=(queue,)) as pool:
            pool.map(work, range(20))
            pool.close()
            pool.join()
        listener.stop()
        with open(file) as written:
            print(len(written.readlines()), "of 20 lines", file=sys.stderr)
