"""A failure on its way from a worker to the owner, within one process."""

from __future__ import annotations

import copy
import copyreg
import gc
import linecache
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._protocol import failures
from onecopy._protocol.failures import failure, fits_failures, fits_values, revive
from onecopy._protocol.run_items import run_chunk
from onecopy.errors import HostLost, NoHosts, NotPicklable, PoolClosed, RemoteError, RemoteTraceback


class Plain(Exception):
    pass


class WithState(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 7
        self.data = np.arange(3)


class Slotted(Exception):
    __slots__ = ("never_set", "place")

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class Insists(Exception):
    """It passes other arguments to its base than it takes, as many classes do."""

    def __init__(self, path: str, *, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class Frozen(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("frozen")


class OwnReduce(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return OwnReduce, ("made again",)


class ReduceFails(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        raise MemoryError


class LoadFails(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


class LoadsAsSomethingElse(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("7",))


class NoText(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class NoAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class Holds(Exception):
    def __init__(self) -> None:
        super().__init__(lambda: 1)  # pickled by value


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def there_and_back(error: BaseException, argument: str = "") -> BaseException:
    """`error` as the owner sees it: bytes are sent."""
    sent = pickle.loads(pickle.dumps(failure(raised(error), "f", argument)))
    return revive(sent)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1),
        KeyError(("k", 2)),
        OSError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
        SystemExit(3),
        KeyboardInterrupt(),
        Plain("x"),
        NotPicklable("of", "ours"),
        Slotted("here"),
        Insists("p", reason="r"),
        Frozen("f"),
        WithState("s"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_is_the_same_one_again(error: BaseException) -> None:
    found = there_and_back(error)
    assert type(found) is type(error)
    assert found.args == error.args
    assert str(found) == str(error)
    for name in ("filename", "errno", "reason", "place", "path", "code"):
        assert getattr(found, name, None) == getattr(error, name, None)
    assert isinstance(found.__cause__, RemoteTraceback)
    assert "in raised" in found.__cause__.text


def test_a_reducer_of_all_exceptions_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of tblib, which distributed registers, loses slots."""

    def common(error: BaseException) -> Any:
        return type(error), ("lost",)

    monkeypatch.setitem(copyreg.dispatch_table, Slotted, common)
    assert there_and_back(Slotted("here")).args == ("lost",), "a class's own is called"
    common.__module__ = "tblib.pickling_support"
    found = there_and_back(Slotted("here"))
    assert isinstance(found, Slotted)
    assert (found.args, found.place) == (("here",), "here")


def test_arrays_that_it_holds_come_along() -> None:
    found = there_and_back(WithState("s"))
    assert isinstance(found, WithState)
    assert found.data.tolist() == [0, 1, 2]


def test_what_it_holds_by_value_comes_along() -> None:
    assert there_and_back(Holds()).args[0]() == 1


def test_a_reduction_of_its_own_is_used() -> None:
    assert there_and_back(OwnReduce("before")).args == ("made again",)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ReduceFails("why"), "test_failures.ReduceFails"),
        (LoadFails("why"), "test_failures.LoadFails"),
        (LoadsAsSomethingElse("why"), "test_failures.LoadsAsSomethingElse"),
    ],
)
def test_one_that_cannot_be_rebuilt_is_told_in_words(error: BaseException, name: str) -> None:
    found = there_and_back(error)
    assert type(found) is RemoteError
    assert found.args[0].endswith(name)
    assert "why" in str(found)
    assert isinstance(found.__cause__, RemoteTraceback)
    if isinstance(error, LoadFails):
        assert "could not be rebuilt here: ValueError" in found.__cause__.text


@pytest.mark.parametrize("kind", [NoText, NoAttributes])
def test_a_class_that_raises_ends_nobody(kind: type[BaseException]) -> None:
    assert type(there_and_back(kind())) is kind


def test_a_message_that_raises_is_said_to() -> None:
    assert failure(NoText(), "f")[1] == "<its message raised KeyboardInterrupt>"


def test_a_subclass_of_our_error_stays_one() -> None:
    assert type(there_and_back(NotPicklable("x", "y"))) is NotPicklable


def test_where_it_was() -> None:
    cause = there_and_back(ValueError("x"), argument="int: 7").__cause__
    assert isinstance(cause, RemoteTraceback)
    assert cause.where.endswith(", f, argument int: 7")


def test_its_frames_are_let_go() -> None:
    class Kept:
        pass

    def fails() -> None:
        kept.append(weakref.ref(here := Kept()))
        raise ValueError(str(here))

    kept: list[weakref.ref[Kept]] = []
    gc.disable()
    try:
        with pytest.raises(ValueError, match="Kept") as caught:
            fails()
        failure(caught.value, "f")
        assert caught.value.__traceback__ is None
        del caught
        assert kept[0]() is None
    finally:
        gc.enable()


ANYTHING = st.recursive(
    st.none() | st.integers(-3, 9) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers(-3, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(ANYTHING, st.integers(0, 5))
def test_what_fits_is_what_a_chunk_can_give(value: Any, size: int) -> None:
    assert fits_values(value, size) == (type(value) is list and len(value) == size)
    if fits_failures(value, size):
        values, failed = value
        assert failed
        assert {*values, *failed} <= set(range(size))


@pytest.mark.parametrize(
    ("value", "size", "fits"),
    [
        (({}, {0: "f"}), 1, True),
        (({0: 1, 1: 2}, {2: "f"}), 3, True),
        (({0: 1}, {}), 1, False),
        (({}, {1: "f"}), 1, False),
        (({}, {-1: "f"}), 1, False),
        (({"0": 1}, {0: "f"}), 1, False),
        (([], {0: "f"}), 1, False),
        (({}, {0: "f"}, {}), 1, False),
        ([{}, {0: "f"}], 1, False),
    ],
)
def test_failures_that_fit(value: Any, size: int, fits: bool) -> None:
    assert fits_failures(value, size) is fits


def test_descriptions() -> None:
    assert failures.describe(7) == "int: 7"
    assert failures.describe_call(((1,), {"k": "v"})) == "int: 1; k=str: 'v'"
    assert failures.describe_call("no call") == ""
    assert failures.describe_call(None) == ""


def test_errors_of_ours_are_copied_without_reducers_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool fails everything that waits with copies of one error: none may fail to be made."""

    def refuses(error: BaseException) -> Any:
        raise TypeError("it takes other arguments")

    for error in (NoHosts("none"), HostLost("a", "died", "f", ("a", "b")), PoolClosed("closed")):
        monkeypatch.setitem(copyreg.dispatch_table, type(error), refuses)
        error.add_note("noted")
        found = copy.copy(error)
        assert (type(found), str(found), found.args) == (type(error), str(error), error.args)
        assert vars(found) == vars(error)


def test_a_notebook_s_line_is_shown_though_it_is_in_no_file() -> None:
    """The worker has no source of a cell; the prompt in this process keeps it."""
    cell = "<a cell>"
    linecache.cache[cell] = (30, None, ["def f(x):\n", "    return 1 / x\n"], cell)
    in_cell, in_file = f'  File "{cell}", line 2, in f', f'  File "{__file__}", line 1, in g'
    sent = ["Traceback:", in_cell, in_file, "    g()", in_cell, "ZeroDivisionError"]
    shown = ["Traceback:", in_cell, "    return 1 / x", in_file, "    g()", in_cell]
    shown += ["    return 1 / x", "ZeroDivisionError"]
    for margin in ("", "  | "):  # the second is an exception group's
        text = "\n".join(margin + line for line in sent)
        cause = revive(("ZeroDivisionError", "", text, "there", None)).__cause__
        assert isinstance(cause, RemoteTraceback)
        assert "\n".join(margin + line for line in shown) in str(cause)
    del linecache.cache[cell]


def test_a_traceback_begins_with_the_program_s_frames() -> None:
    def fails(x: int) -> float:
        return 1 / x

    _, errors = run_chunk(fails, [0])
    text = failure(errors[0][0], "f")[2]
    assert text.splitlines()[1].endswith("in fails")
    _, errors = run_chunk(len, [0])
    assert "object of type 'int' has no len()" in failure(errors[0][0], "f")[2]
