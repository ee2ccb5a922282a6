"""Tools that measure the child processes of ``multiprocessing`` measure workers as well.

coverage, for one (``concurrency = multiprocessing``), puts its own function in place of
``BaseProcess._bootstrap``, in which a child runs, and adds an object to the preparation data of
children that are not forked, which does the same there when it is unpickled. See
``_protocol.preparation`` for that object.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_HOME = "multiprocessing.process"


def run(body: Callable[[], object]) -> None:
    """Run a worker's body, inside of the tool's function if there is one. Raises what it raises.

    The standard library's own function, which the tool's calls, sets up and ends a process as a worker
    is set up and ended anyhow. Both may be done twice.
    """
    process: Any = sys.modules.get(_HOME)
    around = process.BaseProcess._bootstrap if process is not None else None
    if around is None or around.__module__ == _HOME:
        body()
        return
    ended: list[BaseException | None] = []

    def inner() -> None:
        try:
            body()
            ended.append(None)
        except BaseException as error:  # raised below: the standard library would print it
            ended.append(error)

    this, parent = process.current_process(), process.parent_process()
    this.run, this._start_method = inner, None  # the method is chosen already
    around(this, getattr(parent, "_sentinel", None))
    if not ended:
        raise RuntimeError(f"BaseProcess._bootstrap of {around.__module__} has not run the worker")
    if ended[0] is not None:
        raise ended[0]
