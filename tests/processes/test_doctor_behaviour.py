"""A program under the doctor stays itself: what it prints, its status, its signals, its tracebacks.

Each scenario is run with and without, and what can be seen of it compared.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onecopy._doctor import diagnosis, recording

pytestmark = pytest.mark.beside

POOL = """
import multiprocessing, sys
def f(x):
    return x * x
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(pool.map(f, range(5)))
"""
FAILING = """
from concurrent.futures import ProcessPoolExecutor, wait
def f(x):
    return 1 // x
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(f, x) for x in (1, 0)]
        wait(jobs)  # the traceback of a result depends on whether it was there already
        print([job.result() for job in jobs])
"""
MANY = """
import traceback
from concurrent.futures import ProcessPoolExecutor, wait
def f(x):
    return 1 // (x - 1500) if x != 1501 else lambda: 1
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(f, x) for x in range(2000)]
        wait(jobs)
        for job in jobs[1499:1503]:
            try:
                print(job.result())
            except Exception:
                traceback.print_exc()
"""
UNPICKLABLE = """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.Pool(1) as pool:
        pool.apply(lambda: 1)
"""
MANAGED = """
import multiprocessing, traceback
if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        try:
            manager.dict()["no"]
        except KeyError:
            traceback.print_exc()
"""
DIES = """
import os
from concurrent.futures import ProcessPoolExecutor
def f(x):
    os._exit(3)
if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        try:
            pool.submit(f, 1).result()
        except Exception as error:
            print(type(error).__name__)
"""
REUSED = """
import os
os.closerange(3, 300)
files = [open('/proc/self/maps', 'rb', buffering=0) for _ in range(4)]
pid = os.fork()
if pid == 0:
    import gc; gc.collect()
    print([len(f.read(10)) for f in files], flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print([len(f.read(10)) for f in files])
"""
UNPRIVILEGED = """
import os, multiprocessing
def f(x): return (os.getuid(), x)
def down():
    if os.getuid() == 0: os.setuid(65534)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2, initializer=down) as pool:
        print(len(pool.map(f, range(4))))
    down()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(len(pool.map(f, range(4))))
"""
QUEUES = """
import multiprocessing
def worker(q, r):
    for item in iter(q.get, None):
        r.put(item)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    q, r = context.Queue(), context.Queue()
    p = context.Process(target=worker, args=(q, r)); p.start()
    looks_like_a_task = (1, 2, len, ("x",), {})
    looks_like_a_result = (1, 2, (True, 3))
    for item in (looks_like_a_task, looks_like_a_result, bytes(100_000), None):
        q.put(item)
    print([str(r.get())[:30] for _ in range(3)]); p.join()
"""
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
WIPED = "import os\nos.environ.pop('PYTHONPATH', None)\n"
ISOLATED = "import multiprocessing.util as u\nu._args_from_interpreter_flags = lambda: [{flags}]\n"

SAME: dict[str, dict[str, Any]] = {
    "fork": {"code": POOL.format(method="fork"), "pools": 1},
    "spawn": {"code": POOL.format(method="spawn"), "pools": 1},
    "forkserver": {"code": POOL.format(method="forkserver"), "pools": 1},
    "status": {"code": "import sys; print('out'); sys.exit(3)"},
    "text": {"code": "import sys; sys.exit('said')"},
    "traceback": {"code": "def f(): raise ValueError('no')\nf()"},
    "os-exit": {"code": "import os; print('x', flush=True); os._exit(7)"},
    "killed": {"code": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"},
    "terminated": {"code": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"},
    "stdin": {"code": "import sys; print(len(sys.stdin.read()))", "stdin": "hello" * 100_000},
    "argv": {
        "code": "import sys; print(sys.argv, __name__, __file__, sys.path, sys.flags, sys.orig_argv)",
        "args": ["a b", "--keep", "-x", "--", "--json"],
    },
    "environment": {
        "code": "import os; print(sorted((k, v) for k, v in os.environ.items() if k != 'PYTHONPATH'))"
    },
    "handlers": {"code": "import signal; print([signal.getsignal(n) for n in (1, 2, 3, 13, 15)])"},
    "threads": {"code": "import threading, os; print(len(os.listdir('/proc/self/task')))"},
    "module": {
        "args": ["-m", "package.inner", "--quiet"],
        "files": {"package/__init__.py": "", "package/inner.py": POOL.format(method="spawn")},
        "pools": 1,
    },
    "code": {"args": ["-c", POOL.format(method="fork"), "x"], "pools": 1},
    "failing": {"code": FAILING, "pools": 1},
    "many": {"code": MANY, "pools": 1},
    "unpicklable": {"code": UNPICKLABLE},
    "managed": {"code": MANAGED},
    "dies": {"code": DIES, "pools": 1},
    "descriptors": {"code": REUSED},
    "unprivileged": {"code": UNPRIVILEGED, "pools": 1},
    "queues": {"code": QUEUES},
    "limited": {"code": LIMITED + POOL.format(method="fork")},
    "wiped": {"code": WIPED + POOL.format(method="spawn"), "pools": 1},
    "isolated": {
        "code": ISOLATED.format(flags="'-I'") + POOL.format(method="spawn"),
        "pools": 1,
    },
    "no-site": {
        "code": ISOLATED.format(flags="'-S', '-E'") + POOL.format(method="forkserver"),
        "pools": 1,
    },
    "own-path": {
        "code": "import mine, sys; print(mine.X, len(sys.path))",
        "files": {"lib/mine.py": "X = 4"},
        "env": {"PYTHONPATH": "lib"},
    },
    "hash-seed": {
        "code": "import sys; print(sys.flags.hash_randomization, hash('x'))",
        "env": {"PYTHONHASHSEED": "5"},
    },
}


def normal(text: str, folder: Path) -> str:
    """Without what is another in each run."""
    text = text.replace(str(folder), "FOLDER")
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def run(folder: Path, spec: dict[str, Any], doctor: bool) -> tuple[tuple[str, str, int], Any]:
    folder = folder / ("with" if doctor else "without")
    folder.mkdir()
    for name, text in spec.get("files", {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    if "code" in spec:
        (folder / "prog.py").write_text(spec["code"])
    words = [*(["prog.py"] if "code" in spec else []), *spec.get("args", [])]
    options = ["--quiet", "--json", "found.json"]
    command = [sys.executable, *(["-m", "onecopy", "doctor", *options] if doctor else []), *words]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **spec.get("env", {})},
        input=spec.get("stdin", ""),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    report = folder / "found.json"
    found = json.loads(report.read_text()) if report.exists() else None
    seen = normal(done.stdout, folder), normal(done.stderr, folder), done.returncode
    return seen, found


def test_signals_that_are_ignored_stay_so() -> None:
    """By ``nohup``, say, or for a job in the background."""
    code = "import signal; print(*[signal.getsignal(n) == signal.SIG_IGN for n in (1, 2, 3, 15)])"
    command = [sys.executable, "-m", "onecopy", "doctor", "--quiet", "-c", code]
    ignoring = ["sh", "-c", """trap '' HUP INT QUIT; exec "$@" """, "sh", *command]
    done = subprocess.run(ignoring, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[0] == "True True True False"


@pytest.mark.leaks("a worker that a program leaves behind ends a moment after it")
@pytest.mark.parametrize("name", SAME)
def test_a_program_stays_itself(name: str, tmp_path: Path) -> None:
    spec = SAME[name]
    plain, _ = run(tmp_path, spec, doctor=False)
    seen, found = run(tmp_path, spec, doctor=True)
    assert seen == plain
    assert "<onecopy doctor>" not in seen[1]
    assert found is not None
    assert not [note for note in found["notes"] if "not looked at" in note], "every hook fits"
    assert len(found["pools"]) >= spec.get("pools", 0), "and it is seen"


@pytest.mark.parametrize(("end", "handled"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_signals_reach_the_program_and_its_end_is_ours(
    end: signal.Signals, handled: bool, tmp_path: Path
) -> None:
    handler = "signal.signal(15, lambda *_: sys.exit(9));" if handled else ""
    # Short sleeps: a signal that arrives just before a sleep is noticed only after it.
    code = (
        f"import signal, sys, time; {handler} print('ready', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    command = [sys.executable, "-m", "onecopy", "doctor", "--json", str(tmp_path / "f"), "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as doctor:
        assert doctor.stdout is not None
        assert doctor.stdout.readline() == "ready\n"
        if end is signal.SIGINT:
            os.killpg(doctor.pid, end)  # as a terminal does
        else:
            doctor.send_signal(end)
        _, said = doctor.communicate(timeout=30)
    assert doctor.returncode == (9 if handled else -signal.SIGINT)
    assert "onecopy doctor: -c" in said
    assert json.loads((tmp_path / "f").read_text())["status"] == doctor.returncode


def test_tasks_of_a_worker_that_was_killed_are_kept(tmp_path: Path) -> None:
    (tmp_path / "prog.py").write_text(
        "import os\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "def f(x):\n"
        "    if x == 5: os.kill(os.getpid(), 9)\n"
        "    return x\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1) as pool:\n"
        "        jobs = [pool.submit(f, x) for x in range(9)]\n"
        "        print([job.exception() is None for job in jobs].count(True))\n"
    )
    seen, found = run(tmp_path, {"args": [str(tmp_path / "prog.py")]}, doctor=True)
    assert seen[0] == "5\n"
    assert found["findings"][0]["id"] == "worker-killed"
    assert "SIGKILL while it ran f" in found["findings"][0]["title"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_task_in_which_a_worker_was_killed_is_known_among_many_short_ones(
    method: str, tmp_path: Path
) -> None:
    """Most of them are passed through unrecorded, and of this one there is no end."""
    (tmp_path / "prog.py").write_text(
        "import multiprocessing, os\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "def f(x):\n"
        "    if x == 2500: os.kill(os.getpid(), 9)\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    with ProcessPoolExecutor(1, mp_context=context) as pool:\n"
        "        jobs = [pool.submit(f, x) for x in range(3000)]\n"
        "        print([job.exception() is None for job in jobs].count(True))\n"
    )
    recorded = tmp_path / "run.doctor"
    command = [*(sys.executable, "-m", "onecopy", "doctor", "--quiet", "--record"), str(recorded)]
    done = subprocess.run(
        [*command, str(tmp_path / "prog.py")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("2500\n", "")
    found = diagnosis.of(recording.load(recorded))
    [pool] = found.pools
    [worker] = pool.workers
    assert worker.current is not None
    assert worker.current.running
    assert (worker.current.number, worker.current.one) == (2501, 2500)
    assert [each.id for each in found.findings if each.level == "crash"] == ["worker-killed"]
    assert "SIGKILL while it ran f" in found.findings[0].title


def test_what_a_killed_doctor_left_is_swept_up(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left = Path("/dev/shm", f"onecopy-doctor-{gone.pid}-test")
    left.mkdir()
    run(tmp_path, {"args": ["-c", "1"]}, doctor=True)
    assert not left.exists()


def test_many_forks_leave_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "for _ in range(300):\n"
        "    if not (pid := os.fork()): os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
    )
    _, found = run(tmp_path, {"args": ["-c", code]}, doctor=True)
    assert found["processes"] == 301


def test_a_wrong_call_is_said_before_anything_is_run(tmp_path: Path) -> None:
    for words, says in (
        ([], "which program"),
        (["nowhere.py"], "no file"),
        (["-m"], "needs a module"),
        (["--report", "x.doc", "-c", "1"], ".html"),
        (["--", "no-such-program"], "cannot be run"),
        (["--explain", "nothing"], "serial-sender"),
    ):
        command = [sys.executable, "-m", "onecopy", "doctor", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode != 0
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
