"""Hooks that meet objects that lie, fail and are large, without a program around them."""

from __future__ import annotations

import marshal
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from pickle import PickleBuffer
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onecopy._doctor import compiled, source
from onecopy._doctor.history import Site
from onecopy._doctor.inside import (
    build,
    bursts,
    current,
    forks,
    garbage,
    guard,
    kinds,
    managers,
    messages,
    processes,
    ring,
    sites,
    state,
    worker,
)
from onecopy._doctor.inside.weigh import named, size_of, weigh


class Lying:
    """Whatever is asked of it, it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")


class Property:
    """Code of the user's behind a name that looks like an array's."""

    ran = False

    @property
    def nbytes(self) -> int:
        type(self).ran = True
        return 10**9


def test_weighing_runs_no_code_of_the_users() -> None:
    found = weigh([Property(), Lying(), {"x": Property()}])
    assert found.size == 0
    assert size_of(Property()) == 0
    assert not Property.ran


class Model:
    """Something with a method."""

    def __init__(self) -> None:
        self.weights = np.ones(100_000)

    def score(self, _: int) -> float:
        return float(self.weights[0])


TABLE = np.ones((1000, 100))


@pytest.mark.parametrize(
    ("message", "kind", "size"),
    [
        ((1, 0, sum, (TABLE,), {}), "ndarray", 800_000),
        ((1, 0, partial(sum, TABLE), (1,), {}), "ndarray", 800_000),
        ((1, 0, Model().score, (1,), {}), "ndarray", 800_000),
        ((1, 0, sum, (bytes(500_000),), {}), "bytes", 500_000),
        ((1, 0, lambda x, t=TABLE: t, (1,), {}), "ndarray", 800_000),
        ((1, 0, (True, {"a": [TABLE]})), "ndarray", 800_000),
    ],
)
def test_the_heaviest_part_of_a_message(message: Any, kind: str, size: int) -> None:
    found = weigh(message)
    assert (found.kind, found.size) == (kind, size)


def test_what_is_heavy_has_the_name_of_the_variable_that_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tables = Model(), {"a": np.ones(90_000)}
    named.clear()
    monkeypatch.setattr(ring, "buffer", None)
    sites._variable("model", model, 1, 0)
    sites._variable("tables", tables, 1, 0)
    found = weigh((1, 0, model.score, (1,), {}))
    assert (found.name, found.owner) == ("model.weights", "Model")
    # Past all that libraries wrap a call in.
    call = partial(partial(sum, [[partial(partial(sum, tables), 1)]]), 2)
    assert weigh((1, 0, call, (), {})).name == "tables"
    named.clear()


def test_arrays_at_one_address_are_told_apart_by_what_is_in_them() -> None:
    array = np.zeros(100_000)
    first = weigh([array])
    again = weigh([array])
    array[50_000] = 1
    other = weigh([array])
    assert first == again
    assert (first.root, first.start) == (other.root, other.start)
    assert first.digest != other.digest


def test_what_refers_to_itself_is_weighed_in_a_moment() -> None:
    knot: list[Any] = []
    knot += [knot] * 20
    assert weigh(knot).size == 0


def test_slices_have_one_base_and_addresses_of_their_own() -> None:
    parts = [weigh(TABLE[at : at + 10]) for at in (0, 10)]
    assert {part.root for part in parts} == {id(TABLE)}
    assert len({part.start for part in parts}) == 2
    assert {part.whole for part in parts} == {TABLE.nbytes}


def test_a_hook_leaves_no_frame_in_a_traceback_and_no_error_of_its_own() -> None:
    def original() -> None:
        raise ValueError("theirs")

    def fails(*_: Any) -> None:
        raise RuntimeError("ours")

    hooked = guard.around(original, fails, fails)
    with pytest.raises(ValueError, match="theirs") as caught:
        hooked()
    names = []
    trace = caught.value.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names[1:] == ["original"]
    assert guard.around(lambda: 5, fails, fails)() == 5


@pytest.mark.parametrize("hooks", [messages, worker])
def test_hooks_of_messages_give_what_the_originals_give(
    hooks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "buffer", None)
    dumps: Callable[..., Any] = hooks.wrap_dumps(lambda cls, obj, protocol=None: (obj, protocol))
    loads: Callable[..., Any] = hooks.wrap_loads(lambda data, **kwargs: (data, kwargs))
    for skip in (0, 2):
        bursts.hot[:] = skip, 0, ring.now()
        assert dumps(None, "x", 4) == ("x", 4)
        assert loads("y", encoding="bytes") == ("y", {"encoding": "bytes"})
        assert bursts.hot[0] <= 0
    bursts.hot[:] = 5, 0, ring.now()
    assert loads(PickleBuffer(b"z"))[1] == {}, "which has no length"
    bursts.hot[0] = 0


def test_what_runs_inside_is_compiled_under_a_made_up_name(tmp_path: Path) -> None:
    shutil.copytree(Path(build.__file__).parent, tmp_path / "inside")
    parts = build.build(str(tmp_path))
    assert {"boot", "ring", "messages"} <= set(parts)
    assert {marshal.loads(code).co_filename for code in parts.values()} == {"<onecopy doctor>"}
    assert (tmp_path / f"{sys.implementation.cache_tag}.code").exists()


PROGRAM = """\
from multiprocessing import Pool
found = []
def work(n):
    found.append(n)
def show():
    print(found)
if __name__ == "__main__":
    with Pool(2) as pool:
        for batch in range(3):
            print(sum(pool.imap(work,
                                range(9))))
"""


def test_a_call_as_it_would_read(tmp_path: Any) -> None:
    file = tmp_path / "prog.py"
    file.write_text(PROGRAM)
    site = Site(str(file), 10, "<module>")
    call = source.call_at(site, ("imap",))
    assert call is not None
    _, after = source.with_keyword(site, call, "chunksize", "4")
    assert after == "pool.imap(work, range(9), chunksize=4)"
    assert source.import_of(str(file), "Pool") == (1, "from multiprocessing import Pool")
    loop = source.enclosing_loop(site)
    assert loop is not None
    assert loop.lineno == 9


def test_a_place_without_a_source_gives_nothing() -> None:
    nowhere = Site("<string>", 3, "f")
    assert source.line(nowhere) == ""
    assert source.call_at(nowhere, ("map",)) is None
    assert source.enclosing_loop(nowhere) is None


def test_the_cached_code_has_the_made_up_name_in_all_functions(tmp_path: Path) -> None:
    compiled.write(Path(build.__file__).parent, tmp_path)
    [file] = tmp_path.glob("*.code")
    parts = marshal.loads(file.read_bytes())
    assert parts.keys() == build.build(str(session_with_inside(tmp_path))).keys()

    def names(code: CodeType) -> set[str]:
        inner = (each for each in code.co_consts if isinstance(each, CodeType))
        return {code.co_filename}.union(*map(names, inner))

    assert set().union(*(names(marshal.loads(part)) for part in parts.values())) == {build.NAME}


def session_with_inside(folder: Path) -> Path:
    shutil.copytree(Path(build.__file__).parent, folder / "inside")
    return folder


class _Owner:
    def read(self) -> str:
        return "original"


def test_what_is_hooked_in_bursts_leaves_other_peoples_hooks_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, hook = _Owner.read, lambda self: "hook"
    monkeypatch.setattr(_Owner, "read", hook)
    monkeypatch.setattr(bursts, "_paths", [(_Owner, "read", hook, original)])
    bursts.put(hooked=False)
    assert _Owner().read() == "original"
    bursts.put(hooked=True)
    assert _Owner().read() == "hook"
    monkeypatch.setattr(_Owner, "read", lambda self: "theirs")
    bursts.put(hooked=False)
    assert _Owner().read() == "theirs"


@pytest.mark.parametrize(("text", "kept"), [("", 0), ("begin\n", 6), ("x" * 20_000, 0)])
def test_what_a_stream_keeps_for_later(text: str, kept: int, tmp_path: Path) -> None:
    with open(tmp_path / "out", "w", newline="\n") as stream:
        stream.write(text)
        assert forks._unwritten(stream) == kept
        print("a", "b", file=stream)
        assert forks._unwritten(stream) == kept + 4
        stream.flush()
        assert forks._unwritten(stream) == 0
    assert forks._unwritten(None) == 0


def test_globals_of_a_main_module_that_ran_again_are_those_of_its_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``runpy`` gives multiprocessing a copy of them."""
    script: dict[str, Any] = {"__name__": "__mp_main__"}
    exec("limit = 0\ndef set_up():\n    global limit\n    limit = 5", script)
    module = ModuleType("__mp_main__")
    vars(module).update(script)
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setitem(sys.modules, "__mp_main__", module)
    script["set_up"]()
    assert (state._main()["limit"], vars(module)["limit"]) == (5, 0)


def test_collections_are_counted_with_their_page_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()
    faults = iter([100, 130])
    monkeypatch.setattr(ring, "count", lambda text, more=1: counted.update({text: more}))
    monkeypatch.setattr(garbage, "_now", lambda: next(faults))
    for generation in (0, 2):
        for phase in ("start", "stop"):
            garbage._collected(phase, {"generation": generation})
    assert counted == {"collected faults": 30, "collected times": 1}


def test_messages_that_come_fast_are_passed_through_in_pieces_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However fast: the pieces grow to a limit, and end when messages come slower."""
    clock, step = [0], [1_000]
    noted: list[tuple[int, ...]] = []

    def now() -> int:
        clock[0] += step[0]
        return clock[0]

    monkeypatch.setattr(ring, "now", now)
    monkeypatch.setattr(ring, "buffer", bytearray())
    monkeypatch.setattr(ring, "note", lambda *words: noted.append(words))
    dumps: Callable[..., Any] = messages.wrap_dumps(lambda cls, obj, protocol=None: b"x")
    bursts.forget()
    try:
        sent, pieces = 0, []
        while sent < 200_000:
            passing = bursts.hot[0] > 0
            dumps(None, (7, sent, (True, None)))
            sent += 1
            if (bursts.hot[0] > 0) != passing:
                pieces.append(sent)
        through = sum(words[2] for words in noted if words[0] == kinds.BURST)
        assert max(b - a for a, b in pairwise(pieces)) == 16 * 960
        assert through > 0.95 * sent
        bursts.note_passed()
        passed = sum(words[2] for words in noted if words[0] == kinds.BURST)
        assert sent - 20_000 < passed < sent
        assert 0 <= passed - through <= 960
        step[0] = 500_000_000
        slow = 0
        while bursts.hot[0] > 0:
            dumps(None, (7, sent, (True, None)))
            slow += 1
        assert slow <= 960, "not until all sixteen pieces have passed"
    finally:
        bursts.forget()


def test_the_end_of_a_child_is_noted_once_and_its_polls_are_the_librarys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[tuple[int, ...]] = []
    monkeypatch.setattr(ring, "note", lambda kind, t0, *words: noted.append((kind, *words)))

    class Popen:
        def __init__(self) -> None:
            self.returncode: int | None = None
            self.pid = 42

        def poll(self, flag: int = 1) -> int | None:
            if self.returncode is None and flag == 0:
                self.returncode = -9
            return self.returncode

        def wait(self, timeout: float | None = None) -> int | None:
            return self.poll(1 if timeout == 0.0 else 0)

    poll = Popen.poll
    processes.hook_popen(SimpleNamespace(Popen=Popen))
    assert Popen.poll is poll
    child = Popen()
    assert child.poll() is None
    assert child.wait(0.0) is None
    assert noted == []
    assert (child.wait(), child.wait(), child.poll()) == (-9, -9, -9)
    assert noted == [(kinds.JOINS, 0, 42), (kinds.EXIT, 0, 42, 0xFFFFFFF7)]


def test_a_kind_of_child_that_inherits_the_hook_is_not_hooked_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[int] = []
    monkeypatch.setattr(ring, "note", lambda kind, *words: noted.append(kind))

    class Fork:
        returncode: int | None = None

        def poll(self) -> None:
            self.returncode = 0

    class Server(Fork):
        def poll(self) -> None:
            self.returncode = 0

    for kind in (Fork, Server):
        processes.hook_popen(SimpleNamespace(Popen=kind))
    Server().poll()
    assert noted == [kinds.EXIT]


def test_calls_to_a_manager_that_come_in_turn_are_all_among_those_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: Counter[str] = Counter()
    stood: Counter[str] = Counter()

    def note(kind: int, t0: int, took: int, name: str, where: int, times: int) -> None:
        told[name] += 1
        stood[name] += times

    class BaseProxy:
        _token = SimpleNamespace(typeid="Lock")

        def _callmethod(self, methodname: str, args: Any = (), kwds: Any = None) -> None:
            pass

    class BaseManager:
        @classmethod
        def _run_server(cls) -> None:
            pass

    module = SimpleNamespace(BaseProxy=BaseProxy, BaseManager=BaseManager)
    managers.hook_managers(module)
    monkeypatch.setattr(ring, "note", note)
    monkeypatch.setattr(ring, "name", lambda text: text)
    monkeypatch.setattr(managers, "site", lambda: 0)
    managers._forget()
    proxy = BaseProxy()
    for _ in range(10_000):
        for name in ("acquire", "get", "set", "release"):
            proxy._callmethod(name)
    managers._forget()
    assert sum(told.values()) < 4_000
    assert all(times == pytest.approx(10_000, rel=0.02) for times in stood.values())
    assert len(stood) == 4


@pytest.mark.parametrize("patched", [False, True])
def test_a_worker_takes_hooks_of_its_own_where_nobody_else_s_lie_over_them(
    patched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks are followed only then: half of them would be worse than none."""

    class Pickler:
        dumps = classmethod(lambda cls, obj, protocol=None: b"x")
        loads = staticmethod(lambda data, **kwargs: "theirs")

    module = SimpleNamespace(ForkingPickler=Pickler, dump=lambda *args: None)
    for name in ("picklers", "_originals"):
        monkeypatch.setattr(messages, name, [])
    messages.hook_reduction(module)
    hook = vars(Pickler)["dumps"]
    if patched:
        Pickler.loads = staticmethod(lambda data, **kwargs: "another's")
    try:
        worker.take(5, 6)
        assert (vars(Pickler)["dumps"] is hook) == patched
        assert Pickler.loads(b"") == ("another's" if patched else "theirs")
        assert (current.channel, bursts.takes_tasks[0]) == ((0, False) if patched else (5, True))
        current.forget()
        bursts.forget()
        worker.take(7, 8)  # in a worker that it has forked
        assert current.channel == (0 if patched else 7)
    finally:
        current.forget()
        bursts.forget()
