"""The set-up and the end of workers: as of those of `multiprocessing` are."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests.processes.test_main_module import program
from tests.scripts import until


def test_standard_input_is_the_owner_s(tmp_path: Path, process_method: str) -> None:
    said = program(
        tmp_path,
        process_method,
        """
        import subprocess
        def read():
            try:
                return input()
            except EOFError:
                return "end", sys.stdin.read(), os.read(0, 1)
        def child(): return subprocess.run(["cat"], capture_output=True).stdout
        """,
        """
        first, second = os.pipe()
        os.write(second, b"for the owner\\n")
        os.close(second)
        os.dup2(first, 0)
        with oc.Pool(1, method=METHOD) as pool:
            print(pool.apply(read), pool.apply(child), sys.stdin.read().strip())
        """,
    )
    assert said == "('end', '', b'') b'' for the owner\n"


WHO = """
import multiprocessing
def who():
    me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    return me.name, me._identity, me.daemon, parent.name, parent.is_alive(), parent.pid
def child():
    process = multiprocessing.Process(target=os.getpid)
    process.start()
    process.join()
    return process.exitcode
"""


def test_a_worker_knows_that_it_is_one(tmp_path: Path, process_method: str) -> None:
    said = program(
        tmp_path,
        process_method,
        WHO,
        """
        with oc.Pool(2, method=METHOD) as pool:
            names = {pool.apply(who) for _ in range(20)}
            print({name[:1] for name in names} <= {("onecopy-1",), ("onecopy-2",)})
            name, identity, *rest = names.pop()
            print(name == f"onecopy-{identity[0]}", *rest[:3], rest[3] == os.getpid())
            try:
                pool.apply(child)
            except AssertionError as error:
                print(error)
        context = multiprocessing.get_context(METHOD)
        with oc.ProcessPoolExecutor(1, mp_context=context) as executor:
            print(executor.submit(who).result()[2], executor.submit(child).result())
        print(multiprocessing.current_process().name, multiprocessing.parent_process())
        """,
    )
    assert said.splitlines() == [
        "True",
        "True True MainProcess True True",
        "daemonic processes are not allowed to have children",
        "False 0",
        "MainProcess None",
    ]


def command(pid: int) -> str:
    """The command line of a process, as `ps` shows it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_what_ps_shows(process_method: Method) -> None:
    with oc.Pool(2, method=process_method) as pool:
        pool.map(abs, range(2))
        until(lambda: pool.stats().workers == 2)
        titles = sorted(map(command, pool.pids()))
        first, second = (title.rpartition(", ") for title in titles)
        assert first[0] == second[0], titles
        assert first[0].startswith("onecopy: pool "), titles
        assert [first[2], second[2]] == ["worker 1", "worker 2"]
        names = {Path(f"/proc/{pid}/comm").read_text().strip()[:8] for pid in pool.pids()}
        assert names == {"onecopy-"}
    assert "onecopy:" not in command(os.getpid())


ENDS = """
import atexit, time
from multiprocessing.util import Finalize
def note(path, word):
    with open(path, "a") as file:
        file.write(word + "\\n")
def set_up(path):
    atexit.register(note, path, "atexit")
    Finalize(None, note, (path, "finalize"), exitpriority=1)
def work(path):
    def run():
        time.sleep(0.2)
        note(path, "thread")
    threading.Thread(target=run).start()
    global kept
    kept = open(path, "a")
    kept.write("buffered\\n")
"""


@pytest.mark.parametrize("door", ["pool", "executor"])
def test_a_normal_end(tmp_path: Path, process_method: str, door: str) -> None:
    path = tmp_path / "said"
    make = {
        "pool": "oc.Pool(1, set_up, (path,), method=METHOD)",
        "executor": "oc.ProcessPoolExecutor(1, initializer=set_up, initargs=(path,), "
        "mp_context=__import__('multiprocessing').get_context(METHOD))",
    }
    end = {"pool": "close(); pool.join()", "executor": "shutdown()"}
    program(
        tmp_path,
        process_method,
        ENDS,
        f"""
        path = {str(path)!r}
        atexit.register(note, path, "owner " + str(os.getpid()))
        pool = {make[door]}
        pool.submit(work, path).result()
        pool.{end[door]}
        """,
    )
    said = path.read_text().splitlines()
    # What a forked worker has in the buffers of files is lost, as in the standard library.
    expected = {"atexit", "finalize", "thread"} | ({"buffered"} - {process_method})
    if process_method == "fork":
        expected -= {"buffered"}
    owner = [line for line in said if line.startswith("owner")]
    assert (len(owner), set(said) - set(owner)) == (1, expected)


def test_a_file_of_the_main_module_is_written_out(tmp_path: Path, process_method: str) -> None:
    """Also if the process that forks the workers has opened it, when it imported the module."""
    path = tmp_path / "said"
    program(
        tmp_path,
        process_method,
        f"""
kept = open({str(path)!r}, "a")
def work(number):
    kept.write(f"buffered {{number}}\\n")
""",
        """
        pool = oc.Pool(2, method=METHOD)
        pool.map(work, range(4), chunksize=1)
        pool.close()
        pool.join()
        kept.close()
        """,
    )
    # What a forked worker has in the buffers of the owner's files is lost, as in the standard
    # library.
    expected = [] if process_method == "fork" else [f"buffered {number}" for number in range(4)]
    assert sorted(path.read_text().splitlines()) == expected


def test_an_end_by_terminate_is_a_kill(tmp_path: Path, process_method: str) -> None:
    path = tmp_path / "said"
    program(
        tmp_path,
        process_method,
        ENDS,
        f"""
        with oc.Pool(1, set_up, ({str(path)!r},), method=METHOD) as pool:
            pool.map(abs, [1])
        """,
    )
    assert not path.exists()


def test_workers_have_the_surroundings_of_when_the_pool_was_made(
    tmp_path: Path, process_method: str
) -> None:
    said = program(
        tmp_path,
        process_method,
        """
        def look():
            umask = os.umask(0)
            os.umask(umask)
            return os.getcwd() == START, os.environ.get("VALUE"), umask
        START = os.getcwd()
        """,
        """
        os.environ["VALUE"] = "then"
        os.umask(0o27)
        with oc.Pool(1, method=METHOD, maxtasksperchild=1) as pool:
            os.chdir("/")
            os.environ["VALUE"] = "now"
            os.umask(0o22)
            print(pool.apply(look) == pool.apply(look) == (True, "then", 0o27))
        """,
    )
    assert said == "True\n"


def test_the_resource_tracker_is_the_owner_s(tmp_path: Path, process_method: str) -> None:
    """Shared memory that a task has attached to, or made, outlives its worker."""
    said = program(
        tmp_path,
        process_method,
        """
        def attach(name):
            from multiprocessing.shared_memory import SharedMemory
            memory = SharedMemory(name=name)
            memory.buf[0] += 1
            memory.close()
        def make():
            from multiprocessing.shared_memory import ShareableList
            made = ShareableList([1, 2])
            made.shm.close()
            return made.shm.name
        """,
        """
        pools = [oc.Pool(1, method=METHOD) for _ in range(2)]
        from multiprocessing.shared_memory import ShareableList, SharedMemory
        memory = SharedMemory(create=True, size=16)
        memory.buf[0] = 0
        for pool in pools:
            pool.map(attach, [memory.name] * 2)
            name = pool.apply(make)
            pool.close()
            pool.join()
        made = ShareableList(name=name)
        print(memory.buf[0], list(made))
        made.shm.close()
        made.shm.unlink()
        memory.close()
        memory.unlink()
        """,
    )
    assert said == "4 [1, 2]\n"


def test_a_program_without_shared_memory_starts_no_tracker(
    tmp_path: Path, process_method: str
) -> None:
    said = program(
        tmp_path,
        process_method,
        "",
        """
        with oc.Pool(2, method=METHOD) as pool:
            pool.map(abs, range(4))
            print("multiprocessing.resource_tracker" in sys.modules)
        """,
    )
    assert said == "False\n"


DRAW = """
import time
def draw(x):
    time.sleep(0.02)
    return os.getpid(), float(np.random.random())
def first_draws(**options):
    with oc.Pool(2, method=METHOD, **options) as pool:
        while pool.stats().workers < 2:
            time.sleep(0.01)
        drawn = pool.map(draw, range(40), chunksize=1)
    return {pid: value for pid, value in reversed(drawn)}
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_forked_workers_draw_their_own_numbers(tmp_path: Path, method: str) -> None:
    said = program(
        tmp_path,
        method,
        "np.random.seed(7)\n" + DRAW,
        """
        for reseed in True, False:
            draws = first_draws(reseed=reseed)
            assert len(draws) == 2, draws
            print(len(set(draws.values())))
        """,
    )
    assert said == "2\n1\n"


def test_a_generator_of_the_program_is_made_by_each_worker(
    tmp_path: Path, process_method: str
) -> None:
    """A state that was sent or inherited would give all of them the same numbers."""
    source = "rng = np.random.default_rng()\nseeded = np.random.default_rng(7)\n" + DRAW
    for name, different in ("rng", 2), ("seeded", 1):
        said = program(
            tmp_path,
            process_method,
            source.replace("np.random.random", f"{name}.random"),
            "print(len(set(first_draws().values())))\n",
        )
        assert said == f"{different}\n"


def test_a_fork_while_another_thread_imports_a_module(tmp_path: Path) -> None:
    """The thread is not in the child, where the module's lock stays taken for ever."""
    (tmp_path / "half_loaded.py").write_text(
        "import builtins\nrng = 1\nbuiltins.begun.set()\nbuiltins.go_on.wait(60)\n"
    )
    said = program(
        tmp_path,
        "fork",
        "import builtins, importlib, threading\n",
        """
        builtins.begun, builtins.go_on = threading.Event(), threading.Event()
        thread = threading.Thread(target=importlib.import_module, args=("half_loaded",))
        thread.start()
        builtins.begun.wait(60)
        with oc.Pool(1, method=METHOD) as pool:
            print(pool.apply_async(abs, (-1,)).get(30))
        builtins.go_on.set()
        thread.join()
        """,
    )
    assert said == "1\n"


@pytest.mark.parametrize("own", ["", "gc.set_threshold(20_000, 5, 5)\n"])
def test_the_collector_is_the_program_s_when_tasks_run(
    tmp_path: Path, process_method: str, own: str
) -> None:
    """The import of the main module runs it less often."""
    plain = subprocess.run(
        [sys.executable, "-c", "import gc; print(gc.get_threshold())"],
        capture_output=True,
        text=True,
        check=True,
    )
    said = program(
        tmp_path,
        process_method,
        "import gc\n" + own + "def ask():\n    return gc.get_threshold(), gc.isenabled()\n",
        """
        with oc.Pool(1, method=METHOD) as pool:
            print(*pool.apply(ask))
        """,
    )
    assert said == f"{'(20000, 5, 5)' if own else plain.stdout.strip()} True\n"


def slow_start(path: str, seconds: float) -> None:
    """An initializer that says that it runs, and waits."""
    Path(path, str(os.getpid())).touch()
    if not Path(path, "go").exists():
        signal.sigtimedwait([signal.SIGUSR2], seconds)


def test_workers_that_are_killed_while_they_start_are_replaced(
    tmp_path: Path, process_method: Method
) -> None:
    with oc.Pool(4, slow_start, (str(tmp_path), 60), method=process_method) as pool:
        for killed in (4, 8):
            until(lambda killed=killed: len(list(tmp_path.iterdir())) >= killed)  # type: ignore[misc]
            for pid in pool.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        (tmp_path / "go").touch()
        assert pool.map(abs, [-1, -2]) == [1, 2]


def test_workers_that_end_by_themselves_while_they_start_end_the_pool(
    process_method: Method,
) -> None:
    pool = oc.Pool(4, os._exit, (3,), method=process_method)
    with pytest.raises(oc.InitializerFailed, match="no worker became ready"):
        pool.map(abs, [1])
    pool.terminate()
