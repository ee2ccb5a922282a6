"""Programs that end while work is pending, and programs that meet a limit of the machine: they
go on or end quietly, with an error that names the limit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts import assert_clean, run

pytestmark = pytest.mark.memory

# The ends of programs.

ENDS = """
import asyncio, os, sys, time
import numpy as np, onecopy as oc

def double(x):
    return 2 * x

def begin(marks):
    marks[0] = 1
    time.sleep(600)

METHOD, WAY = sys.argv[1:]
marks = oc.zeros(1, "i8")
pool = oc.Pool(2, method=METHOD)
assert pool.map(double, range(4)) == [0, 2, 4, 6]
if WAY == "options":
    pending = pool.options(timeout=600, retries=3, memory_limit=8 << 30).submit(begin, marks)
elif WAY == "map_async":
    pending = pool.map_async(begin, [marks] * 20, chunksize=1)
elif WAY == "apply_async":
    pending = [pool.apply_async(begin, (marks,), callback=print) for _ in range(20)]
elif WAY == "imap_unordered":
    pending = pool.imap_unordered(begin, [marks] * 20)
elif WAY == "collected":
    pending = pool.submit(begin, marks)
elif WAY == "stream":
    async def main():
        async for _ in pool.stream(double, range(1000)):
            break
    asyncio.run(main())
    pending = pool.stream(begin, [marks] * 20)
    marks[0] = 1
elif WAY == "run":
    async def main():
        task = asyncio.ensure_future(pool.run(begin, marks))
        while not marks[0]:
            await asyncio.sleep(0)
    asyncio.run(main())
while not marks[0]:
    os.sched_yield()
if WAY == "collected":
    del pool
    assert isinstance(pending.exception(), oc.PoolClosed)
print("done")
"""


@pytest.mark.parametrize(
    ("way", "method"),
    [
        ("options", "fork"),
        ("map_async", "forkserver"),
        ("apply_async", "fork"),
        ("imap_unordered", "forkserver"),
        ("collected", "fork"),
        ("stream", "forkserver"),
        ("run", "fork"),
    ],
)
def test_a_program_ends_while_work_is_pending(tmp_path: Path, method: str, way: str) -> None:
    done = run(tmp_path, ENDS, method, way)
    if way in ("options", "map_async", "apply_async"):  # a thread may wait for it: it is said
        assert done.stderr.startswith("onecopy: ")
        assert done.stderr.count("\n") == 1
        done.stderr = ""
    assert_clean(done, "done")


# Limits of the machine.

FEW_FILES = """
import resource, sys
import numpy as np, onecopy as oc

def few():
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

pool = oc.Pool(1, few, method=sys.argv[1])
assert pool.apply(abs, (-1,)) == 1
arrays = [oc.zeros(1) for _ in range(60)]
try:
    pool.apply(len, (arrays,))
except oc.WorkerDied as error:
    print("an error", "ulimit -n" in "".join(error.__notes__))
assert pool.apply(len, (arrays[:5],)) == 5
pool.terminate()
pool.join()
"""


def test_a_worker_that_cannot_have_so_many_files(tmp_path: Path) -> None:
    """It ends before it has begun the task; that is not tried for ever, and says why."""
    done = run(tmp_path, FEW_FILES, "forkserver")
    assert (done.returncode, done.stdout) == (0, "an error True\n")
    assert "ulimit -n" in done.stderr


READ_ONLY = """
import sys, tempfile
import numpy as np, onecopy as oc

def double(a):
    return a * 2

array = oc.share(np.ones(100_000))
pool = oc.Pool(1, method=sys.argv[1])
assert pool.apply(double, (np.ones(100_000),)).sum() == 200_000
usual, tempfile.tempdir = tempfile.gettempdir(), sys.argv[2]
for attempt in (lambda: oc.zeros(5), lambda: oc.share(np.ones(1 << 24)), lambda: oc.Pool(1)):
    try:
        attempt()
    except OSError as error:
        assert "Read-only" in str(error) and sys.argv[2] in str(error), error
    else:
        raise AssertionError
assert pool.apply(double, (np.ones(1000),)).sum() == 2000
assert pool.apply(np.sum, (array,)) == 100_000
tempfile.tempdir = usual
assert oc.zeros(5).sum() == 0
pool.terminate()
pool.join()
print("done")
"""


def test_a_folder_for_backing_files_that_is_read_only(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a file system")
    try:
        env = {**os.environ, "ONECOPY_BACKING": "file"}
        assert_clean(run(tmp_path, READ_ONLY, "fork", str(folder), env=env), "done")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


FULL = """
import os, sys
import numpy as np, onecopy as oc

with open("/dev/shm/filler", "wb") as file:
    os.posix_fallocate(file.fileno(), 0, 64 << 10)
assert os.statvfs("/dev/shm").f_bavail == 0
data = oc.share(np.ones(1_000_000))
with oc.Pool(1, method=sys.argv[1]) as pool:
    assert pool.apply(np.sum, (data,)) == 1_000_000
    assert pool.apply(np.ones, (1_000_000,)).sum() == 1_000_000
print("done")
"""


def test_a_full_dev_shm_does_not_matter(process_method: str) -> None:
    """Nothing of ours is there, unless TMPDIR says so, as it may for this suite."""
    mount = "mount -t tmpfs -o size=64k tmpfs /dev/shm"
    alone = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("needs a /dev/shm of its own")
    command = [*alone, sys.executable, "-c", FULL, process_method]
    elsewhere = {**os.environ, "TMPDIR": "/var/tmp"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=elsewhere)
    assert_clean(done, "done")
