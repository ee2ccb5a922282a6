"""The parts of an object that are shared, those that are not, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import onecopy as oc

ROWS = 20_000
TEXTS = np.array(["a", "b"] * (ROWS // 2), dtype=object)


def hows(obj: Any) -> dict[str, str]:
    return {each.path: each.how for each in oc.explain(obj).parts}


def cures(obj: Any) -> dict[str, str]:
    return {each.path: each.cure for each in oc.explain(obj).parts if each.cure}


def column(values: list[Any]) -> pd.Series:
    return pd.Series(values * (ROWS // len(values)), dtype=object)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"x": np.arange(float(ROWS)), "text": column(["a", "b"]), "n": column([1, 2])}
    )


def test_a_frame_by_column() -> None:
    plain = frame()
    assert hows(plain) == {
        "obj['x']": "copied",
        "obj['text']": "pickled",
        "obj['n']": "pickled",
        "obj.index": "small",
    }
    with pytest.warns(oc.PickledWarning):
        shared = oc.share(plain)
    explained = oc.explain(shared)
    assert hows(shared)["obj['x']"] == "shared"
    assert explained.shared == ROWS * 8
    assert explained.copied == 0
    assert explained.pickled > ROWS
    assert "obj['text']" in repr(explained).splitlines()[1], "the worst comes first"


@pytest.mark.parametrize(
    ("values", "cure"),
    [
        (["a", None], "astype('str')"),
        ([1, 2], "infer_objects()"),
        ([1.5, None], "infer_objects()"),
        ([True, False], "infer_objects()"),
        ([pd.Timestamp("2024"), pd.Timestamp("2025")], "infer_objects()"),
        ([1, 2.5], "astype('float64')"),
        ([pd.Timestamp("2024").date(), pd.Timestamp("2025").date()], "astype('datetime64[s]')"),
        ([1, "a"], "oc.share(list(obj['c']))"),
        ([{"a": 1}, {"a": 2}], "oc.share(list(obj['c']))"),
    ],
)
def test_a_cure_that_is_one(values: list[Any], cure: str) -> None:
    """Its advice is followed here, and then the object is shared."""
    obj = pd.DataFrame({"c": column(values)})
    (said,) = cures(obj).values()
    assert cure in said
    code = said.removesuffix(" can be shared").removesuffix(" by itself")
    made = eval(code, {"obj": obj, "oc": oc})
    assert oc.is_shared(oc.share(made))


@pytest.mark.parametrize(
    "obj", [TEXTS, np.array(["ab", "c"] * 50_000, dtype=np.dtypes.StringDType()), np.array([1, None] * ROWS)]
)  # fmt: skip
def test_a_cure_of_an_array(obj: Any) -> None:
    (said,) = cures(obj).values()
    code = said.removesuffix(" can be shared").removesuffix(" by itself")
    made = eval(code, {"obj": obj, "oc": oc})
    assert oc.is_shared(oc.share(made))


def test_is_shared_is_false_beside_python_objects() -> None:
    with pytest.warns(oc.PickledWarning):
        shared = oc.share(frame())
    assert not oc.is_shared(shared)
    assert oc.is_shared(shared["x"])
    whole = oc.share(frame()[["x"]])
    assert oc.share(whole) is whole
    assert oc.is_shared({"a": whole, "b": [1, 2, 3]})
    assert not oc.is_shared({"a": whole, "b": [str(n) for n in range(500_000)]})


def test_a_warning_names_the_column_and_the_cure() -> None:
    with pytest.warns(oc.PickledWarning) as told:
        oc.share(frame())
    text = str(told[0].message)
    assert "obj['text'] (obj['text'].astype('str') can be shared)" in text
    assert "obj['n'] (obj['n'].infer_objects() can be shared)" in text
    assert "obj['x']" not in text
    many = pd.DataFrame({f"c{at}": column(["a"]) for at in range(8)})
    with pytest.warns(oc.PickledWarning, match="and 3 more"):
        oc.share(many)


@dataclass
class Record:
    array: np.ndarray[Any, Any]
    more: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


def test_other_things_by_part() -> None:
    array = np.arange(float(ROWS))
    assert hows(oc.share(array)) == {"obj": "shared"}
    assert hows({"a": array, "b": [oc.share(array), 3]}) == {
        "obj['a']": "copied",
        "obj['b'][0]": "shared",
        "obj['b'][1]": "small",
    }
    names = [f"name {n}" for n in range(ROWS)]
    assert hows(Record(array, {"deep": array}, names)) == {
        "obj.array": "copied",
        "obj.more['deep']": "copied",
        "obj.names": "pickled",
    }
    assert cures(Record(array, {}, names))["obj.names"] == "oc.share(obj.names) by itself"
    table = pa.table({"a": array, "b": names})
    assert hows(table) == {"obj['a']": "copied", "obj['b']": "copied"}
    assert hows(oc.share(pl.DataFrame({"a": array, "b": names}))) == {
        "obj['a']": "shared",
        "obj['b']": "shared",
    }
    small: Any
    for small in (3, None, "text", [1, 2], {}, (), len, lambda: 3, Record):
        assert set(hows(small).values()) == {"small"}


def test_what_it_shows() -> None:
    shown = oc.explain({"<b>": np.ones(ROWS), "\x1b[2J": 3})
    assert "\x1b" not in repr(shown)
    assert "obj['&lt;b&gt;']" in shown._repr_html_().replace("&#x27;", "'")
    many = oc.explain({str(at): at for at in range(100)})
    assert repr(many).splitlines()[-1] == "  and 60 more parts"
    with pytest.raises(oc.NotPicklable, match=r"obj\['lock'\]"):
        oc.explain({"lock": __import__("threading").Lock()})
