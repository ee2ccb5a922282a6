"""Workers log by the logger of the main module. How often does each record come out?

    python log_in_main.py multiprocessing|onecopy fork|forkserver|spawn

The parent sets its logging up; workers do nothing at first, and do so by the initializer of
the second pool. Records go to standard error; a line of JSON says which loggers logged.
"""

import json
import logging
import multiprocessing
import sys
from functools import partial
from typing import Any

import onecopy as oc

logger = logging.getLogger("lab")


def task(word: str) -> int:
    """Log one record; return which logger it was."""
    logger.info("task %s", word)
    return id(logger)


def set_up() -> None:
    """Set logging up as programs usually do: a handler, and a level."""
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


def main(kind: str, method: Any) -> None:
    """Four tasks on one worker, one record each; then the same with the initializer."""
    pools: dict[str, Any] = {
        "multiprocessing": multiprocessing.get_context(method).Pool,
        "onecopy": partial(oc.Pool, method=method),
    }
    set_up()
    for initializer in (None, set_up):
        with pools[kind](1, initializer) as pool:
            words = [f"{'initializer' if initializer else 'nothing'} {n}" for n in range(4)]
            ids = pool.map(task, words, chunksize=1)
        print(json.dumps({"parent": id(logger), "workers": ids}))


if __name__ == "__main__":
    main(*sys.argv[1:])
