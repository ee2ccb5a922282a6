"""`load` of archives of which some members are no plain arrays: the others come as they are."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

import onecopy as oc
from onecopy._files.load import members
from onecopy.cli import main
from onecopy.errors import BadFile, LoadWarning

pytestmark = pytest.mark.usefixtures("zarr_ends")

OBJECTS = np.array([[1, 2], None, "x"], dtype=object)


def left_out(path: Path, *names: str) -> Any:
    """The archive at ``path``, which says that just these are left out."""
    with pytest.warns(LoadWarning) as caught:
        got = oc.load(path)
    said = [str(each.message) for each in caught]
    assert len(said) == len(names)
    for name in names:
        assert any(f"left out {name!r}: " in line for line in said)
        assert name not in {*got, *got.files}
        assert name not in got
        with pytest.raises(BadFile, match=f"'{name}' was left out: "):
            got[name]
        with pytest.raises(BadFile, match="cannot be loaded: "):
            oc.load(path, columns=[name])
    return got


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.npz"
    save(path, words=OBJECTS, y=np.arange(3), records=np.array([(1, "a")], "i4,O"))
    got = left_out(path, "words", "records")
    assert got["y"].tolist() == [0, 1, 2]
    assert oc.load(path, columns=["y"])["y"].tolist() == [0, 1, 2]
    assert oc.load([path, path], columns=["y"])["y"].tolist() == [0, 1, 2] * 2
    with pytest.raises(SystemExit) as ended:
        main(["convert", f"{path}:y", str(tmp_path / "y.npy")])
    assert not ended.value.code
    assert np.load(tmp_path / "y.npy").tolist() == [0, 1, 2]
    with pytest.raises(SystemExit):
        main(["convert", str(path), str(tmp_path / "all.npz")])
    assert "left out 'words'" in capsys.readouterr().err
    assert list(np.load(tmp_path / "all.npz")) == ["y"]


def test_npz_of_other_things(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.warns(LoadWarning, match=r"left out 'readme\.txt': it is no array"):
        assert list(oc.load(path)) == ["a"]
    assert list(oc.load(path, columns="a")) == ["a"]
    np.savez(path, a=OBJECTS)
    with pytest.raises(BadFile, match="it holds Python objects"):
        oc.load(path)


# HDF5.


def test_hdf5_strings(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    text = np.array([["a", "ünï"], ["", "long" * 9]], dtype=object)
    with h5py.File(path, "w") as file:
        file.create_dataset("text", data=text, dtype=h5py.string_dtype())
        file.create_dataset("ascii", data=["a", "bc"], dtype=h5py.string_dtype("ascii"))
        file["one"] = "alone"
        file.create_dataset("unset", (3,), dtype=h5py.string_dtype())
        kind = [("n", "i4"), ("s", h5py.string_dtype()), ("f", "S3")]
        file["records"] = np.array([(1, "x", b"ab"), (2, "yéy", b"c")], dtype=kind)
        file.create_dataset("chunks", data=[f"s{at}" for at in range(500)], chunks=(7,))
    got = oc.load(path)
    assert got["text"].tolist() == text.tolist()
    assert got["text"].dtype == "U36"
    assert got["ascii"].tolist() == ["a", "bc"]
    assert got["one"][()] == "alone"
    assert got["unset"].tolist() == ["", "", ""]
    assert got["records"].tolist() == [(1, "x", b"ab"), (2, "yéy", b"c")]
    assert got["chunks"].tolist() == [f"s{at}" for at in range(500)]
    assert all(oc.is_shared(array) for array in got.values())
    assert oc.load(path, columns=["chunks"], rows=(5, 8))["chunks"].tolist() == ["s5", "s6", "s7"]
    both = oc.load([path, path], columns=["ascii"])["ascii"]
    assert both.tolist() == ["a", "bc", "a", "bc"]


def test_hdf5_strings_that_would_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bad", data=[b"\xff\xfe"], dtype=h5py.string_dtype())
        file.create_dataset("wide", data=["x" * 5000] + ["y"] * 500, dtype=h5py.string_dtype())
    with pytest.raises(BadFile, match="a string is not UTF-8"):
        oc.load(path, columns=["bad"])
    assert oc.load(path, columns=["wide"])["wide"][0] == "x" * 5000
    monkeypatch.setattr(members, "_FREE", 1 << 10)
    with pytest.raises(BadFile, match="the longest has 5000 characters"):
        oc.load(path, columns=["wide"])


def test_hdf5_links(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = [1, 2, 3]
    with h5py.File(path, "w") as file:
        file["g/a"] = np.arange(4)
        file["hard"] = file["g/a"]
        file["soft"] = h5py.SoftLink("/g/a")
        file["g/relative"] = h5py.SoftLink("a")
        file["g/through"] = h5py.SoftLink("/alias/a")
        file["alias"] = h5py.SoftLink("/g")
        file["g/up"] = file["/"]
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["ring"] = h5py.SoftLink("/ring")
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/secret")
        file["behind"] = h5py.SoftLink("/elsewhere")
        file["folder"] = h5py.ExternalLink("other.h5", "/")
        file["deep"] = h5py.SoftLink("/folder/secret")
        file.create_dataset("outside", (10,), "u1", external=[("/etc/passwd", 0, 10)])
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (3,))
        file.create_virtual_dataset("virtual", layout)
        layout = h5py.VirtualLayout((4,), "i8")
        layout[:] = h5py.VirtualSource(".", "g/a", (4,))
        file.create_virtual_dataset("inside", layout)
    left = ["dangling", "ring", "elsewhere", "behind", "folder", "deep", "outside", "virtual"]
    got = left_out(path, *left)
    same = ["g/a", "g/relative", "g/through", "hard", "inside", "soft"]
    assert sorted(got) == sorted(
        [*same, *(f"alias/{each}" for each in ("a", "relative", "through"))]
    )
    assert all(got[name].tolist() == [0, 1, 2, 3] for name in got)


def test_hdf5_that_holds_no_elements_and_odd_types(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    colours = h5py.enum_dtype({"RED": 0, "BLUE": 7}, basetype="i2")
    with h5py.File(path, "w") as file:
        file["null"] = h5py.Empty("f4")
        file["no_text"] = h5py.Empty(h5py.string_dtype())
        file["zero"] = np.zeros((0, 3), ">i2")
        file["scalar"] = np.float32(2.5)
        file["complex"] = np.array([1 + 2j])
        file["half"] = np.array([0.5], "f2")
        file["opaque"] = np.array([b"abc\0"], "V4")
        file.create_dataset("enum", data=[0, 7], dtype=colours)
        file["nested"] = np.zeros(2, [("a", [("b", "i4", (2,))]), ("c", "?")])
        file.create_dataset("ragged", (2,), dtype=h5py.vlen_dtype("i4"))
        file.create_dataset("refs", (1,), dtype=h5py.ref_dtype)
        file["type"] = np.dtype("f8")
    got = left_out(path, "ragged", "refs")
    assert got["null"].shape == got["no_text"].shape == (0,)
    assert got["null"].dtype == "f4"
    assert (got["zero"].shape, got["zero"].dtype) == ((0, 3), ">i2")
    assert got["scalar"][()] == 2.5
    assert got["complex"].tolist() == [1 + 2j]
    assert got["opaque"].tobytes() == b"abc\0"
    assert got["enum"].tolist() == [0, 7]
    assert got["nested"]["a"]["b"].shape == (2, 2)
    assert got["half"].tolist() == [0.5]


# Zarr.


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "x.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr's own, on types without a specification
        group = zarr.open_group(path, mode="w", zarr_format=version)
        names = group.create_array("names", shape=(3,), chunks=(2,), dtype=str)
        names[:] = np.array(["a", "ünï", ""], dtype=object)
        group.create_array("n", data=np.arange(5.0))
        group.create_array("fixed", data=np.array(["ab", "c"]))
        group.create_array("single", data=np.array(7))
        group.create_array("deep/none", shape=(0, 2), dtype="i2")
        records = np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])
        group.create_array("records", data=records)
        when = np.array(["2024-01-01", "NaT"], "M8[s]")
        group.create_array("when", data=when)
        got = oc.load(path)
        one = oc.load(path / "n", format="zarr")
        by_store = oc.load(path / "n")
    assert got["names"].tolist() == ["a", "ünï", ""]
    assert got["n"].tolist() == one.tolist() == by_store.tolist() == [0, 1, 2, 3, 4]
    assert got["fixed"].tolist() == ["ab", "c"]
    assert got["single"][()] == 7
    assert got["deep/none"].shape == (0, 2)
    assert got["records"].tolist() == [(1, 2.5)]
    assert np.array_equal(got["when"], when, equal_nan=True)


def test_zarr_string_that_would_not_come_back(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = group.create_array("names", shape=(1,), dtype=str)
        names[:] = np.array(["a\0"], dtype=object)
        with pytest.raises(BadFile, match="a string ends with NUL"):
            oc.load(tmp_path / "x.zarr")


# npy.


@pytest.mark.parametrize(
    "dtype",
    [
        "V7",
        [(("a title", "a"), "i4"), ("b", "f8")],
        [((("ünï"), "ö"), "i4")],
        {"names": ["a", "b"], "formats": ["u1", "i4"], "offsets": [2, 8], "itemsize": 20},
        np.dtype([("a", "i1"), ("b", "f8")], align=True),
        [("m", "f4", (2, 3)), ("s", "U5"), ("t", "M8[ns]")],
        [(f"a column of a long name, {at}", "f4") for at in range(4000)],
        "S0",
        ">c16",
        "?",
        "m8[us]",
    ],
    ids=lambda dtype: str(dtype)[:30],
)
def test_npy_of_any_dtype(tmp_path: Path, dtype: Any) -> None:
    array = np.zeros((3, 2), dtype)
    array.reshape(-1).view(np.uint8)[:] = 1 if array.dtype.itemsize and array.dtype != "S0" else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy's own, on names that are not Latin-1
        np.save(tmp_path / "x.npy", array)
        np.savez(tmp_path / "x.npz", array)
        want = np.load(tmp_path / "x.npy", max_header_size=1 << 30)
    for got in (oc.load(tmp_path / "x.npy"), oc.load(tmp_path / "x.npz")["arr_0"]):
        assert got.dtype == want.dtype
        assert got.shape == (3, 2)
        assert got.tobytes() == want.tobytes()
    both = oc.load([tmp_path / "x.npy"] * 2)
    assert both.dtype == want.dtype
    assert both.tobytes() == want.tobytes() * 2
