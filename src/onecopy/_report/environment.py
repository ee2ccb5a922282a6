"""``ONECOPY_REPORT=run.html python script.py``: a report of each pool that the program makes.

The first pool's is written to that file, the next one's to ``run-2.html``, and so on, when a
pool has ended. Processes that ``multiprocessing`` has started, or a pool, write none.
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
    """Has the report of this engine written when it has ended, if the environment says so.

    Raises:
        ValueError: the variable names a kind of file that is none of a report's.
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
    # The one that takes it out writes it: the pool's own thread, or the program's end.
    if _waiting.pop(number, None) is None or engine is None or engine.history.pid != os.getpid():
        return
    from . import gather, write

    try:
        write.report(gather.run(engine, look=False), target)
    except OSError as error:
        # In a thread of the pool, which has nobody to raise it to.
        sys.stderr.write(f"onecopy: {target}: the report cannot be written: {error}\n")


def _at_exit() -> None:
    """Pools that are still there when the program ends: worker threads, for one, do not end."""
    for write_it in list(_waiting.values()):
        write_it()
