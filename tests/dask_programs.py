"""Programs that have a Dask cluster of their own on this machine, for tests: Dask's threads outlive a client.

Where a test wants several hosts, each Dask worker counts as one.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.scripts import run

HEAD = """
import os, signal, sys, time, warnings
warnings.simplefilter("ignore", ResourceWarning)  # of Dask's own
warnings.simplefilter("ignore", DeprecationWarning)
import numpy as np
import onecopy as oc
from distributed import Client, LocalCluster, Security
from onecopy._cluster.carriers import dask as carrier

def each_worker_is_a_host():
    carrier._machine = lambda address, said: address

def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

def cluster(**options):
    return LocalCluster(dashboard_address=":0", threads_per_worker=1, **options)

def slow(i):
    time.sleep(0.01)
    return i

def main():
"""

TAIL = """
if __name__ == "__main__":
    main()
"""


def program(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    lines = [f"    {line}" for line in body.splitlines()]
    return run(tmp_path, HEAD + "\n".join(lines) + TAIL, env=environment(tmp_path))


def environment(tmp_path: Path) -> dict[str, str]:
    """Dask's workers put their files into the test's own folder."""
    return {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(tmp_path)}
