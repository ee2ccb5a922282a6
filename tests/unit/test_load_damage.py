"""Files that are cut short, damaged, empty or something else: one clear line, nothing kept.

What a format cannot know (a flipped bit in a value without a checksum) may come through as
another value; it must not come through as anything that ends the process or cannot be used.
"""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import onecopy as oc
from onecopy.errors import BadFile, LoadWarning, NotEnoughMemory
from tests import files
from tests.files import array_of

pytestmark = pytest.mark.usefixtures("zarr_ends")

WRITERS = {**files.TABLES, "x.h5": files.ARRAYS["x.h5"]}
SUFFIXES = [name for name in WRITERS if name not in ("stream.ipc", "x.jsonl", "x.tsv")]
# Text that ends with a whole line, or where one might end, is whole.
TEXT = {"x.csv": (b"",), "x.ndjson": (b"}", b"\n")}


@pytest.fixture(params=SUFFIXES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of each format in turn."""
    path = tmp_path / str(request.param)
    value: Any = files.table(200)
    WRITERS[request.param](path, value["b"].to_numpy() if path.suffix == ".h5" else value)
    return path


def refusal(path: Path) -> str:
    """The line by which a file is refused; empty when it is loaded."""
    try:
        with warnings.catch_warnings():
            # A bit that was flipped may make it text of another encoding.
            warnings.simplefilter("ignore", LoadWarning)
            loaded = oc.load(path)
    except (BadFile, NotEnoughMemory) as error:
        said = str(error)
    else:
        said = ""
        if isinstance(loaded, pa.Table):
            if _is_valid(loaded):
                assert len(loaded.to_pylist()) == loaded.num_rows
        else:
            array_of(loaded).tobytes()
    assert not said or (path.name in said and "\n" not in said)
    return said


def _is_valid(table: Any) -> bool:
    """Mapped values are not looked at by ``load``; this finds all that is wrong with them."""
    try:
        table.validate(full=True)
    except ValueError:
        return False
    return True


def test_every_truncation_is_refused(written: Path) -> None:
    whole = written.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        written.write_bytes(whole[:length])
        if not refusal(written):
            assert whole[:length].endswith(TEXT[written.name])
    assert oc.segments() == []


def test_any_damage_is_refused_or_harmless(written: Path) -> None:
    whole = written.read_bytes()
    dice = random.Random(written.name)
    refused = 0
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            # Descriptions are at the beginning and at the end.
            near = dice.choice([len(broken), min(300, len(broken))])
            at = dice.randrange(near)
            broken[at if dice.random() < 0.7 else -1 - at] = dice.randrange(256)
        written.write_bytes(broken)
        refused += bool(refusal(written))
    assert refused
    assert oc.segments() == []


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, b"ARROW1\0\0", b"PAR1", b"\0" * 5000])
def test_something_else(tmp_path: Path, content: bytes) -> None:
    for name in ("x.arrow", "x.feather", "x.parquet", "x.ndjson", "x.h5", "x.zarr"):
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path / name)
    for name in ("x.csv", "x.csv.gz"):
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path / name) or (name == "x.csv" and content)


def test_where_it_is_damaged_is_said(tmp_path: Path) -> None:
    files.TABLES["x.arrows"](tmp_path / "x.arrows", files.table())
    whole = (tmp_path / "x.arrows").read_bytes()
    (tmp_path / "x.arrows").write_bytes(whole[:-8])
    assert f"no end of the stream at byte {len(whole) - 8}" in refusal(tmp_path / "x.arrows")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3\n")
    assert "is row 2: it has 1 values, and there are 2 columns: '3'" in refusal(tmp_path / "x.csv")
    files.TABLES["x.parquet"](tmp_path / "x.parquet", files.table())
    broken = bytearray((tmp_path / "x.parquet").read_bytes())
    broken[60] ^= 0xFF  # in the first page
    (tmp_path / "x.parquet").write_bytes(broken)
    assert "CRC checksum" in refusal(tmp_path / "x.parquet")
    (tmp_path / "x.feather").write_bytes(b"FEA1" + bytes(100) + b"FEA1")
    assert "Feather's version 1" in refusal(tmp_path / "x.feather")


def test_a_zarr_store_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    files.ARRAYS["x.zarr"](path, files.table()["b"].to_numpy())
    parts = [part for part in path.rglob("*") if part.is_file()]
    assert len(parts) > 5
    for part in parts[:4]:
        whole = part.read_bytes()
        for content in (b"", whole[: len(whole) // 2], b"nonsense"):
            part.write_bytes(content)
            assert refusal(path)
        part.write_bytes(whole)
    assert refusal(path) == ""
    (tmp_path / "empty.zarr").mkdir()
    assert "is not a whole Zarr store" in refusal(tmp_path / "empty.zarr")
