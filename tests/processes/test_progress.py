"""Progress as it is seen: on terminals of several widths, in notebooks, beside tqdm."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onecopy as oc
from tests import scripts, terminals

pytestmark = [pytest.mark.door, pytest.mark.beside]

BAR = re.compile(r"(f|loading) [━╸╺ ]+ +\d+ of \d+ (items|images)( .*)?")

SPEAKS = """
import logging, os, sys, warnings
import onecopy as oc

class Raw(logging.Handler):
    def emit(self, record):
        os.write(2, f"raw {record.getMessage()}\\n".encode())

warnings.formatwarning = lambda message, *_: f"warned: {message}\\n"
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("raw").addHandler(Raw())
logging.getLogger("raw").propagate = False

def f(i):
    if i % 4 == 0: logging.info("item %d is fine", i)
    if i % 4 == 1: print("printed", i)
    if i % 4 == 2: logging.getLogger("raw").info("%d", i)
    if i == 7: warnings.warn("odd")
    return sum(range(100_000))

if __name__ == "__main__":
    with oc.Pool(2, method=sys.argv[1]) as pool:
        pool.map(f, range(40), chunksize=1, progress=True)
        for number, _ in enumerate(pool.imap(f, range(12), 1, progress=oc.Bar("loading", "images"))):
            logging.info("mine %d", number)
    print("the end")
"""


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_nothing_is_torn(tmp_path: Path, process_method: str, columns: int) -> None:
    """Whatever is written while a bar is shown, by workers, by handlers that know of no bar, by
    the program itself: each line is whole, and there is one bar, the last line but the end."""
    program = tmp_path / "program.py"
    program.write_text(SPEAKS)
    seen = terminals.python(program.name, process_method, columns=columns, rows=100, cwd=tmp_path)
    assert seen.status == 0, seen.last
    lines = seen.last
    said = [line for line in lines if not BAR.fullmatch(line)]
    expected = [f"INFO item {i} is fine" for i in [*range(0, 40, 4), 0, 4, 8]]
    expected += [f"printed {i}" for i in [*range(1, 40, 4), 1, 5, 9]]
    expected += [f"raw {i}" for i in [*range(2, 40, 4), 2, 6, 10]]
    expected += [f"INFO mine {i}" for i in range(12)]
    expected += ["warned: odd", "the end"]
    assert sorted(expected) == sorted(said)
    bars = [line for line in lines if BAR.fullmatch(line)]
    assert [bar.split()[0] for bar in bars] == ["f", "loading"]
    assert "40 of 40 items" in bars[0]
    assert "12 of 12 images" in bars[1]
    # At no moment was a bar above what was said later, but for those that have ended.
    for screen in seen.screens:
        live = [at for at, line in enumerate(screen) if BAR.match(line) and " in 0:" not in line]
        assert live in ([], [len(screen) - 1]), screen


BESIDE = """
import sys
import onecopy as oc
from tqdm import tqdm

def f(i):
    if i % 7 == 0: print("item", i)
    return sum(range(200_000))

if __name__ == "__main__":
    kind, method = sys.argv[1:]
    with oc.Pool(2, method=method) as pool:
        if kind == "alone":
            results = map(f, range(30))
        else:
            results = pool.imap(f, range(30), 1, progress=kind == "both")
        for result in tqdm(results, total=30, desc="tq", mininterval=0):
            pass
    print("the end")
"""


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("kind", ["pool", "both"])
def test_tqdm_beside_it(tmp_path: Path, process_method: str, columns: int, kind: str) -> None:
    """`tqdm(pool.imap(...))` ends as tqdm over the results does, and what workers print does not
    tear it; and a bar of ours beside it stands below, and leaves one line."""
    program = tmp_path / "program.py"
    program.write_text(BESIDE)
    seen = terminals.python(program, kind, process_method, columns=columns, rows=60)
    alone = terminals.python(program, "alone", process_method, columns=columns, rows=60)
    assert (seen.status, alone.status) == (0, 0), seen.last

    def measured(line: str) -> str:
        return re.sub(r"\[[^]]*\]|[█▏▎▍▌▋▊▉ ]+", "", line)

    bar = [measured(line) for line in alone.last if line.startswith("tq: 100%")]
    assert [measured(line) for line in seen.last if line.startswith("tq")] == bar
    items = {line for line in seen.last if line.startswith("item")}
    assert items == {f"item {i}" for i in range(0, 30, 7)}
    ours = [line for line in seen.last if BAR.fullmatch(line)]
    assert len(ours) == (kind == "both")
    assert len(seen.last) == 5 + 1 + 1 + len(ours)
    assert seen.last[-1] == "the end"
    for screen in seen.screens:
        assert sum(line.startswith("tq:") for line in screen) <= 1, screen


INTERRUPTED = """
import threading
import onecopy as oc

def f(i):
    threading.Event().wait()

if __name__ == "__main__":
    with oc.Pool(2) as pool:
        pool.map(f, range(100), 1, progress=True)
"""


def test_an_interrupt_leaves_one_bar(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED)
    typed: list[bool] = []

    def keys(lines: list[str]) -> bytes:
        if typed or not any(BAR.match(line) for line in lines):
            return b""
        typed.append(True)
        return b"\x03"

    seen = terminals.python(program, keys=keys, rows=100)
    assert seen.last[-1] == "KeyboardInterrupt"
    assert [BAR.match(line) is not None for line in seen.last].count(True) == 1
    assert "^C" not in "".join(seen.last)


STREAMS = """
import os, sys
import onecopy as oc

def f(i):
    return i

if __name__ == "__main__":
    with oc.Pool(2) as pool:
        stream = pool.imap(f, range(10_000), 1, progress=True)
        next(stream)
        child = os.fork()
        if not child:
            # Into a file: on the terminal the parent's bar is drawn meanwhile.
            with open(__file__ + ".child", "w") as file:
                print(vars(sys.stderr).get("write"), vars(sys.stdout).get("write"), file=file)
            os._exit(0)
        os.waitpid(child, 0)
        for _ in stream:
            pass
    print("after", vars(sys.stderr).get("write"), vars(sys.stdout).get("write"))
    try:
        pool.map(f, range(3), progress=True)
    except oc.PoolClosed:
        print("closed", vars(sys.stderr).get("write"))
"""


def test_streams_are_left_as_they_were(tmp_path: Path) -> None:
    """At the end, in a forked child, and after a call that could not be made."""
    program = tmp_path / "program.py"
    program.write_text(STREAMS)
    seen = terminals.python(program)
    assert seen.status == 0, seen.last
    text = seen.written.decode()
    assert Path(f"{program}.child").read_text() == "None None\n"
    for line in ("after None None", "closed None"):
        assert line in text


NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient

cells = [
    'import sys; sys.modules["ipywidgets"] = None  # as where it is not installed',
    "import onecopy as oc\\npool = oc.Pool(2)\\ndef f(i):\\n    if i == 3: print('three')\\n    return i",
    "pool.map(f, range(40), progress=True);",
    "for _ in pool.imap(f, range(10), progress=oc.Bar('loading', unit='images')): pass",
    "pool.terminate(); pool.join()",
]
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(book, timeout=60).execute()
nbformat.write(book, sys.argv[1])
"""


HOSTILE = r"""
import sys
import onecopy as oc

def f(i):
    print("\x1b[2J\x1b]0;title\x07\x1b[?25l half \x1b[", flush=True)
    return i

f.__name__ = f.__qualname__ = "f\x1b[2J"

if __name__ == "__main__":
    with oc.Pool(1, method=sys.argv[1]) as pool:
        pool.map(f, range(3), chunksize=1, progress=True)
        pool.report()
"""


def test_nothing_that_a_task_prints_or_is_called_moves_the_terminal(
    tmp_path: Path, process_method: str
) -> None:
    (tmp_path / "program.py").write_text(HOSTILE)
    seen = terminals.python("program.py", process_method, columns=100, rows=60, cwd=tmp_path)
    assert seen.status == 0, seen.last
    for obeyed in (b"\x1b[2J", b"\x1b]0;", b"\x1b[?25l", b"\x07"):
        assert obeyed not in seen.written
    assert seen.last.count(r"\x1b[2J\x1b]0;title\x07\x1b[?25l half \x1b[") == 3
    assert any(line.startswith(r"f\x1b[2J ━") for line in seen.last)


def test_a_bar_in_a_notebook_stays_in_the_saved_file(tmp_path: Path) -> None:
    """Without ipywidgets, and with no word of complaint."""
    program, saved = tmp_path / "program.py", tmp_path / "book.ipynb"
    program.write_text(NOTEBOOK)
    done = subprocess.run(
        [sys.executable, str(program), str(saved)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "IPYTHONDIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(saved.read_text())["cells"]
    assert "warning" not in saved.read_text().lower()
    for cell, what in ((cells[2], "f"), (cells[3], "loading")):
        (shown,) = [each for each in cell["outputs"] if each["output_type"] == "display_data"]
        unit = "40 of 40 items" if what == "f" else "10 of 10 images"
        html = "".join(shown["data"]["text/html"])
        assert f"<b>{what}</b>" in html
        assert unit in html
        assert "width:100.0%" in html
        assert "".join(shown["data"]["text/plain"]).startswith(f"{what}: {unit} in ")


def test_every_call_takes_a_label(
    make_pool: Callable[..., oc.Pool], engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(engine, 2)
    method: Any = engine
    executor = oc.ProcessPoolExecutor(2, method)

    async def stream(progress: Any) -> list[int]:
        return [each async for each in pool.stream(abs, range(6), progress=progress)]

    def awaited(progress: Any) -> list[int]:
        import asyncio

        return asyncio.run(stream(progress))

    calls: list[Callable[[Any], Any]] = [
        lambda bar: pool.map(abs, range(6), progress=bar),
        lambda bar: pool.starmap(abs, zip(range(6)), progress=bar),
        lambda bar: pool.map_async(abs, range(6), progress=bar).get(),
        lambda bar: list(pool.imap(abs, range(6), progress=bar)),
        lambda bar: list(pool.imap_unordered(abs, range(6), progress=bar)),
        lambda bar: pool.map_blocks(len, range(6), block=1, progress=bar),
        awaited,
        lambda bar: list(executor.map(abs, range(6), progress=bar)),
    ]
    said = ""
    for number, call in enumerate(calls):
        line = f"call {number}: 6 of 6 things in "
        assert len(call(oc.Bar(f"call {number}", unit="things"))) == 6

        def told(line: str = line) -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return line in said

        scripts.until(told, line)
    executor.shutdown()
    assert said.count("\n") == len(calls)


def test_an_endless_iterable_has_the_total_that_it_is_given(
    make_pool: Callable[..., oc.Pool], engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(engine, 2)
    assert len(list(pool.imap(abs, iter(range(9)), progress=oc.Bar("nine", total=9)))) == 9
    assert "nine: 9 of 9 items in" in capsys.readouterr().err


JOBLIB = """
import sys
import joblib
import onecopy as oc, onecopy.joblib
from joblib import Parallel, delayed

def f(x):
    return 1 // x

onecopy.joblib.register()
with joblib.parallel_config(backend="onecopy", n_jobs=2, progress=True, method=sys.argv[1]):
    assert Parallel()(delayed(f)(x) for x in range(1, 61)) == [1] + [0] * 59
    parallel = Parallel(return_as="generator", batch_size=3, progress="labelled")
    assert len(list(parallel(delayed(f)(x) for x in range(1, 31)))) == 30
    Parallel(progress=oc.Bar("more", unit="lots", total=8))(delayed(f)(x) for x in (1, 2))
    Parallel(progress=False)(delayed(f)(x) for x in (1, 2))
    try:
        Parallel(batch_size=1, pre_dispatch=1, progress="failing")(delayed(f)(x) for x in (1, 1, 0, 1))
    except ZeroDivisionError:
        print("failed")
    dropped = Parallel(return_as="generator", progress="dropped", batch_size=1)(
        delayed(f)(x) for x in range(1, 1000))
    next(dropped)
    del dropped
Parallel(n_jobs=1, backend="onecopy", progress="one")(delayed(f)(x) for x in (1, 2))
print("the end")
"""


def test_a_joblib_run(tmp_path: Path, process_method: str) -> None:
    """A bar for each call, which ends with it: the total is known when joblib has taken the last
    task, and a failed batch counts as the task that failed in it."""
    (tmp_path / "program.py").write_text(JOBLIB)
    seen = terminals.python("program.py", process_method, columns=80, rows=60, cwd=tmp_path)
    assert seen.status == 0, seen.last
    lines = [re.sub(r" [━╸╺ ]+ +", " ", line) for line in seen.last if "UserWarning" not in line]
    bars = [line for line in lines if " in 0:" in line]
    assert [line.split()[0] for line in bars] == ["f", "labelled", "more", "failing", "dropped"]
    assert "60 of 60 tasks" in bars[0]
    assert "30 of 30 tasks" in bars[1]
    assert "2 of 8 lots" in bars[2]
    assert "3 tasks" in bars[3]
    assert "1 failed" in bars[3]
    said = [line for line in lines if line in ("failed", "the end")]
    assert said == ["failed", "the end"]
    assert lines.index(bars[3]) < lines.index("failed"), "it has ended before the call returns"


def test_joblib_refuses_another_kind_at_once() -> None:
    import joblib

    import onecopy.joblib

    onecopy.joblib.register()
    with pytest.raises(TypeError, match=r"progress is True, a label or an onecopy\.Bar"):
        joblib.parallel_config(backend="onecopy", progress=0.5)
