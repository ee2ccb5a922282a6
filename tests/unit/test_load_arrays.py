"""`load` of arrays beyond the mapping of one: several files, rows, fields, types, HDF5, Zarr.

Mapping `.npy` and `.npz` is in `test_load.py`.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy.errors import BadFile, MissingLibrary
from tests import files
from tests.files import array_of

pytestmark = pytest.mark.usefixtures("zarr_ends")


@pytest.fixture(params=files.ARRAYS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each format in turn, with `ARRAY` in it."""
    path = tmp_path / str(request.param)
    files.ARRAYS[request.param](path, ARRAY)
    return path


ARRAY = np.arange(80, dtype="i4").reshape(20, 2, 2)


def test_an_array_of_every_format(written: Path) -> None:
    got = array_of(oc.load(written))
    assert got.dtype == ARRAY.dtype
    assert np.array_equal(got, ARRAY)
    assert oc.is_shared(got)
    assert not got.flags.writeable
    (segment,) = oc.segments()
    assert segment.kind == ("file" if written.name in ("x.npy", "x.npz") else "shared")


def test_rows_and_types(written: Path) -> None:
    for start, stop in ((0, 20), (1, 2), (4, 17), (0, 0), (18, 99), (30, 40)):
        got = array_of(oc.load(written, rows=(start, stop)))
        assert np.array_equal(got, ARRAY[start:stop])
        assert oc.is_shared(got)
        got = array_of(oc.load(written, rows=slice(start, stop), dtype=">f8"))
        assert got.dtype == ">f8"
        assert np.array_equal(got, ARRAY[start:stop])
        assert oc.is_shared(got)
    with pytest.raises(BadFile, match="cannot be loaded as bool"):
        oc.load(written, dtype=bool)
    with pytest.raises(BadFile, match="Python objects"):
        oc.load(written, dtype=object)


def test_several_files_are_one_array(written: Path) -> None:
    other = written.with_name(f"y-{written.name}")
    files.ARRAYS[written.name](other, ARRAY[:7] + 100)
    both = np.concatenate([ARRAY, ARRAY[:7] + 100])
    got = array_of(oc.load([written, other]))
    assert np.array_equal(got, both)
    assert oc.is_shared(got)
    (segment,) = oc.segments()
    assert segment.kind == "shared"
    got = array_of(oc.load(f"{written.parent}/*{written.suffix}", rows=(18, 23), dtype="f4"))
    assert np.array_equal(got, both[18:23])
    for unlike in (ARRAY.astype("i8"), ARRAY[:, :1]):
        other = written.with_name(f"z{unlike.itemsize}-{written.name}")
        files.ARRAYS[written.name](other, unlike)
        with pytest.raises(BadFile, match=rf"{written.name}.*{other.name}.* do not make one array"):
            oc.load([written, other])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.integers(0, 90), st.integers(0, 90))
def test_any_rows_of_any_files(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], start: int, stop: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    parts = [np.random.default_rng(n).normal(size=(n, 2)) for n in lengths]
    names = []
    for number, part in enumerate(parts):
        names.append(folder / f"{number}.npy")
        np.save(names[-1], np.asfortranarray(part) if number % 2 else part)
    got = oc.load(names, rows=(start, stop))
    assert np.array_equal(got, np.concatenate(parts)[start:stop])
    assert oc.is_shared(got)


def test_fields_of_records(tmp_path: Path) -> None:
    records = np.zeros(9, [("a", "i4"), ("b", "f8", (2,)), ("é", "S3")])
    records["a"], records["b"][:, 1], records["é"] = np.arange(9), 5, b"xyz"
    path = tmp_path / "x.npy"
    np.save(path, records)
    view = oc.load(path, columns=["é", "a"], rows=(2, 5))
    assert view.dtype.names == ("é", "a")
    assert view["a"].tolist() == [2, 3, 4]
    assert [each.kind for each in oc.segments()] == ["file"]
    cast = oc.load([path, path], columns=["a", "b"], dtype={"a": "f8"})
    assert cast.dtype == [("a", "f8"), ("b", "f8", (2,))]
    assert cast["a"][9:].tolist() == records["a"].tolist()
    assert (cast["b"][:, 1] == 5).all()
    assert oc.is_shared(cast)
    with pytest.raises(BadFile, match="has no field 'z'; it has a, b, é"):
        oc.load(path, columns=["z"])
    with pytest.raises(BadFile, match="has no field 'z'"):
        oc.load(path, dtype={"z": "f8"})
    np.save(path, records["a"])
    for options in ({"columns": ["a"]}, {"dtype": {"a": "f8"}}):
        with pytest.raises(BadFile, match="has no columns: it holds plain int32"):
            oc.load(path, **options)


def test_members_of_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "1.npz", a=np.arange(3), b=np.ones(2))
    np.savez(tmp_path / "2.npz", b=np.zeros(2), a=np.arange(4))
    np.savez(tmp_path / "3.npz", a=np.arange(4))
    assert list(oc.load(tmp_path / "1.npz", columns=["b"])) == ["b"]
    both = oc.load([tmp_path / "1.npz", tmp_path / "2.npz"])
    assert both["a"].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert both["b"].tolist() == [1, 1, 0, 0]
    with pytest.raises(
        BadFile, match=r"1\.npz.*3\.npz.* not hold arrays of the same names: a, b; a"
    ):
        oc.load([tmp_path / "1.npz", tmp_path / "3.npz"])
    with pytest.raises(BadFile, match="has no member 'z'; it has a, b"):
        oc.load(tmp_path / "1.npz", columns=["z"])


def test_hdf5_of_many_kinds(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["group/records"] = np.ones(3, [("a", "i4"), ("b", "f8")])
        file["single"] = 4.5
        file["none"] = np.zeros((0, 3))
        file["flags"] = np.array([True, False])
        file["fixed"] = np.array([b"ab", b"c"])
        file["words"] = ["strings", "of any length"]
    got = oc.load(path)
    assert sorted(got) == ["fixed", "flags", "group/records", "none", "single", "words"]
    assert got["group/records"].dtype.names == ("a", "b")
    assert got["single"][()] == 4.5
    assert got["flags"].tolist() == [True, False]
    assert got["words"].tolist() == ["strings", "of any length"]
    assert all(oc.is_shared(array) for array in got.values() if array.size)


# From Python 3.14 on its codecs' lock is known to the resource tracker, which stays.
@pytest.mark.leaks("the resource tracker of the standard library lives as long as the interpreter")
def test_a_group_of_zarr(tmp_path: Path) -> None:
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=version)
        group.create_array("p/q", data=ARRAY, chunks=(7, 2, 2))
        group.create_array("r", shape=(9,), dtype="f8", fill_value=2.5)
        got = oc.load(path)
        assert sorted(got) == ["p/q", "r"]
        assert np.array_equal(got["p/q"], ARRAY)
        assert (got["r"] == 2.5).all()


class Trap:
    def __reduce__(self) -> Any:
        return pytest.fail, ("unpickled",)


def test_pickles_only_when_they_are_trusted(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    files.pickled(path, Trap())
    with pytest.raises(BadFile, match=r"x\.pkl' is a pickle.*allow_pickle=True"):
        oc.load(path)
    for other in ("npy", "npz", "arrow", "parquet", "hdf5", "csv"):
        with pytest.raises(BadFile):
            oc.load(path, format=other, allow_pickle=True)
    files.pickled(path, {"a": np.arange(1000)})
    got = oc.load(path, allow_pickle=True)
    assert oc.is_shared(got["a"])
    with pytest.raises(BadFile, match="rows= and dtype= are for"):
        oc.load(path, allow_pickle=True, rows=(0, 1))
    path.write_bytes(pickle.dumps(got)[:-9])
    with pytest.raises(BadFile, match="is not a whole pickle"):
        oc.load(path, allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("x.parquet", "pyarrow.parquet", "arrow"),
        ("x.csv", "pyarrow.csv", "arrow"),
        ("x.feather", "pyarrow", "arrow"),
        ("x.jsonl", "pyarrow.json", "arrow"),
        ("x.h5", "h5py", "hdf5"),
        ("x.zarr", "zarr", "zarr"),
    ],
)
def test_a_library_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    (tmp_path / name).write_bytes(b"something")
    monkeypatch.setitem(__import__("sys").modules, module, None)
    match = rf"\[{extra}\]: pip install {module.partition('.')[0]} "
    with pytest.raises(MissingLibrary, match=match) as raised:
        oc.load(tmp_path / name)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again)) == (MissingLibrary, str(raised.value))
    assert isinstance(again, ImportError)


def test_formats_that_are_not_known(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(3))
    with pytest.raises(BadFile, match="format 'zap' is not known; it is one of 'npy'"):
        oc.load(path, format="zap")
    assert oc.load(path.rename(tmp_path / "x"), format="npy").tolist() == [0, 1, 2]
