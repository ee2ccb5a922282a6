"""A logger in a module of its own, and the task that logs by it; see ``log_in_module.py``."""

import logging

logger = logging.getLogger("lab")


def task(word: str) -> int:
    """Log one record; return which logger it was."""
    logger.info("task %s", word)
    return id(logger)


def set_up() -> None:
    """What one writes so that a program logs: a handler, and a level."""
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
