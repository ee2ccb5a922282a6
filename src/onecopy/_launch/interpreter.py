"""Starts a fresh interpreter that serves as a worker or a zygote: the owner's side.

The command line contains only onecopy's directory and the owner's pid; everything else comes
through descriptor 3.

``posix_spawn`` and not ``subprocess``, which waits until a pipe is closed. A process forked
elsewhere in the program at the same moment keeps that pipe open for as long as it lives.
"""

from __future__ import annotations

import os
import signal
import sys

from .._system.native_threads import THREAD_VARIABLES

# Its directory is first for the import of the package alone: another onecopy may be installed, and
# the standard library must not be hidden by what else lies there. What is imported stays: the
# collector would look through it several times, and find nothing.
_CODE = (
    "import gc, sys, typing; gc.disable(); sys.path.insert(0, sys.argv[1]); import onecopy; "
    "sys.path.append(sys.path.pop(0)); from {} import main; gc.enable(); main(*sys.argv[2:])"
)
_BOOTSTRAP = "onecopy._launch.bootstrap"
_HOME = os.path.realpath(__file__).rsplit(os.sep, 3)[0]


def start(role: str, fd: int, threads: int | None, environment: dict[str, str]) -> int:
    """Start an interpreter with ``fd`` as its descriptor 3; return its pid.

    Called in the driver thread: the child is killed when that thread ends. Until it forks workers a
    zygote must have only one thread, so BLAS gets a single one.
    """
    environment = dict(environment)
    if threads is not None:
        for name in THREAD_VARIABLES:
            environment[name] = "1" if role == "zygote" else str(threads)
    return start_module(_BOOTSTRAP, [role, str(os.getpid())], fd, environment)


def start_module(module: str, arguments: list[str], fd: int, environment: dict[str, str]) -> int:
    """Start an interpreter that calls the ``main`` of one of our modules; return its pid.

    Args:
        module: its name.
        arguments: of ``main``.
        fd: the interpreter's descriptor 3.
        environment: of the new process.
    """
    dup = (os.POSIX_SPAWN_DUP2, fd, 3)
    # Ctrl-C reaches the whole process group: until the child has its own handler, it would end with
    # a traceback in the middle of an import.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) | {signal.SIGINT}
    command = _command(module, arguments)
    return os.posix_spawn(sys.executable, command, environment, file_actions=[dup], setsigmask=mask)


def replace(arguments: list[str]) -> None:
    """Replace this process by such an interpreter; inheritable descriptors stay open."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execv(sys.executable, _command(_BOOTSTRAP, arguments))


def _command(module: str, arguments: list[str]) -> list[str]:
    import subprocess  # not in a fresh interpreter, whose start it would delay

    # -P: the current directory is not put before the standard library. The worker's path is later
    # set to the owner's.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-P", "-c", _CODE.format(module), _HOME, *arguments]
