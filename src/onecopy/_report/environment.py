"""``ONECOPY_REPORT=run.html python script.py``: a report of each pool that the program makes.

The first pool's is written to that file, the next one's to ``run-2.html``, and so on, when each
pool has ended. Processes started by ``multiprocessing`` or by a pool write none. Under ``onecopy
doctor`` the runs of all pools are saved for the doctor, too.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing import process
from typing import TYPE_CHECKING

from .._engine.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "ONECOPY_REPORT"
_numbers = count(1)
_doctors = count(1)
_keys = count(1)
# Reports that have not been written yet.
_waiting: dict[int, partial[None]] = {}


def at_end(engine: Engine) -> None:
    """Write the report of this engine when it has ended, if the environment requests it.

    Raises:
        ValueError: the variable names a kind of file that reports do not have.
    """
    folder = getattr(sys, "_onecopy_doctor", None)
    if isinstance(folder, str):
        from pathlib import Path  # few programs need it

        name = f"{os.getpid()}-{next(_doctors)}.onecopy"
        _when_ended(engine, Path(folder, name), _forgiving)
    wanted = os.environ.get(VARIABLE)
    if not wanted or process.parent_process() is not None:
        return
    from pathlib import Path

    from .write import check

    try:
        check(wanted)
    except ValueError as error:
        engine.terminate()
        raise ValueError(f"{VARIABLE}: {error}") from None
    number, path = next(_numbers), Path(wanted)
    target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
    _when_ended(engine, target, _told)


def _when_ended(engine: Engine, target: Path, failed: Callable[[Path, OSError], None]) -> None:
    seen, key = weakref.ref(engine), next(_keys)
    if key == 1:
        atexit.register(_at_exit)
    _waiting[key] = write_it = partial(_write, key, seen, target, failed)
    engine.history.ends.append(write_it)


def _write(
    key: int,
    seen: weakref.ref[Engine],
    target: Path,
    failed: Callable[[Path, OSError], None],
) -> None:
    engine = seen()
    # The thread that removes it writes it: the pool's own, or the one at the program's end.
    if _waiting.pop(key, None) is None or engine is None or engine.history.pid != os.getpid():
        return
    from . import gather, write

    try:
        write.report(gather.run(engine, look=False), target)
    except OSError as error:
        failed(target, error)


def _told(target: Path, error: OSError) -> None:
    # In a thread of the pool, where no caller can catch it.
    sys.stderr.write(f"onecopy: {target}: the report cannot be written: {error}\n")


def _forgiving(target: Path, error: OSError) -> None:
    """The doctor has ended, or has no room: it shows one pool less, and the program's output stays
    its own."""


def _at_exit() -> None:
    """Write reports of pools that are left when the program ends: worker threads, for example, do
    not end."""
    for write_it in list(_waiting.values()):
        write_it()
