"""Runs a program and waits for all that it has started: ``python -m bench.reaper ARGUMENTS``.

Prints JSON: ``wall``, the seconds from the start of ``python ARGUMENTS`` to its end; ``cpu``, the
processor seconds of that process and of all others that it has started, also those that it does not
wait for; and ``output``. The standard library's fork server has no process that waits for it, so this one
adopts orphans (PR_SET_CHILD_SUBREAPER in prctl(2); Linux). Ends with the program's
exit code.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    # A file: a pipe would end with the last process that has it, not with the program.
    with tempfile.TemporaryFile("w+") as said:
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=said)
        process.wait()
        wall = time.perf_counter() - begin
        said.seek(0)
        output = said.read()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "output": output}))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
