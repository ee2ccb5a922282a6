"""A worker's main module, and whose state wins; each program is run as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import onecopy as oc
from tests.scripts import assert_clean, run

GUARD = 'if __name__ == "__main__":'
HEAD = """
import functools, os, sys, threading
import numpy as np
import onecopy as oc
METHOD = sys.argv[1]
"""


def program(path: Path, method: str, top: str, under: str, *, guard: bool = True) -> str:
    """Run a program that has ``under`` under its guard (or without one); what it printed."""
    body = dedent(under)
    if guard:
        body = GUARD + "\n" + "".join(f"    {line}\n" for line in body.splitlines())
    done = run(path, HEAD + dedent(top) + body, method)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(params=[True, False], ids=["import", "value"])
def guard(request: pytest.FixtureRequest) -> bool:
    """With a guard workers import the main module; without one it is sent by value."""
    return bool(request.param)


DEFINITIONS = """
import abc, dataclasses, enum
@functools.lru_cache(maxsize=None)
def stairs(n): return 1 if n < 2 else stairs(n - 1) + stairs(n - 2)
class Base:
    made = 0
    def who(self): return "base"
class Slots(Base):
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
    def who(self): return super().who() + str(self.x)
    @functools.lru_cache
    def cached(self, y): return self.x + y
@dataclasses.dataclass(slots=True, frozen=True)
class Row:
    x: int
class Kind(enum.Enum):
    A, B = 1, 2
key = lambda row: row.x
def moved(slots):
    slots.x += 1
    return slots
@functools.singledispatch
def show(x): return "object"
@show.register
def _(x: int): return "int"
class Lazy:
    @functools.cached_property
    def value(self): return 5
    def get(self): return self.value
def look(row, kind): return isinstance(row, Row), kind is Kind.A, key(row)
def make(x): return Slots(x), Row(x), Kind.B
def by_name(name): return globals()[name](Row(4)), eval(name)(Row(5))
def by_main(x):
    import __main__
    return __main__.key(Row(x)), __main__ is sys.modules["__mp_main__"], by_main.__globals__ is vars(__main__)
"""


def test_definitions_are_the_same_on_both_sides(
    tmp_path: Path, process_method: str, guard: bool
) -> None:
    said = program(
        tmp_path,
        process_method,
        DEFINITIONS,
        """
        with oc.Pool(1, method=METHOD) as pool:
            print(pool.map(stairs, [5]), pool.apply(Slots(1).cached, (2,)))
            print(pool.map(show, [1, ""]), pool.apply(Lazy().get))
            slots = pool.apply(moved, (Slots(1),))
            print(type(slots) is Slots, slots.x, pool.apply(slots.who))
            print(pool.apply(look, (Row(3), Kind.A)))
            slots, row, kind = pool.map(make, [7])[0]
            print(type(slots) is Slots, row == Row(7), kind is Kind.B)
            print(pool.apply(by_name, ("key",)), pool.apply(by_main, (6,)))
            print(pool.map(lambda x: Row(x), [1])[0] == Row(1))
        """,
        guard=guard,
    )
    assert said == (
        "[8] 3\n['int', 'object'] 5\nTrue 2 base2\n(True, True, 3)\nTrue True True\n(4, 5) (6, True, True)\nTrue\n"
    )


def test_what_a_worker_has_set_stays(tmp_path: Path, process_method: str, guard: bool) -> None:
    """Until the owner gives the name another value."""
    said = program(
        tmp_path,
        process_method,
        """
        model, cache, TABLE = None, {}, {"a": 1}
        class Model:
            factor = None
            @classmethod
            def load(cls, factor): cls.factor = factor
            @classmethod
            def predict(cls, x): return None if cls.factor is None else cls.factor * x
        class Single:
            one = None
            def __new__(cls):
                if cls.one is None:
                    cls.one = super().__new__(cls)
                    cls.one.uses = 0
                return cls.one
        def use():
            Single().uses += 1
            return Single().uses
        def work(x): return work.factor * x
        def set_up(factor):
            Model.load(factor)
            work.factor = factor
            globals().update(model=factor)
            TABLE["a"] = factor
        def read(): return model, TABLE["a"]
        def fill(x):
            cache[x] = len(cache)
            return dict(cache)
        counter = 0
        def count():
            global counter
            counter += 1
            return counter
        """,
        """
        with oc.Pool(1, initializer=set_up, initargs=(3,), method=METHOD) as pool:
            print(pool.map(Model.predict, [1, 2]), pool.submit(Model.predict, 5).result())
            print(pool.map(work, [1]), pool.apply(work, (2,)), pool.apply(read))
            print(pool.apply(use), pool.apply(use), pool.submit(lambda: use()).result())
            print(pool.apply(fill, ("a",)), pool.apply(fill, ("b",)))
            print(pool.apply(count), pool.apply(count), pool.apply(lambda: count()))
            model = "owner's"
            cache["c"] = 9
            Model.factor = 10
            print(pool.apply(read), pool.apply(fill, ("d",)), pool.apply(Model.predict, (1,)))
            print(pool.apply(use), pool.apply(count))
        """,
        guard=guard,
    )
    assert said.splitlines() == [
        "[3, 6] 15",
        "[3] 6 (3, 3)",
        "1 2 3",
        "{'a': 0} {'a': 0, 'b': 1}",
        "1 2 3",
        "(\"owner's\", 3) {'c': 9, 'd': 1} 10",
        "4 4",
    ]


PACKAGE = {
    "mine/__init__.py": "",
    "mine/settings.py": "CONFIG, LEVEL = {}, 1\nclass Store:\n    mode = 'none'\n",
    "mine/work.py": """
from . import settings
from .settings import CONFIG
def by_module(x): return settings.CONFIG.get("k"), settings.LEVEL
def by_name(x): return CONFIG.get("k"), settings.Store.mode
def by_import(x):
    from mine.settings import LEVEL
    return LEVEL
def indirectly(x): return by_module(x)
def make():
    factor = settings.LEVEL
    return lambda x: (x * factor, settings.LEVEL)
""",
}


@pytest.mark.parametrize("state", ["follow", "import"])
def test_the_state_of_modules_follows(
    tmp_path: Path, process_method: str, guard: bool, state: str
) -> None:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    said = program(
        tmp_path,
        process_method,
        "import mine.work\nfrom mine import settings\n",
        f"""
        settings.CONFIG["k"], settings.LEVEL, settings.Store.mode = "v", 9, "full"
        with oc.Pool(1, method=METHOD, state={state!r}) as pool:
            work = mine.work
            calls = work.by_module, work.by_name, work.by_import, work.indirectly, work.make()
            print([pool.map(call, [1])[0] for call in calls])
            settings.LEVEL = 10
            print(pool.apply(work.by_module, (1,)))
        """,
        guard=guard,
    )
    first, second = said.splitlines()
    if state == "follow" or process_method == "fork":
        assert first == "[('v', 9), ('v', 'full'), 9, ('v', 9), (9, 9)]"
        assert second == f"('v', {10 if state == 'follow' else 9})"
    else:
        assert first == "[(None, 1), (None, 'none'), 1, (None, 1), (9, 1)]"
        assert second == "(None, 1)"


def test_what_a_worker_has_set_by_another_name_stays(
    tmp_path: Path, process_method: str, guard: bool
) -> None:
    """Two modules hold one list; each of two functions knows another of them."""
    (tmp_path / "here.py").write_text("KEPT = []\ndef use(): return list(KEPT)\n")
    (tmp_path / "there.py").write_text("from here import KEPT\ndef keep(x): KEPT.append(x)\n")
    said = program(
        tmp_path,
        process_method,
        "import here, there\n",
        """
        with oc.Pool(1, there.keep, (7,), method=METHOD) as pool:
            print(pool.apply(here.use), pool.apply(there.keep, (8,)), pool.apply(here.use))
        """,
        guard=guard,
    )
    assert said == "[7] None [7, 8]\n"


def test_a_changed_global_is_seen_by_the_next_call(
    tmp_path: Path, process_method: str, guard: bool
) -> None:
    said = program(
        tmp_path,
        process_method,
        """
        chunk, small, large, array = "zero", {"a": 0}, list(range(20_000)), np.zeros(100_000)
        def read(): return chunk, small["a"], large[0], float(array[0]), later()
        def later(): return "first"
        """,
        """
        with oc.Pool(2, method=METHOD) as pool:
            print(pool.apply(read))
            chunk, small["a"] = "one", 1
            large[0] = array[0] = -1  # in place: not seen
            print(pool.apply(read), pool.submit(read).result(), pool.starmap(read, [()] * 3)[2])
            large, array = large.copy(), array.copy()
            def later(): return "second"
            print(pool.apply(read))
        """,
        guard=guard,
    )
    seen = "('one', 1, 0, 0.0, 'first')"
    assert said.splitlines() == [
        "('zero', 0, 0, 0.0, 'first')",
        f"{seen} {seen} {seen}",
        "('one', 1, -1, -1.0, 'second')",
    ]


def test_each_call_has_the_globals_of_its_moment(
    tmp_path: Path, process_method: str, guard: bool
) -> None:
    """Also when calls with an earlier and a later value wait together."""
    said = program(
        tmp_path,
        process_method,
        "chunk = 0\ndef read(x): return chunk\n",
        """
        with oc.Pool(2, method=METHOD) as pool:
            futures = []
            for chunk in range(50):
                futures.append(pool.submit(read, 0))
            print([future.result() for future in futures] == list(range(50)))
        """,
        guard=guard,
    )
    assert said == "True\n"


def test_what_no_pickle_takes_is_the_worker_s_own(tmp_path: Path, process_method: str) -> None:
    said = program(
        tmp_path,
        process_method,
        """
        import contextvars, sqlite3
        lock, local = threading.Lock(), threading.local()
        depth = contextvars.ContextVar("depth", default=1)
        database = sqlite3.connect(":memory:", check_same_thread=False)
        class Guarded:
            gate = threading.Lock()
            def go(self, x):
                with self.gate, lock:
                    return x
        def work(x):
            local.x = x
            return local.x, depth.get(), database.execute("select ?", (x,)).fetchone()[0]
        """,
        """
        with oc.Pool(1, method=METHOD) as pool:
            print(pool.map(Guarded().go, [1]), pool.apply(work, (2,)))
        database.close()
        """,
    )
    assert said == "[1] (2, 1, 2)\n"


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_what_could_not_follow_is_named_where_it_is_missed(tmp_path: Path, method: str) -> None:
    said = program(
        tmp_path,
        method,
        """
        CONFIG = {}
        def by_key(x): return CONFIG["gate"]
        def by_name(x): return held
        def plain(x): return {}["other"]
        """,
        """
        CONFIG["gate"] = held = threading.Lock()
        with oc.Pool(1, method=METHOD) as pool:
            for call in by_key, by_name, plain:
                try:
                    pool.map(call, [1])
                except Exception as error:
                    notes = getattr(error, "__notes__", [""])
                    print(type(error).__name__, *["__main__." in n and "initializer" in n for n in notes])
        """,
    )
    assert said == "KeyError True\nNameError True\nKeyError True\n"


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_main_module_that_fails_when_it_is_imported(tmp_path: Path, method: str) -> None:
    said = program(
        tmp_path,
        method,
        'if __name__ != "__main__":\n    raise OSError("no such file: x")\ndef f(x): return x\n',
        """
        pool = oc.Pool(2, method=METHOD)
        try:
            pool.map(f, [1])
        except oc.InitializerFailed as error:
            print(error)
        pool.terminate()
        with oc.Pool(2, method=METHOD, main="value") as pool:
            print(pool.map(f, [1]))
        """,
    )
    why = "the main module cannot be imported in workers: OSError('no such file: x')"
    assert said == f"{why}\n[1]\n"


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_pool_that_an_imported_module_makes(tmp_path: Path, method: str) -> None:
    """One clear error at once, and no worker makes workers."""
    (tmp_path / "helpers.py").write_text(
        "import sys\nimport onecopy as oc\npool = oc.Pool(1, method=sys.argv[1])\n"
        "def work(x): return x\n"
    )
    said = program(
        tmp_path,
        method,
        "import helpers\n",
        """
        try:
            helpers.pool.map(helpers.work, [1])
        except oc.InitializerFailed as error:
            print("a pool is made while the main module is imported" in str(error))
        helpers.pool.terminate()
        """,
    )
    assert said == "True\n"


def test_the_choice_of_main_is_checked() -> None:
    with pytest.raises(ValueError, match="main is one of auto, import, value, not 'copy'"):
        oc.Pool(1, main="copy")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_threads_that_the_import_starts_are_not_forked_beside(tmp_path: Path, method: str) -> None:
    """The fork server begins again without the main module; each worker imports it."""
    said = program(
        tmp_path,
        method,
        """
        held = threading.Lock()
        def hold():
            with held:
                threading.Event().wait()
        threading.Thread(target=hold, daemon=True).start()
        while not held.locked(): pass
        def work(x): return held.locked(), threading.active_count() == 2
        """,
        """
        with oc.Pool(2, method=METHOD) as pool:
            print(pool.map(work, range(2), chunksize=1))
        """,
    )
    assert said == "[(True, True), (True, True)]\n"


VARIANTS = {
    "module": ["-m", "package.program"],
    "folder": ["folder"],
    "optimized": ["-O", "program.py"],
    "relative": ["./program.py"],
}


@pytest.mark.parametrize("way", VARIANTS)
def test_ways_to_run_a_program(tmp_path: Path, process_method: str, way: str) -> None:
    source = (
        HEAD
        + "import pickle\nscale = None\n"
        + "def prepare(value):\n    global scale\n    scale = value\n"
        + "class Sample:\n    def __init__(self, x): self.x = x\n"
        + "def work(x): return scale * x, sys.argv[1] == METHOD\n"
        + "def load(data): return pickle.loads(data).x\n"
        + f"{GUARD}\n    with oc.Pool(1, prepare, (7,), method=METHOD) as pool:\n"
        + "        print(pool.map(work, [1, 2]), pool.apply(load, (pickle.dumps(Sample(3)),)))\n"
    )
    for name in ("program.py", "package/program.py", "folder/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    done = subprocess.run(
        [sys.executable, *VARIANTS[way], process_method],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_clean(done, "[(7, True), (14, True)] 3")


@pytest.mark.parametrize(
    "runner",
    ["import cProfile; cProfile.run({code!r})", "exec(compile({code!r}, 'x', 'exec'), {names})"],
)
def test_a_program_in_a_dict_of_its_own(tmp_path: Path, process_method: str, runner: str) -> None:
    """A profiler or ``exec`` runs it: its functions share one namespace in each worker."""
    source = (
        HEAD
        + "state, seen = None, []\n"
        + "class Point:\n    def __init__(self, x): self.x = x\n"
        + "def prepare(value): globals().update(state=value)\n"
        + "def work(x):\n    seen.append(x)\n    return state, list(seen)\n"
        + "def make(x): return Point(x)\n"
        + "with oc.Pool(1, prepare, (7,), method=METHOD) as pool:\n"
        + "    print(pool.apply(work, (1,)), pool.apply(work, (2,)))\n"
        + "    print(type(pool.apply(make, (3,))) is Point)\n"
    )
    names = {"__name__": "__main__"}
    done = run(tmp_path, runner.format(code=source, names=names), process_method)
    assert done.returncode == 0, done.stderr
    assert "(7, [1]) (7, [1, 2])\nTrue\n" in done.stdout


def test_a_ufunc_of_the_program(tmp_path: Path, process_method: str) -> None:
    """Nothing but the global that holds it tells which one it is."""
    said = program(
        tmp_path,
        process_method,
        "more = np.frompyfunc(lambda x: x + 1, 1, 1)\ndef call(function, x): return function(x)\n",
        """
        with oc.Pool(1, method=METHOD) as pool:
            print(pool.map(more, [1, 2]), pool.apply(call, (more, 3)), pool.apply(np.add, (1, 2)))
        """,
    )
    assert said == "[2, 3] 4 3\n"
