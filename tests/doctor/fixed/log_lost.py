"""Logging is set up under the guard; fresh interpreters never see it."""

import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

logger = logging.getLogger(__name__)


def call(number):
    logger.debug("called with %d", number)
    logger.info("half way %d", number)
    return number


def set_up():
    logging.basicConfig(
        level=logging.DEBUG, stream=sys.stdout, format="%(processName)s %(message)s"
    )


if __name__ == "__main__":
    set_up()
    context = multiprocessing.get_context(sys.argv[1] if sys.argv[1:] else "spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=set_up) as pool:
        print(list(pool.map(call, range(10))))
