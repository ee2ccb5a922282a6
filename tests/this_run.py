"""The marks by which a test run tells its own things from those of others on the machine.

It has a folder for temporary files of its own; names in /dev/shm carry its name (see
`tests/watched`); and its processes are known by their environment, or, where they were
forked and so show their parent's first environment, by a page of a file that they have mapped.
"""

from __future__ import annotations

import atexit
import mmap
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from tests.watched import sitecustomize

_SHM = Path("/dev/shm")
_MAPS = "/proc/{}/maps"


class ThisRun:
    """The test run that this process is.

    Attributes:
        name: a part of the names of what it makes.
        folder: for its temporary files; goes when the process ends.
    """

    def __init__(self) -> None:
        self.name = secrets.token_hex(4)
        usual = tempfile.gettempdir()
        self.folder = tempfile.mkdtemp(prefix=f"tests-{self.name}-", dir=usual)
        # Registered before all others, and so called after them.
        atexit.register(self._remove, os.getpid())
        # pytest keeps what the last three runs had in `tmp_path`, in numbered folders.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)
        # joblib would take /dev/shm.
        os.environ["TMPDIR"] = os.environ["JOBLIB_TEMP_FOLDER"] = self.folder
        tempfile.tempdir = None
        os.environ[sitecustomize.VARIABLE] = self.name
        path = [str(Path(sitecustomize.__file__).parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        if _SHM.is_dir():
            sitecustomize.install()
        self._mark = self._mapped()

    def made(self, name: str) -> bool:
        """Return True if an entry of /dev/shm with that name is this run's."""
        return self.name in name

    def started(self, process: psutil.Process) -> bool:
        """Return True if `process` descends from this one, by whatever way."""
        with suppress(psutil.Error):
            if process.environ().get(sitecustomize.VARIABLE) == self.name:
                return True
        with suppress(OSError):  # ended, or another user's, or there is no /proc
            return self._mark in Path(_MAPS.format(process.pid)).read_text()
        return False

    def _mapped(self) -> str:
        """Map a file for as long as this process lives. Gives its path."""
        path = os.path.join(self.folder, "mark")
        with open(path, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        return path

    def _remove(self, owner: int) -> None:
        if os.getpid() == owner:  # and not a child that was forked and ends as programs do
            shutil.rmtree(self.folder, ignore_errors=True)


_made: list[ThisRun] = []


def this_run() -> ThisRun:
    """The run that this process is: the same at each call, and made by the first."""
    if not _made:
        _made.append(ThisRun())
    return _made[0]
