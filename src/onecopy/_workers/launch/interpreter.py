"""Starting a fresh interpreter that serves as a worker or as a zygote: the owner's side.

The command line names nothing but where onecopy lies and a descriptor number; everything
else comes through that descriptor.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..child import THREAD_VARIABLES

_CODE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from onecopy._workers.launch.bootstrap import main; main(*sys.argv[2:])"
)
_HOME = str(Path(__file__).resolve().parents[3])


def start(role: str, fd: int, threads: int | None, preload: list[str]) -> subprocess.Popen[bytes]:
    """Starts an interpreter that inherits ``fd`` and nothing else of this process.

    Called in the driver thread, which the child is tied to for life and death. Up to the
    fork of workers a zygote must have no thread but its own, so BLAS gets a single one.
    """
    environment = dict(os.environ)
    if threads is not None:
        for name in THREAD_VARIABLES:
            environment[name] = "1" if role == "zygote" else str(threads)
    # -P: the current directory is not put before the standard library. The worker's
    # path is then set to the owner's.
    command = [
        sys.executable,
        *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
        "-P",
        "-c",
        _CODE,
        _HOME,
        role,
        str(fd),
        str(os.getpid()),
        ",".join(preload),
    ]
    return subprocess.Popen(command, pass_fds=[fd], env=environment)
