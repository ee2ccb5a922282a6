"""flake8 with ``--jobs``: it makes a ``multiprocessing.Pool`` by itself, which is replaced by ours.

Its files are those of the standard library's ``email`` and ``json``, copied to a folder without
anybody's settings.
"""

import multiprocessing
import tempfile
from pathlib import Path

from flake8.main.cli import main as flake8

from ..ways import WORKERS, Way, run
from .files import copy_of


def main(way: Way) -> object:
    if way.ours:
        multiprocessing.Pool = way.pool  # type: ignore[method-assign]
    else:
        multiprocessing.set_start_method(way.name)
    with tempfile.TemporaryDirectory() as folder:
        paths = copy_of(folder, "email", "json")
        said = Path(folder) / "said"
        flake8(["--isolated", f"--jobs={WORKERS}", f"--output-file={said}", *paths])
        found = said.read_text().splitlines()
    assert found
    return sorted(line.removeprefix(f"{folder}/") for line in found)


if __name__ == "__main__":
    run(main)
