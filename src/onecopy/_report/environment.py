"""``ONECOPY_REPORT=run.html python script.py``: a report of each pool that the program makes.

The first pool's is written to that file, the next one's to ``run-2.html``, and so on, when each
pool has ended. Processes started by ``multiprocessing`` or by a pool write none.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from functools import partial
from itertools import count
from multiprocessing import process
from pathlib import Path

from .._engine.engine import Engine

VARIABLE = "ONECOPY_REPORT"
_numbers = count(1)
# Reports that have not been written yet.
_waiting: dict[int, partial[None]] = {}


def at_end(engine: Engine) -> None:
    """Write the report of this engine when it has ended, if the environment requests it.

    Raises:
        ValueError: the variable names a kind of file that reports do not have.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted or process.parent_process() is not None:
        return
    from .write import check

    try:
        check(wanted)
    except ValueError as error:
        engine.terminate()
        raise ValueError(f"{VARIABLE}: {error}") from None
    number, path = next(_numbers), Path(wanted)
    if number == 1:
        atexit.register(_at_exit)
    target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
    seen = weakref.ref(engine)
    _waiting[number] = write_it = partial(_write, number, seen, target)
    engine.history.ends.append(write_it)


def _write(number: int, seen: weakref.ref[Engine], target: Path) -> None:
    engine = seen()
    # The thread that removes it writes it: the pool's own, or the one at the program's end.
    if _waiting.pop(number, None) is None or engine is None or engine.history.pid != os.getpid():
        return
    from . import gather, write

    try:
        write.report(gather.run(engine, look=False), target)
    except OSError as error:
        # In a thread of the pool, where no caller can catch it.
        sys.stderr.write(f"onecopy: {target}: the report cannot be written: {error}\n")


def _at_exit() -> None:
    """Write reports of pools that are left when the program ends: worker threads, for example, do
    not end."""
    for write_it in list(_waiting.values()):
        write_it()
