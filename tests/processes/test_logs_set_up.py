"""Handlers, levels and redirections that a program sets up in workers; streams of the owner
that are broken; what is flushed before its line ends. Each in a program of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests import scripts
from tests.conftest import MakePool

pytestmark = pytest.mark.door

HANDLERS = """
import logging, logging.handlers, os, queue, sys
import onecopy as oc

method, owner, worker = sys.argv[1:4]
log = logging.getLogger("job.part")

def console():
    logging.basicConfig(level=logging.INFO, format="worker %(message)s")

def console_anew():
    logging.basicConfig(level=logging.INFO, format="worker %(message)s", force=True)

def file():
    handler = logging.FileHandler(f"worker-{os.getpid()}.log")
    logging.getLogger("job").addHandler(handler)
    logging.getLogger("job").setLevel(logging.INFO)

def same_file():
    logging.getLogger("job").addHandler(logging.FileHandler("owner.log"))
    logging.getLogger("job").setLevel(logging.INFO)

def queued():
    log.addHandler(logging.handlers.QueueHandler(queue.Queue()))
    log.setLevel(logging.INFO)

def custom():
    class Custom(logging.Handler):
        def emit(self, record):
            with open(f"worker-{os.getpid()}.log", "a") as file:
                print(record.getMessage(), record.mark, file=file)
    def mark(record):
        record.mark = "marked"
        return True
    log.addFilter(mark)
    log.addHandler(Custom())
    log.setLevel(logging.INFO)

def nothing():
    pass

def work(i):
    log.info("item %d", i)
    log.debug("not wanted")
    return i

if __name__ == "__main__":
    if owner == "console":
        logging.basicConfig(level=logging.INFO, format="owner %(message)s")
    if owner == "quiet":
        logging.basicConfig(level=logging.WARNING, format="owner %(message)s")
    if owner == "file":
        logging.basicConfig(level=logging.INFO, filename="owner.log", format="owner %(message)s")
    with oc.Pool(2, method=method, initializer=globals()[worker]) as pool:
        pool.map(work, range(4), 1)
        pool.close()
        pool.join()
    for name in sorted(os.listdir()):
        if name.endswith(".log"):
            kind = "worker" if name.startswith("worker") else "owner"
            with open(name) as file:
                print(*(f"{kind} file: {line.strip()}" for line in file), sep="\\n")
"""


@pytest.mark.parametrize(
    ("owner", "worker", "on_console", "in_files"),
    [
        # Nothing else shows them: the worker's handlers do.
        ("none", "console", ["worker item"], []),
        ("none", "file", [], ["worker file: item"]),
        ("none", "custom", [], ["worker file: item"]),
        # The owner shows them on the terminal: the worker's handler of the terminal is still.
        ("console", "console_anew", ["owner item"], []),
        # Another place: there as well, once.
        ("console", "file", ["owner item"], ["worker file: item"]),
        ("file", "console_anew", ["worker item"], ["owner file: owner item"]),
        ("file", "same_file", [], ["owner file: owner item"]),
        ("console", "queued", ["owner item"], []),
        ("console", "nothing", ["owner item"], []),
        # The level is the worker's own; the owner's handler takes what comes.
        ("quiet", "file", ["owner item"], ["worker file: item"]),
    ],
)
def test_which_handlers_are_called(
    tmp_path: Path,
    process_method: str,
    owner: str,
    worker: str,
    on_console: list[str],
    in_files: list[str],
) -> None:
    source = f"import os; os.chdir({str(tmp_path)!r})\n{HANDLERS}"
    done = scripts.run(tmp_path, source, process_method, owner, worker)
    assert done.returncode == 0, done.stderr
    shown = [line.strip() for line in done.stderr.splitlines()]
    end = " marked" if worker == "custom" else ""
    assert sorted(shown) == sorted(f"{what} {i}" for what in on_console for i in range(4))
    written = [line for line in done.stdout.splitlines() if line]
    assert sorted(written) == sorted(f"{what} {i}{end}" for what in in_files for i in range(4))


def set_level(level: int) -> None:
    logging.getLogger("tests.set_up").setLevel(level)


def level_of() -> int:
    return logging.getLogger("tests.set_up").level


def test_a_worker_s_level_stays_until_the_owner_s_changes(
    make_pool: MakePool, process_method: str
) -> None:
    mine, other = logging.getLogger("tests.set_up"), logging.getLogger("tests.another")
    pool = make_pool(process_method, 1, initializer=set_level, initargs=(logging.DEBUG,))
    try:
        assert pool.apply(level_of) == logging.DEBUG
        other.setLevel(logging.ERROR)
        assert pool.apply(level_of) == logging.DEBUG
        mine.setLevel(logging.WARNING)
        assert pool.apply(level_of) == logging.WARNING
    finally:
        mine.setLevel(logging.NOTSET)
        other.setLevel(logging.NOTSET)


REDIRECTED = """
import os, sys
import onecopy as oc

def redirect(number, path):
    print("before")
    sys.stdout.write("half")
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(fd, number)
    os.close(fd)

def work(i):
    print("printed", i)
    print("error", i, file=sys.stderr)
    os.write(1, b"written\\n")

if __name__ == "__main__":
    path = sys.argv[0] + ".out"
    with oc.Pool(1, method=sys.argv[1], initializer=redirect, initargs=(1, path)) as pool:
        pool.map(work, range(3), 1)
    print("owner")
    sys.stdout.flush()
    with open(path) as file:
        print(file.read(), end="", file=sys.stderr)
"""


def test_a_redirected_descriptor_is_honoured(tmp_path: Path, process_method: str) -> None:
    done = scripts.run(tmp_path, REDIRECTED, process_method)
    errors = [f"error {i}" for i in range(3)]
    inside = [line for i in range(3) for line in (f"printed {i}", "written")]
    assert done.returncode == 0
    assert done.stderr.splitlines() == errors + inside
    assert done.stdout.splitlines() == ["before", "halfowner"]


FLUSHED = """
import os, sys, time
import onecopy as oc

def work(path):
    for part in ("dot.", "\\rbar", "prompt? "):
        print(part, end="", flush=True)
        print(part, end="", flush=True, file=sys.stderr)
        while not os.path.exists(path + str(len(part))):
            time.sleep(0.01)

if __name__ == "__main__":
    door = sys.argv[2]
    if door == "Pool":
        with oc.Pool(1, method=sys.argv[1]) as pool:
            pool.apply(work, (sys.argv[3],))
    else:
        with oc.ProcessPoolExecutor(1, sys.argv[1]) as executor:
            executor.submit(work, sys.argv[3]).result()
"""


@pytest.mark.parametrize("door", ["Pool", "ProcessPoolExecutor"])
def test_what_is_flushed_is_shown_at_once(tmp_path: Path, process_method: str, door: str) -> None:
    """The task goes on only when what it has flushed was read."""
    (tmp_path / "program.py").write_text(FLUSHED)
    sign = str(tmp_path / "seen")
    command = [sys.executable, str(tmp_path / "program.py"), process_method, door, sign]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        for part in (b"dot.", b"\rbar", b"prompt? "):
            assert program.stdout.read(len(part)) == part
            assert program.stderr.read(len(part)) == part
            Path(sign + str(len(part))).touch()
        assert program.wait() == 0


def dots(i: int) -> None:
    print(".", end="", flush=True)


def test_dots_of_many_tasks(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pool(process_method, 2).map(dots, range(50), chunksize=1)
    assert capsys.readouterr().out == "." * 50


def test_a_prefixed_line_stays_whole(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pool(process_method, 1, prints="prefixed").map(dots, range(3), chunksize=3)
    assert capsys.readouterr().out.split(" | ")[1:] == ["..."]


STREAMS = """
import io, os, sys
import onecopy as oc

class WriteOnly:
    def __init__(self):
        self.said = []

    def write(self, text):
        self.said.append(text)

class Raises:
    def write(self, text):
        raise KeyError("no")

    flush = None

def work(i):
    for _ in range(50):
        print("line", i)
    print("half", end="", flush=True)
    return i

if __name__ == "__main__":
    kind, real = sys.argv[2], sys.stdout
    if kind == "write-only":
        sys.stdout = WriteOnly()
    elif kind == "raises":
        sys.stdout = Raises()
    elif kind == "none":
        sys.stdout = None
    elif kind == "closed":
        sys.stdout = open(os.devnull, "w")
        sys.stdout.close()
    elif kind == "pipe":
        read, write = os.pipe()
        os.close(read)
        sys.stdout = open(write, "w", buffering=1)
    elif kind == "both":
        sys.stdout = sys.stderr = io.StringIO()
        sys.stdout.close()
    with oc.Pool(2, method=sys.argv[1], progress=kind == "both") as pool:
        result = pool.map(work, range(6), 1)
        again = pool.apply(work, (7,))
        pool.close()
        pool.join()
    with oc.ProcessPoolExecutor(1, sys.argv[1]) as executor:
        more = executor.submit(work, 8).result()
    if kind == "write-only":
        said = "".join(sys.stdout.said)
        assert said.count("line 3") == 50 and said.count("half") == 8, said
    if kind == "pipe":
        try:
            sys.stdout.close()
        except BrokenPipeError:
            pass
    sys.stdout, sys.stderr = real, sys.__stderr__
    print(result, again, more)
"""


@pytest.mark.parametrize("kind", ["write-only", "raises", "none", "closed", "pipe", "both"])
def test_a_broken_stream_of_the_owner(tmp_path: Path, process_method: str, kind: str) -> None:
    """The pool works; it is complained about once per pool, and a stream that works not."""
    done = scripts.run(tmp_path, STREAMS, process_method, kind)
    assert (done.returncode, done.stdout) == (0, "[0, 1, 2, 3, 4, 5] 7 8\n"), done.stderr
    complaints = done.stderr.splitlines()
    if kind in ("raises", "closed", "pipe"):
        assert len(complaints) == 2, "one of the pool, one of the executor"
        assert all("cannot be written to sys.stdout" in line for line in complaints)
    else:
        assert complaints == []


def test_an_executor_s_words(capsys: pytest.CaptureFixture[str]) -> None:
    with oc.ProcessPoolExecutor(1, prints="prefixed") as executor:
        executor.submit(print, "hello").result()
    said = capsys.readouterr().out
    assert said.startswith("worker 1, task ")
    assert said.endswith(" | hello\n")
    with pytest.raises(ValueError, match="prints is one of"):
        oc.ProcessPoolExecutor(1, prints="loud")  # type: ignore[call-overload]  # refused


def test_no_logs_and_yet_prints(
    make_pool: MakePool, process_method: Method, capsys: pytest.CaptureFixture[str]
) -> None:
    def handled() -> str:
        print("printed")
        return logging.Logger.handle.__qualname__

    assert make_pool(process_method, 1, logs=False).apply(handled) == "Logger.handle"
    assert capsys.readouterr().out == "printed\n"
    with oc.ProcessPoolExecutor(1, process_method, logs=False) as executor:
        assert executor.submit(handled).result() == "Logger.handle"
