"""The environment of a fresh interpreter: the owner's at the moment when the pool was made.

Whatever the program changes later (the directory, the environment), workers that are started later,
replacements among them, start as the first ones did.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import pickle
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .._codec import homes
from .ambient import Ambient
from .import_watch import ImportWatch, SlowImport

if TYPE_CHECKING:  # workers must not wait for its parser
    from .._codec.main_module import MainModule


importing_main = False
"""True in a process that will be, or will fork, a worker, while it imports the main module."""


# The standard library's own preparation data, for which there is something else here.
_STANDARD = {
    "authkey", "dir", "init_main_from_name", "init_main_from_path", "log_level", "log_to_stderr",
    "name", "orig_dir", "start_method", "sys_argv", "sys_path",
}  # fmt: skip


class Preparation(NamedTuple):
    """See the module.

    Attributes:
        pool: counts up over the pools of the owner.
        main: file and ``-m`` name of the main module that workers import, or None.
        preload: modules to import first.
        ambient: settings to apply if no main module is imported that makes its own.
        environment: ``os.environ``.
        path, argv: ``sys.path`` and ``sys.argv``.
        installed: the directories of the interpreter and of installed packages.
        directory: the working directory; None if it was deleted.
        umask: or None if unknown.
        passengers: a pickled list of what tools have added to ``multiprocessing``'s preparation data;
            unpickling it is all they need (see ``_worker.tools``). Empty if there are none.
    """

    pool: int
    main: tuple[str, str | None] | None
    preload: tuple[str, ...]
    ambient: Ambient | None
    environment: dict[str, str]
    path: tuple[str, ...]
    argv: tuple[str, ...]
    installed: tuple[str, ...]
    directory: str | None
    umask: int | None
    passengers: bytes = b""

    def enter(self) -> SlowImport | None:
        """Set up the environment in a fresh interpreter, and import the modules.

        Returns the cost of importing the main module, if it was high. Raises whatever the main
        module raises when it is imported.
        """
        if self.umask is not None:
            os.umask(self.umask)
        if self.directory is not None:
            with contextlib.suppress(OSError):  # it was deleted meanwhile
                os.chdir(self.directory)
        homes.know_installed(self.installed)
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        if self.passengers:
            pickle.loads(self.passengers)
        with _few_collections():
            return self._import()

    def _import(self) -> SlowImport | None:
        for name in self.preload:
            with contextlib.suppress(Exception):  # the task that needs it will report that
                __import__(name)
        if self.main is None:
            clean_main()
            if self.ambient is not None:
                self.ambient.apply()
            return None
        global importing_main
        importing_main = True
        try:
            return import_main(*self.main)
        finally:
            importing_main = False


def prepare(pool: int, main: MainModule | None, preload: tuple[str, ...]) -> Preparation:
    """Return the present environment; workers import ``main``, unless it is None."""
    return Preparation(
        pool,
        None if main is None else (main.path, main.name),
        preload,
        Ambient.present() if main is None else None,
        dict(os.environ),
        tuple(sys.path),
        tuple(sys.argv),
        homes.installed_folders(),
        _directory(),
        _umask(),
        _passengers(),
    )


def import_main(path: str, name: str | None) -> SlowImport | None:
    """Import the owner's main module as ``__mp_main__``, in a worker or a zygote.

    As in ``multiprocessing.spawn``, code under the guard is not run, and
    ``sys.modules["__main__"]`` is the same module. Unlike there, the code runs in the module's own
    namespace and not in a copy, so ``import __main__`` sees what functions see.

    Args:
        path: the file.
        name: its name if it was run with ``-m``, or None.

    Returns its cost, if that was high. Raises whatever the module raises.
    """
    main = types.ModuleType("__mp_main__")
    spec = importlib.util.find_spec(name) if name is not None else None
    with open(path, "rb") as file:
        source = file.read()
    main.__file__ = path
    main.__spec__ = spec
    main.__package__ = spec.parent if spec is not None else None
    main.__loader__ = spec.loader if spec is not None else None
    main.__dict__["__builtins__"] = __builtins__
    main.__dict__["__cached__"] = None
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    return ImportWatch().run(source, path, main.__dict__)


def clean_main() -> None:
    """Install an empty main module in a worker that gets the owner's by value."""
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Let the garbage collector run for every 10,000 new objects within the block, and not for
    every 700: what is imported stays, and looking through it is a tenth of an import's time."""
    before = gc.get_threshold()
    few = (max(before[0], 10_000) if before[0] else 0, *before[1:])
    gc.set_threshold(*few)
    try:
        yield
    finally:
        if gc.get_threshold() == few:  # otherwise the main module has set it
            gc.set_threshold(*before)


def _passengers() -> bytes:
    spawn = sys.modules.get("multiprocessing.spawn")
    prepared = getattr(spawn, "get_preparation_data", None)
    if prepared is None or prepared.__module__ == "multiprocessing.spawn":
        return b""
    data = prepared("onecopy")
    return pickle.dumps([value for name, value in data.items() if name not in _STANDARD])


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _umask() -> int | None:
    """Return the umask without setting it, which would affect all threads of the program."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return None
