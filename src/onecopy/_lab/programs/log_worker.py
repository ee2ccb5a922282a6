"""A logger in its own module, and the task that logs with it; see ``log_in_module.py``."""

import logging

logger = logging.getLogger("lab")


def task(word: str) -> int:
    """Log one record; return which logger it was."""
    logger.info("task %s", word)
    return id(logger)


def set_up() -> None:
    """Set logging up as programs usually do: a handler, and a level."""
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
