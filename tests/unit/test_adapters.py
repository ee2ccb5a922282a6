"""Objects of other libraries through a message and back, and through `share`; no process.

Property tests over kinds of columns x index x slice x nesting. A few of the same through real
workers are in `tests/processes/test_adapters.py`; more of polars is in `test_adapters_polars.py`, and the user's own
classes are in `test_user_types.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onecopy
from onecopy._codec.arrays import SMALL
from onecopy._codec.codec import encode
from onecopy.errors import PickledWarning
from tests import frames
from tests.arrays import Array
from tests.frames import assert_equal
from tests.links import Ends, copied, stream

LARGE = 1 << 16
# Names, types and strides; some bytes a column.
OVERHEAD = 4096


def round_trips(strategy: st.SearchStrategy[Any], examples: int) -> Ends:
    """Draws objects; each goes there and back, is shared, and goes again."""
    ends = Ends()

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(strategy)
    def check(sent: Any) -> None:
        there = ends.send(sent)
        assert_equal(there, sent)
        assert_equal(ends.send_back(there), sent)
        shared = onecopy.share(sent)
        assert_equal(shared, sent)
        before = ends.owner.bytes_copied
        assert_equal(ends.send(shared), sent)
        assert ends.owner.bytes_copied == before

    check()
    return ends


@pytest.mark.parametrize("library", ["pandas", "arrow"])
def test_anything_travels_and_is_shared(library: str) -> None:
    round_trips(getattr(frames, library)(), 80)


def test_anything_of_polars_travels_and_is_shared() -> None:
    kinds = tuple(k for k in frames.POLARS if k not in frames.NOT_SHARED)
    round_trips(frames.polars(kinds), 80)


def test_nested_objects_travel_and_are_shared() -> None:
    leaf = frames.pandas() | frames.arrow() | frames.polars(("ints", "strings", "enums"))
    arrays = st.builds(np.arange, st.integers(0, 3000))
    round_trips(frames.nested(leaf | arrays | st.integers()), 60)


def numbers() -> Array:
    return np.arange(LARGE)


def of_pandas(kind: str, n: int) -> Any:
    column = frames.PANDAS[kind](n, np.random.default_rng(1))
    return pd.DataFrame({kind: column, "n": np.arange(n)})


def of_arrow(kind: str, n: int) -> Any:
    return pa.table({kind: frames.ARROW[kind](n, np.random.default_rng(1))})


def of_polars(kind: str, n: int) -> Any:
    return pl.DataFrame({kind: frames.POLARS[kind](n, np.random.default_rng(1))})


def of_scipy(kind: str, n: int) -> Any:
    if kind == "dia":
        return scipy.sparse.dia_array((np.ones((3, n)), [0, 1, 7]), (n, n))
    return scipy.sparse.random_array((n // 50, 100), density=0.1, format=kind, rng=1)


def of_others(kind: str, n: int) -> Any:
    if kind == "multi":
        index = pd.MultiIndex.from_arrays([np.arange(n) % 5, np.arange(n).astype(str)])
        return pd.Series(1.0, index=index)
    times = pd.date_range("2020", periods=n, freq="s")
    return xr.Dataset({"v": (("t", "x"), np.ones((n, 2)))}, coords={"t": times})


def part_of(obj: Any) -> Any:
    """Some rows of the first column."""
    if isinstance(obj, pd.DataFrame):
        # A part of a sparse column is computed.
        column = obj.iloc[:, 0]
        return column if "sparse" in obj else column.iloc[5:-5]
    if isinstance(obj, pa.Table):
        return obj.column(0).chunk(0)[5:-5]
    if isinstance(obj, pl.DataFrame):
        return obj.to_series(0)[5:-5]
    if isinstance(obj, pd.Series):
        return obj.iloc[5:-5]
    return obj.isel(t=slice(5, -5))["v"] if isinstance(obj, xr.Dataset) else obj


KINDS = [
    *((of_pandas, kind) for kind in frames.PANDAS),
    *((of_arrow, kind) for kind in frames.ARROW if kind != "nulls"),
    *((of_polars, kind) for kind in frames.POLARS if kind not in frames.NOT_SHARED | {"nulls"}),
    *((of_scipy, kind) for kind in ("csr", "csc", "coo", "bsr", "dia")),
    *((of_others, kind) for kind in ("multi", "xarray")),
]


@pytest.mark.parametrize(("make", "kind"), KINDS)
@pytest.mark.filterwarnings("ignore:.*:pandas.errors.PerformanceWarning")
def test_the_stream_does_not_grow_with_the_data(make: Callable[[str, int], Any], kind: str) -> None:
    small, large = make(kind, 5_000), make(kind, 20_000)
    assert stream(large) <= stream(small) + 64
    assert stream(large) < OVERHEAD
    shared = onecopy.share(large)
    assert type(shared) is type(large)
    assert onecopy.is_shared(shared)
    assert onecopy.share(shared) is shared
    part = part_of(shared)
    # polars cuts a bitmap out of some columns: one bit a row.
    assert onecopy.is_shared(part) or 0 < copied(part) <= 20_000 // 8 + 64
    # A small array is in the stream until it is shared.
    assert -64 <= stream(large) - stream(shared) <= 64 + SMALL


# pandas.


def test_columns_and_rows_of_a_shared_frame_are_shared() -> None:
    frame = pd.DataFrame({"a": numbers(), "b": numbers() * 0.5, "s": numbers().astype(str)})
    shared = onecopy.share(frame)
    parts = [shared["a"], shared["s"], shared.loc[:, "a":"b"], shared.iloc[9:99], shared["s"][5:7]]
    parts += [shared["a"].iloc[::7], shared.index, shared.columns, pd.Index(shared["a"])]
    for part in parts[:-3]:
        assert onecopy.is_shared(part)
        assert copied(part) == 0


def test_a_shared_frame_is_read_only_and_what_is_made_of_it_is_not() -> None:
    frame = pd.DataFrame(
        {k: make(50, np.random.default_rng(1)) for k, make in frames.PANDAS.items()}
    )
    shared = onecopy.share(frame)
    there = Ends().send(shared)
    for one in (shared, there):
        for kind in ("ints", "datetimes", "zones", "nullable", "strings", "arrow", "categories"):
            # pandas takes NumPy's refusal for a value that does not fit, and says so.
            with pytest.raises((ValueError, AssertionError)):
                one.loc[3, kind] = frame.loc[4, kind]
            copy = one.copy()
            copy.loc[3, kind] = frame.loc[4, kind]
            column = one[kind]  # copy on write
            column.iloc[3] = frame.loc[4, kind]
        pd.testing.assert_frame_equal(one, frame)
    shared["new"] = 1  # the frame is a list of columns: those are shared
    assert not onecopy.is_shared(shared)


def test_a_plain_frame_arrives_writable_in_every_column() -> None:
    frame = pd.DataFrame(
        {k: make(50, np.random.default_rng(1)) for k, make in frames.PANDAS.items()}
    )
    there = Ends().send(frame)
    for kind in ("ints", "datetimes", "zones", "nullable", "strings", "arrow", "categories"):
        there.loc[3, kind] = frame.loc[4, kind]
        assert (
            there.loc[3, kind] is pd.NA
            or there[kind].isna()[3]
            or there.loc[3, kind] == frame.loc[4, kind]
        )


def test_flags_and_attributes_of_a_frame_survive() -> None:
    frame = pd.DataFrame({"a": numbers()}).set_flags(allows_duplicate_labels=False)
    frame.attrs["unit"] = "m"
    for there in (Ends().send(frame), onecopy.share(frame)):
        assert not there.flags.allows_duplicate_labels
        assert there.attrs == {"unit": "m"}


def test_a_column_of_many_pieces_is_not_joined() -> None:
    one = onecopy.share(pd.Series(numbers().astype(str)))
    both = pd.concat([one, one], ignore_index=True)
    assert both.array._pa_array.num_chunks == 2
    assert copied(both) == 0
    assert_equal(Ends().send(both), both)


def test_objects_go_through_the_pipe_and_share_says_so() -> None:
    frame = pd.DataFrame({"o": pd.Series([{"a": 1}] * 99, dtype=object), "n": np.arange(99)})
    with pytest.warns(PickledWarning, match="ndarray of dtype object"):
        shared = onecopy.share(frame)
    assert_equal(shared, frame)


# Arrow.


@pytest.mark.parametrize(
    "kind", sorted(set(frames.ARROW) - {"nulls", "runs", "unions", "dictionary"})
)
def test_a_slice_of_plain_data_leaves_the_rest_behind(kind: str) -> None:
    array = frames.ARROW[kind](30_000, np.random.default_rng(1))
    part = array[10_000:10_300]
    assert copied(part) < 0.03 * array.get_total_buffer_size() + OVERHEAD
    assert_equal(Ends().send(part), part)
    for table in (pa.table({"a": array})[5:9], pa.record_batch({"a": array})[5:9]):
        assert copied(table) <= OVERHEAD
        assert_equal(Ends().send(table), table)


def test_a_slice_of_a_shared_table_is_a_reference_to_its_parent() -> None:
    table = onecopy.share(pa.table({"a": numbers(), "s": numbers().astype(str)}))
    for part in (table[3:5], table.select(["s"]), table["a"].chunk(0)[7:9], table["s"][1:]):
        assert copied(part) == 0
        assert onecopy.is_shared(part)
    assert len(onecopy.segments()) == 1


def test_slices_that_are_sent_together_are_whole() -> None:
    table = pa.table({"a": numbers()})
    parts = [table[:100], table[50:150], table[60:], table]
    for got, sent in zip(Ends().send(parts), parts, strict=True):
        assert_equal(got, sent)


def test_buffers_schemas_and_types_travel() -> None:
    ends = Ends()
    buffer = pa.array(numbers()).buffers()[1]
    assert ends.send(buffer).equals(buffer)
    shared = onecopy.share(buffer)
    assert (type(shared), onecopy.is_shared(shared), shared.is_mutable) == (pa.Buffer, True, False)
    assert copied(shared[8:80]) == 0
    schema = pa.schema([pa.field("a", pa.list_(pa.int8()), metadata={"x": "y"})], {"k": "v"})
    assert ends.send(schema).equals(schema, check_metadata=True)


def test_what_stands_on_a_block_keeps_it() -> None:
    ends = Ends()
    column = ends.send(pa.table({"a": numbers()})).column("a").chunk(0)[LARGE // 2 :]
    series = ends.send(pl.DataFrame({"a": numbers()})).to_series(0)[LARGE // 2 :]
    values = ends.send(pd.DataFrame({"a": numbers()}))["a"].to_numpy()[LARGE // 2 :]
    ends.give_back()
    assert ends.worker.borrowed == 3
    others = [ends.send(np.zeros(LARGE)) for _ in range(3)]
    for half in (column.to_numpy(), series.to_numpy(), values):
        assert (half == numbers()[LARGE // 2 :]).all()
    del column, series, values, half, others
    assert ends.worker.borrowed == 0


# scipy, xarray, torch.


@pytest.mark.parametrize("kind", ["lil", "dok"])
@pytest.mark.parametrize("base", [scipy.sparse.coo_array, scipy.sparse.coo_matrix])
def test_matrices_made_of_objects_travel_as_arrays(kind: str, base: Any) -> None:
    sent = base(scipy.sparse.random_array((300, 300), density=0.2, rng=1)).asformat(kind)
    sent[3, 4] = 7
    there = Ends().send(sent)
    assert type(there) is type(sent)
    assert there.dtype == sent.dtype
    assert (there != sent).nnz == 0
    assert stream(sent) < 1000
    there[5, 6] = 1
    with pytest.warns(PickledWarning, match=type(sent).__name__):
        assert not onecopy.is_shared(onecopy.share(sent))


def test_xarray_keeps_names_coordinates_and_attributes() -> None:
    data = xr.DataArray(
        np.ones((40, 3)),
        dims=("t", "x"),
        coords={"t": pd.date_range("2020", periods=40), "x": ["a", "b", "c"]},
        attrs={"unit": "K"},
        name="warm",
    )
    for there in (Ends().send(data), onecopy.share(data), Ends().send(data.to_dataset())["warm"]):
        assert there.identical(data)
    assert onecopy.is_shared(onecopy.share(data).isel(t=slice(3, 9)).variable)


def test_tensors_travel_and_are_shared() -> None:
    torch = pytest.importorskip("torch")
    ends = Ends()
    base = torch.arange(float(LARGE)).reshape(-1, 8)
    tensors = [
        base,
        base[3:5],
        base.T,
        base[:, 1],
        base[:, ::3],
        torch.tensor(5),
        torch.empty(0, 3),
    ]
    tensors += [base.to(kind) for kind in (torch.bfloat16, torch.bool, torch.complex64, torch.int8)]
    for sent in (*tensors, base.expand(2, *base.shape), base.clone().requires_grad_()):
        for there in (ends.send(sent), onecopy.share(sent), ends.send(onecopy.share(sent))):
            assert type(there) is torch.Tensor
            assert (there.dtype, there.shape) == (sent.dtype, sent.shape)
            assert there.requires_grad == sent.requires_grad
            assert torch.equal(there, sent)
        assert stream(sent) < 500
    shared = onecopy.share({"w": base, "part": base[2:]})
    assert onecopy.is_shared(shared)
    assert shared["part"].data_ptr() == shared["w"][2:].data_ptr()
    there = ends.send([base, base[1]])
    there[0][1, 0] = -1
    assert there[1][0] == 8  # as by pickle: what is written to is its own
    assert base[1, 0] == 8


def test_modules_travel_by_their_parameters() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(300, 300)
    there = Ends().send(module)
    assert all(
        torch.equal(a, b) for a, b in zip(there.parameters(), module.parameters(), strict=True)
    )
    assert stream(module) < OVERHEAD
    assert onecopy.is_shared(onecopy.share(module))


def test_rows_of_a_shared_frame_move_nothing() -> None:
    """Also where several columns of one type are in one array, of which rows are a view with
    gaps."""
    columns = {name: np.arange(50_000) for name in "abc"} | {"x": np.ones(50_000)}
    frame = pd.DataFrame(columns)
    for shared in (onecopy.share(frame), onecopy.share(frame.sample(frac=1, random_state=1))):
        part = shared.iloc[1000:30_000]
        assert onecopy.is_shared(part)
        assert onecopy.is_shared(part.iloc[::7])
        assert encode(part).all_shared()
    plain = encode(frame.iloc[1000:2000])
    assert plain.plan is not None
    assert plain.plan.copied < 50_000, "and of a plain one only the rows"
