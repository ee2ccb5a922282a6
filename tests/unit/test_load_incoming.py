"""`load` of text in every encoding and compression."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from pathlib import Path

import pyarrow as pa
import pytest

import onecopy as oc
from onecopy._files.load import encodings
from onecopy.errors import BadFile
from tests.text import loaded, refused, said

TWO = {"a": [1], "b": [2]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "name,city\nJosé,Köln\n"),
        ("cp1252", "name\n“Zoë”\n"),
        ("utf-16", "name,city\nJosé,Köln\n"),
        ("utf-16-le", "name,city\nJosé,Köln\n"),
        ("utf-16-be", "name,city\nJosé,Köln\n"),
        ("utf-32", "name,city\nJosé,Köln\n"),
        ("cp1251", "имя,город\nИгорь,Челябинск\nЖанна,Ярославль\n"),  # noqa: RUF001
        ("cp1250", "imie,miasto\nŁukasz,Łódź\nŻaneta,Gdańsk\nZażółć gęślą jaźń,x\n"),
        ("shift_jis", "名前,都市\n太郎,東京\n花子,大阪\n次郎,名古屋\n"),
    ],
)
def test_encodings_are_found(path: Path, encoding: str, text: str) -> None:
    (want, *_) = csv.reader(io.StringIO(text))
    got = said(path, text.encode(encoding), "read as text of .*encoding= names another")
    assert list(got) == want
    assert [*map(list, zip(*got.values(), strict=True))] == [*csv.reader(io.StringIO(text))][1:]
    assert loaded(path, text.encode(encoding), encoding=encoding) == got


def test_a_value_that_is_a_nul_is_no_other_encoding(path: Path) -> None:
    for rows in (["\0"], ["\0"] * 99, ["\0", "x"]):
        text = "a,b\n" + "".join(f"1,{value}\n" for value in rows)
        assert loaded(path, text) == {"a": [1] * len(rows), "b": rows}
    assert encodings.found(b"a\0b", whole=True) == "utf-8"
    for encoding in ("utf-16-le", "utf-16-be"):  # other letters than Western ones
        text = "имя,город\nИгорь,Жанна\n1,2\n"  # noqa: RUF001
        assert encodings.found(text.encode(encoding), whole=True) == encoding


def test_marks_at_the_beginning_of_text(path: Path) -> None:
    assert loaded(path, "\ufeffa,b\n1,2\n") == TWO
    assert loaded(path, "\ufeffa,b\n1,2\n", encoding="utf-8-sig") == TWO
    assert loaded(path, "a,b\n1,2\n", encoding="utf-8-sig") == TWO


def test_an_accent_behind_the_first_megabyte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 300_000
    text = "a,s\n" + "1,plain\n" * rows + "2,Düsseldorf\n"
    got = said(path, text.encode("cp1252"), "text of cp1252")
    assert (len(got["s"]), got["s"][-1]) == (rows + 1, "Düsseldorf")
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 16)
    assert said(path, text.encode("cp1252"), "text of cp1252") == got
    assert "not text of utf-8" in refused(path, text.encode("cp1252"), encoding="utf-8")


def test_text_of_another_encoding_than_was_said(path: Path) -> None:
    assert "not text of ascii, at about byte 4" in refused(path, "a,b\né,1\n", encoding="ascii")
    with pytest.raises(ValueError, match="Python knows no such"):
        loaded(path, "a\n1\n", encoding="nonsense")


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".lz4", ".CSV", ".csv"])
def test_compressed_by_any_name(tmp_path: Path, suffix: str, parts: int) -> None:
    for how in ("gz", "bz2", "xz", "zst", "lz4"):
        if suffix.lower() not in (f".{how}", ".csv"):
            continue
        text = [b"a,b\n", b"1,2\n", b""] if parts == 3 else [b"a,b\n1,2\n"]
        path = tmp_path / f"{how}.CSV{suffix}"
        path.write_bytes(b"".join(_compressed(how, part) for part in text))
        assert oc.load(path).to_pydict() == TWO
        path.write_bytes(_compressed(how, b"a,b\n" + b"1,2\n" * 5000)[:-9])
        with pytest.raises(BadFile, match="not a whole CSV file"):
            oc.load(path)
    plain = tmp_path / "plain.csv.gz"
    plain.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(BadFile, match="not compressed by gzip, as its name says"):
        oc.load(plain)


def _compressed(how: str, data: bytes) -> bytes:
    if how == "gz":
        return gzip.compress(data)
    if how == "bz2":
        return bz2.compress(data)
    if how == "xz":
        return lzma.compress(data)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, {"zst": "zstd"}.get(how, how)) as stream:
        stream.write(data)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def test_other_formats_that_are_called_csv(path: Path) -> None:
    assert "is no text: it begins with b'PK" in refused(path, b"PK\3\4" + bytes(100))


def test_guesses_need_letters() -> None:
    assert encodings.found(b"a,b\n1,\xe9\n", True) == "cp1252"
    # A character that is cut in two at the end of the sample is no other encoding.
    assert encodings.found("a,é".encode()[:-1], False) == "utf-8"
    assert encodings.found("a,é".encode()[:-1], True) == "cp1252"
