"""`load`: what is mapped, what is inflated, and files that are damaged in every way."""

from __future__ import annotations

import gc
import io
import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import onecopy
from onecopy._system import procfs
from onecopy.errors import BadFile, NotEnoughMemory
from tests.arrays import arrays, facts

ARRAYS: dict[str, Any] = {
    "C": np.arange(24.0).reshape(4, 6),
    "F": np.asfortranarray(np.arange(24, dtype=">i4").reshape(2, 3, 4)),
    "no dimension": np.array(7),
    "empty": np.zeros((0, 3), "f4"),
    "empty strings": np.zeros(5, "S0"),
    "records": np.ones(5, [("a", "S3"), ("b", "<M8[s]"), ("c", "f8", (2, 2))]),
    "aligned records": np.ones(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "names in Latin-1": np.ones(3, [("é", "f8")]),
    "names in Unicode": np.ones(3, [("日本", "f8"), ("x", [("ω", "i2", (2,))])]),
    "strings": np.array(["a", "bcd"]),
    "many fields": np.zeros(2, [(f"f{n}", "i2") for n in range(300)]),
}


def saved(path: Path, array: Any) -> Path:
    with warnings.catch_warnings():
        # NumPy notes that names in Unicode take a new version of the format.
        warnings.simplefilter("ignore", UserWarning)
        np.save(path, array)
    return path


def assert_loaded(got: Any, array: Any) -> None:
    assert facts(got) == facts(array)._replace(writable=False)
    if array.size:
        assert onecopy.is_shared(got)
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            got.flags.writeable = True


@pytest.mark.parametrize("name", ARRAYS)
def test_npy(tmp_path: Path, name: str) -> None:
    array = ARRAYS[name]
    assert_loaded(onecopy.load(saved(tmp_path / "x.npy", array)), array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_of_each_version(tmp_path: Path, version: tuple[int, int]) -> None:
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, ARRAYS["records"], version)
    assert_loaded(onecopy.load(tmp_path / "x.npy"), ARRAYS["records"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Any) -> None:
    given = {name: array for name, array in ARRAYS.items() if "Unicode" not in name}
    save(tmp_path / "x.npz", **given)
    archive = onecopy.load(tmp_path / "x.npz")
    assert archive.files == list(archive) == list(given)
    assert len(archive) == len(given)
    for name, array in given.items():
        assert_loaded(archive[name], array)
        assert archive[f"{name}.npy"] is archive[name]


@settings(max_examples=60)
@given(arrays())
def test_any_array(tmp_path_factory: pytest.TempPathFactory, array: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    plain = np.asarray(array)
    expected = plain.copy("F" if plain.flags.fnc else "C")
    np.save(folder / "any.npy", plain)
    np.savez(folder / "any.npz", a=plain, b=plain[..., None])
    archive = onecopy.load(folder / "any.npz")
    for got in (onecopy.load(folder / "any.npy"), archive["a"], archive["b"][..., 0]):
        assert facts(got).data == facts(expected).data
        assert got.dtype == plain.dtype
        assert got.shape == plain.shape


def test_ways_to_name_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.arange(3))
    path = tmp_path / "x.npy"
    names: list[Any] = [
        path,
        str(path),
        os.fsencode(path),
        "~/x.npy",
        "~/?.npy",
        [path],
        ["~/x.npy"],
    ]
    for name in names:
        assert onecopy.load(name).tolist() == [0, 1, 2]
    not_names: Any
    for not_names in (path.open("rb"), io.BytesIO()):
        with not_names, pytest.raises(TypeError, match="this is an open one"):
            onecopy.load(not_names)
    not_names = None
    with pytest.raises(TypeError, match="a path, or several of them, is needed, not NoneType"):
        onecopy.load(not_names)


def test_path_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.npy", np.arange(3)).rename(tmp_path / "x.NPY")
    monkeypatch.chdir(tmp_path)
    for name in (path, str(path), "x.NPY"):
        got = onecopy.load(name)
        assert got.tolist() == [0, 1, 2]
        (segment,) = [s for s in onecopy.segments() if s.kind == "file"]
        assert segment.path == str(path)
        del got


# Mapped means neither copied nor read.

needs_proc_io = pytest.mark.skipif(
    not os.path.exists("/proc/self/io"), reason="needs /proc/self/io"
)


def bytes_read() -> int:
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def memory() -> int:
    rollup = procfs.rollup()
    assert rollup is not None
    return rollup.rss


def big_npy(path: Path) -> Path:
    """64 MB of zeros that take no room on the disk."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 23,)}
        )
        file.truncate(file.tell() + (8 << 23))
    return path


@needs_proc_io
def test_npy_is_neither_read_nor_copied(tmp_path: Path) -> None:
    path = big_npy(tmp_path / "x.npy")
    onecopy.load(saved(tmp_path / "warm.npy", np.arange(3)))  # imports what it needs
    read, resident = bytes_read(), memory()
    array = onecopy.load(path)
    assert bytes_read() - read < 1 << 20
    assert memory() - resident < 8 << 20
    assert array.shape == (1 << 23,)
    assert array[-1] == 0
    assert memory() - resident < 16 << 20
    (segment,) = onecopy.segments()
    assert segment.kind == "file"
    assert segment.nbytes == path.stat().st_size


@needs_proc_io
def test_stored_member_is_neither_read_nor_copied(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(big_npy(tmp_path / "x.npy"), "x.npy")
        archive.writestr("note.txt", "not an array")
    onecopy.load(saved(tmp_path / "warm.npy", np.arange(3)))
    read, resident = bytes_read(), memory()
    loaded = onecopy.load(path, columns=["x"])
    assert loaded.files == ["x"]
    assert bytes_read() - read < 1 << 20
    assert memory() - resident < 8 << 20
    assert loaded["x"][12345] == 0


def test_members_of_one_archive_are_one_segment(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.arange(5), b=np.arange(7))
    archive = onecopy.load(tmp_path / "x.npz")
    assert [s.kind for s in onecopy.segments()] == ["file"]
    with archive as same:
        kept = same["a"]
    assert archive.files == []
    assert repr(archive) == "<SharedArchive of nothing>"
    assert kept.tolist() == [0, 1, 2, 3, 4]
    del kept, same, archive
    gc.collect()
    assert onecopy.segments() == []


def test_inflated_members_are_shared_memory(tmp_path: Path, backing: str) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(1 << 18))
    archive = onecopy.load(tmp_path / "x.npz")
    array = archive["a"]
    assert (array == np.arange(1 << 18)).all()
    (segment,) = onecopy.segments()
    assert (segment.kind, segment.backing) == ("shared", backing)
    assert segment.nbytes == 2 << 20


def test_archive_without_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz")
    assert onecopy.load(tmp_path / "x.npz").files == []


# What is no such file.


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        onecopy.load(tmp_path / "x.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(BadFile, match="holds no file of a format"):
        onecopy.load(tmp_path / "folder.npy")


@pytest.mark.parametrize("name", ["x", "x.unknown", "npy", ".npy"])
def test_unknown_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadFile, match=r"the format is not known; onecopy loads \.npy"):
        onecopy.load(tmp_path / name)


def test_object_arrays_are_refused_and_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return pytest.fail, ("unpickled",)

    np.save(tmp_path / "x.npy", np.array([Trap()], object))
    np.savez(tmp_path / "x.npz", a=np.array([Trap()], object))
    np.savez_compressed(tmp_path / "y.npz", a=np.array([Trap()], object))
    for name in ("x.npy", "x.npz", "y.npz"):
        with pytest.raises(BadFile, match=rf"{name}.*holds Python objects"):
            onecopy.load(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"nonsense" * 100])
def test_other_content(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=rf"x{suffix}' is not a whole {suffix} "):
        onecopy.load(path)


def contents(suffix: str) -> bytes:
    """A small file of each kind, whole."""
    file = io.BytesIO()
    arrays = {"a": np.arange(40.0).reshape(4, 10), "b": np.ones(3, "i2,S2")}
    if suffix == ".npy":
        np.save(file, arrays["a"])
    else:
        (np.savez_compressed if suffix == "compressed.npz" else np.savez)(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def load_or_refuse(path: Path) -> Any:
    """None when the file is refused as it should be; anything else is an error."""
    try:
        return onecopy.load(path)
    except (BadFile, NotEnoughMemory):
        return None


SUFFIXES = [".npy", "stored.npz", "compressed.npz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    whole = contents(suffix)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(BadFile, match="x"):
            onecopy.load(path)
    assert onecopy.segments() == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_damage_is_refused_or_harmless(tmp_path: Path, suffix: str) -> None:
    """Not one other exception, nothing read beyond the file, nothing left behind."""
    path = tmp_path / f"x{suffix}"
    whole = contents(suffix)
    places = st.integers(0, len(whole) - 1)
    if suffix == ".npy":
        places = st.integers(0, 127)  # its header

    @settings(max_examples=150)
    @given(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3))
    @example([(8, 0xFF)])
    def check(damage: list[tuple[int, int]]) -> None:
        broken = bytearray(whole)
        for at, value in damage:
            broken[at] = value
        path.write_bytes(broken)
        with warnings.catch_warnings():
            # Files of Python 2 are told of; a damaged one may look like it.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", SyntaxWarning)
            loaded = load_or_refuse(path)
        if isinstance(loaded, np.ndarray):
            np.asarray(loaded).tobytes()
        elif loaded is not None:
            for name in loaded:
                loaded[name].tobytes()
        del loaded
        assert onecopy.segments() == []

    check()


def test_an_offset_before_the_beginning_of_an_archive(tmp_path: Path) -> None:
    """The system's answer to such a seek is EINVAL, an error of the file and not of the disk."""
    path = tmp_path / "x.npz"
    whole = bytearray(contents("stored.npz"))
    end = whole.rindex(b"PK\x05\x06")  # the end of the central directory (APPNOTE 4.3.16)
    (offset,) = struct.unpack_from("<I", whole, end + 16)
    struct.pack_into("<I", whole, end + 16, offset + 1000)  # as if 1000 bytes before it were lost
    path.write_bytes(whole)
    with pytest.raises(BadFile, match=r"x\.npz"):
        onecopy.load(path)
    assert onecopy.segments() == []


HEADERS = {
    "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
    "negative twice": "{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -2)}",
    "huge": "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 16)}",
    "beyond the integers": "{'descr': '<f8', 'fortran_order': False, 'shape': (1<<99,)}",
    "huge and empty": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000000000, 0)}",
    "too many dimensions": "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)*99}",
    "66 dimensions": "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 66 + ")}",
    "no dtype": "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}",
    "dtype of another kind": "{'descr': [1, 2], 'fortran_order': False, 'shape': (1,)}",
    "code": "__import__('os').abort()",
    "deep": "(" * 5000,
    "null": "\0" * 50,
    "strings that are pointers": "{'descr': '|T16', 'fortran_order': False, 'shape': (2,)}",
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_header_that_cannot_be(tmp_path: Path, name: str, version: int) -> None:
    header = HEADERS[name].encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(64))
    with pytest.raises(BadFile, match=r"x\.npy"):
        onecopy.load(path)


def test_unknown_version(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x09\x00" + bytes(100))
    with pytest.raises(BadFile, match=r"version \(9, 0\)"):
        onecopy.load(tmp_path / "x.npy")


def test_message_says_what_is_missing(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.arange(10.0))
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(BadFile, match=r"x\.npy' is cut short: \(10,\) of float64 .* 80 bytes.*75"):
        onecopy.load(path)


def test_member_that_claims_its_neighbours_bytes(tmp_path: Path) -> None:
    """Its header speaks of more than the member holds; the archive goes on behind it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (100,)}
    )
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(50))
        archive.writestr("secret.bin", b"s" * 1000)
    with pytest.raises(BadFile, match=r"a\.npy' is cut short"):
        onecopy.load(tmp_path / "x.npz")


def test_compressed_member_that_does_not_fit(tmp_path: Path) -> None:
    """Its size is written in the archive: it is looked at before a byte is inflated."""
    path = tmp_path / "x.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 32,)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header.getvalue())
    data = bytearray(path.read_bytes())
    # The size before compression, in the central directory (APPNOTE 4.3.12).
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)
    with pytest.raises((BadFile, NotEnoughMemory)):
        onecopy.load(path)
    assert onecopy.segments() == []
