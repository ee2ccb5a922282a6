"""Tools that patch ``multiprocessing`` to measure its child processes: they measure workers too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import coverage
import pytest

pytestmark = pytest.mark.beside

PROGRAM = """
import multiprocessing
import sys
import onecopy as oc

def work(x):
    y = x + 1
    if y == 3:
        sys.exit(3)
    return y

def set_up():
    global ready
    ready = True

if __name__ == "__main__":
    method, kind = sys.argv[1:]
    if kind == "executor":
        with oc.ProcessPoolExecutor(2, mp_context=method, initializer=set_up) as executor:
            print(list(executor.map(work, [1, 3])))
        sys.exit()
    if kind == "standard":
        pool = multiprocessing.get_context(method).Pool(2, set_up)
    else:
        pool = oc.Pool(2, set_up, method=method)
    print(pool.map(work, [1, 3]))
    pool.close()
    pool.join()
"""
SETTINGS = "[run]\nparallel = true\nconcurrency = multiprocessing\n"


def measured(folder: Path, *arguments: str) -> tuple[str, set[int]]:
    """Run the program under coverage; return what it prints, and its lines that were not run."""
    program, settings = folder / "program.py", folder / ".coveragerc"
    program.write_text(PROGRAM)
    settings.write_text(SETTINGS)
    for each in folder.glob(".coverage.*"):
        each.unlink()
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}"]
    command += [str(program), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    data = coverage.Coverage(data_file=str(folder / ".coverage"), config_file=str(settings))
    data.combine([str(folder)])
    return done.stdout, set(data.analysis2(str(program))[3])


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_coverage_measures_what_workers_run(method: str, tmp_path: Path) -> None:
    line = PROGRAM.splitlines().index
    exits, elsewhere = line("        sys.exit(3)") + 1, line('    if kind == "executor":') + 1
    said, missing = measured(tmp_path, method, "pool")
    assert said == "[2, 4]\n"
    assert exits in missing
    assert not {each for each in missing if each < elsewhere} - {exits}
    assert measured(tmp_path, method, "executor")[0] == said
    # The same lines as of the standard library's pool, apart from the call that makes it.
    theirs = measured(tmp_path, method, "standard")[1]
    assert {each for each in theirs if each < elsewhere} == {exits}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_exit_of_a_worker_stays_one(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing.process as process\n"
        "import multiprocessing.spawn, sys\n"
        "import onecopy as oc\n"
        "inner = process.BaseProcess._bootstrap\n"
        "def around(self, *arguments, **options):\n"
        "    print('begins', flush=True)\n"
        "    try:\n"
        "        return inner(self, *arguments, **options)\n"
        "    finally:\n"
        "        print('ends', flush=True)\n"
        "process.BaseProcess._bootstrap = around\n"
        "def leave(code):\n"
        "    sys.exit(code)\n"
        "if __name__ == '__main__':\n"
        "    pool = oc.Pool(1, method=sys.argv[1], prints='direct')\n"
        "    try:\n"
        "        pool.apply(leave, (7,))\n"
        "    except oc.WorkerDied as error:\n"
        "        print(error.exitcode)\n"
        "    print(pool.apply(abs, (-1,)))\n"
        "    pool.close()\n"
        "    pool.join()\n"
    )
    command = [sys.executable, str(program), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    said = sorted(done.stdout.split())
    assert (said, done.stderr) == (["1", "7", "begins", "begins", "ends", "ends"], "")
