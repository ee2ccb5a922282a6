"""Files that appear whole: what is replaced by them, and what is written to instead."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from onecopy._system.atomic_file import appearing


def write(out: Path, text: str) -> None:
    with appearing(out) as draft:
        assert Path(draft).name == out.name
        Path(draft).write_text(text)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "x.txt"
    for text in ("one", "two"):
        write(out, text)
        assert out.read_text() == text
    with pytest.raises(ZeroDivisionError), appearing(out):
        raise ZeroDivisionError
    assert out.read_text() == "two"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_directory_is_not(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), appearing(tmp_path):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_the_file_behind_it_is_replaced(tmp_path: Path, there: bool) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "y.txt", tmp_path / "x.txt"
    if there:
        real.write_text("before")
    link.symlink_to(real)
    write(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert os.listdir(tmp_path / "real") == ["y.txt"]


@pytest.mark.parametrize("linked", [True, False])
def test_a_pipe_gets_the_bytes_and_stays(tmp_path: Path, linked: bool) -> None:
    """So does a device: as root, /dev/null or /dev/stdout would be a plain file afterwards."""
    pipe, out = tmp_path / "pipe", tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        out = tmp_path / "link"
        out.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(out, "all")
        assert os.read(reader, 100) == b"all"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert out.is_symlink() == linked
