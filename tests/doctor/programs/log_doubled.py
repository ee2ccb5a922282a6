"""The set-up as initializer, under fork: the handler is inherited, and added again."""

import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

logger = logging.getLogger(__name__)


def call(number):
    logger.debug("called with %d", number)
    return number


def set_up():
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(processName)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)


if __name__ == "__main__":
    set_up()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context, initializer=set_up) as pool:
        print(list(pool.map(call, range(10))))
