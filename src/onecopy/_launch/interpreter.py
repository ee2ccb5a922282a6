"""Starting a fresh interpreter that serves as a worker or as a zygote: the owner's side.

The command line names nothing but where onecopy lies and the owner's pid; everything else
comes through descriptor 3.

``posix_spawn`` and not ``subprocess``: that waits for a pipe to close which a process that
is forked elsewhere in the program at the same moment keeps open for as long as it lives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from .._system.native_threads import THREAD_VARIABLES

_CODE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from onecopy._launch.bootstrap import main; main(*sys.argv[2:])"
)
_HOME = str(Path(__file__).resolve().parents[3])


def start(role: str, fd: int, threads: int | None, environment: dict[str, str]) -> int:
    """Starts an interpreter that has ``fd`` as its descriptor 3; returns its pid.

    Called in the driver thread, which the child is tied to for life and death. Up to the
    fork of workers a zygote must have no thread but its own, so BLAS gets a single one.
    """
    environment = dict(environment)
    if threads is not None:
        for name in THREAD_VARIABLES:
            environment[name] = "1" if role == "zygote" else str(threads)
    dup = (os.POSIX_SPAWN_DUP2, fd, 3)
    # Ctrl-C reaches the whole process group: before the child has a handler of its own, it
    # would end with a traceback in the middle of an import.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) | {signal.SIGINT}
    command = _command([role, str(os.getpid())])
    return os.posix_spawn(sys.executable, command, environment, file_actions=[dup], setsigmask=mask)


def replace(arguments: list[str]) -> None:
    """This process begins anew as such an interpreter; what is inheritable stays open."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execv(sys.executable, _command(arguments))


def _command(arguments: list[str]) -> list[str]:
    # -P: the current directory is not put before the standard library. The worker's
    # path is then set to the owner's.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-P", "-c", _CODE, _HOME, *arguments]
