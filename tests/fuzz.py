"""Damaged files through every reader: ``python -m tests.fuzz``, or ``make fuzz``.

Small whole files of every format are cut short and changed: bits, bytes, runs of bytes, lengths
made huge. Each is loaded in a child process with little memory, and all its values are looked
at. It may come through as other values, for not every format has checksums, or be refused by
one of the library's own errors, in one line. Anything else is a fault: another exception, a
crash, a hang, a process that is out of memory. What is tried depends on the seed alone.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
# A reader that has not answered after this time, in seconds, hangs.
_PATIENCE = 20.0
# Until it has loaded every library and read every whole file, which a busy machine takes long for.
_START = 240.0
# What a child may have beside the interpreter and the libraries: each file is some kilobytes.
_MEMORY = 1 << 30
# A child that reads zarr slows down with every store.
_FILES_A_CHILD = 2000


@dataclass
class Result:
    """The outcomes of a run."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        return sum(self.outcomes.values())


# --- files ---------------------------------------------------------------------


def whole_files(folder: Path) -> list[Path]:
    """Writes small whole files of every format."""
    import numpy as np

    from tests import corpus, files

    for name, write in files.TABLES.items():
        write(folder / name, files.table(40))
    for name, write in files.ARRAYS.items():
        if name != "x.zarr":
            write(folder / name, np.arange(24.0).reshape(6, 4))
    for writer in ("arrow_files", "hdf5_files", "csv_module", "duckdb_files"):
        (folder / writer).mkdir()
        for made in corpus.WRITERS[writer](folder / writer):
            shutil.copy(made.path, folder / f"{writer}-{made.path.name}")
        shutil.rmtree(folder / writer)
    files.TABLES["x.parquet"](folder / "rich.parquet", corpus.rich())
    shutil.make_archive(str(folder / "zip"), "zip", _zarr(folder / "made.zarr"))
    shutil.rmtree(folder / "made.zarr")
    (folder / "zip.zip").rename(folder / "zip.zarr")
    return sorted(path for path in folder.iterdir() if path.is_file())


def _zarr(path: Path) -> Path:
    import numpy as np

    from tests import files

    files.ARRAYS["x.zarr"](path, np.arange(24.0).reshape(6, 4))
    return path


def mutated(whole: bytes, dice: random.Random) -> bytes:
    """A file with some damage."""
    data = bytearray(whole)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        _DAMAGES[dice.randrange(len(_DAMAGES))](data, dice)
    return bytes(data)


def _place(data: bytearray, dice: random.Random) -> int:
    """Somewhere, more often near the beginning and the end, where descriptions stand."""
    near = min(len(data), 400)
    at = dice.randrange(max(1, dice.choice((near, near, len(data)))))
    return at if dice.random() < 0.6 else max(0, len(data) - 1 - at)


def _bit(data: bytearray, dice: random.Random) -> None:
    if data:
        data[_place(data, dice)] ^= 1 << dice.randrange(8)


def _byte(data: bytearray, dice: random.Random) -> None:
    if data:
        data[_place(data, dice)] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[_place(data, dice) :]


def _lose(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    del data[at : at + dice.choice((1, 2, 8, 64))]


def _repeat(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    data[at:at] = data[at : at + dice.choice((1, 4, 64))] * dice.choice((1, 2, 200))


def _length(data: bytearray, dice: random.Random) -> None:
    """A number of four or eight bytes becomes an extreme one."""
    at, size = _place(data, dice), dice.choice((4, 8))
    value = dice.choice((b"\xff", b"\x7f", b"\0", b"\x80")) * size
    data[at : at + size] = value[: len(data) - at] if dice.random() < 0.9 else value


def _insert(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    texts = (b'"', b"\n", b",", b"null", b"[" * 300, b"{", b"\0" * 9, b"\xff\xfe", b"1e999", b"'\\")
    data[at:at] = dice.choice(texts)


_DAMAGES = (_bit, _bit, _byte, _cut, _lose, _repeat, _length, _insert)


def damaged(folder: Path, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents: each file cut at every byte of its head and its end, then at random."""
    # By another process: the libraries keep threads and pipes.
    command = [sys.executable, "-m", "tests.fuzz", "--originals", str(folder)]
    subprocess.run(command, cwd=_ROOT, check=True)
    originals = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    dice = random.Random(seed)
    given = 0
    for name, data in originals:
        lengths = {*range(min(160, len(data))), *range(max(0, len(data) - 120), len(data))}
        # At most half of what is tried: the rest of the damages find more.
        every = -(-len(lengths) * len(originals) * 2 // max(count, 1))
        for length in sorted(lengths)[::every]:
            yield name, data[:length]
            given += 1
    for _ in range(count - given):
        name, data = dice.choice(originals)
        yield name, mutated(data, dice)


# --- the child -----------------------------------------------------------------


def child() -> None:
    """Loads the files whose names come on standard input, and says what came of each."""
    import onecopy as oc

    _warm(oc)
    soft = resource.getrlimit(resource.RLIMIT_AS)[1]
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if _has_proc() else 0
    if pages:
        limit = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, soft))
    print("ready", flush=True)
    for count, line in enumerate(sys.stdin):
        if count % 100 == 0:
            gc.collect()
        print(outcome(oc, line.rstrip("\n")), flush=True)


def _has_proc() -> bool:
    return Path("/proc/self/statm").exists()


def _warm(oc: Any) -> None:
    """Every library is loaded, and its threads stand, before memory is limited."""
    with tempfile.TemporaryDirectory() as folder:
        for path in whole_files(Path(folder)):
            outcome(oc, str(path))


def outcome(oc: Any, path: str) -> str:
    """The outcome of a file, in one line: ``loaded``, ``refused``, ``too large`` (it claims more
    data than the limit of memory allows), or ``fault`` and why."""
    try:
        _looked_at(oc, path)
    except (oc.BadFile, oc.NotEnoughMemory) as error:
        said = str(error)
        if "\n" in said or not said.isprintable() or len(said) >= 2000:
            return f"fault: the message is {said[:200]!r}"
        return "too large" if isinstance(error, MemoryError) else "refused"
    except MemoryError:
        return "too large"  # while its values were looked at
    except BaseException as error:
        return f"fault: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "loaded"


def _looked_at(oc: Any, path: str) -> None:
    import numpy as np
    import pyarrow as pa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = oc.load(path)
        if isinstance(loaded, pa.Table):
            try:
                loaded.validate(full=True)
            except ValueError:
                return  # values of a mapped file, which ``load`` does not look at
            for column in loaded.columns:
                str(column[:20])
        elif isinstance(loaded, np.ndarray):
            loaded.tobytes()
        else:
            for array in loaded.values():
                array.tobytes()


# --- the parent ----------------------------------------------------------------


class Child:
    """A process that loads files, one after another."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.fuzz", "--child"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
        )
        self.files = 0
        if self._answer(_START) != "ready":
            raise RuntimeError("the child does not start: run python -m tests.fuzz --child")

    def load(self, path: Path) -> str:
        """The outcome of a file; the process is gone when that is a crash or a hang."""
        assert self._process.stdin is not None
        self.files += 1
        try:
            self._process.stdin.write(f"{path}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return f"fault: the process ended with {self._process.wait()}"
        return self._answer()

    def _answer(self, patience: float = _PATIENCE) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], patience)
        if not ready:
            return f"fault: no answer in {patience} seconds"
        line = self._process.stdout.readline().decode().strip()
        return line or f"fault: the process ended with {self._process.wait()}"

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was written has no reader any more
                    pipe.close()


def run(count: int, seed: int, keep: Path | None = None, say: bool = False) -> Result:
    """Tries ``count`` damaged files.

    Args:
        keep: where the files that make a fault are copied to.
        say: print how far it has come.
    """
    result = Result()
    began = time.monotonic()
    worker: Child | None = None
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        (Path(folder) / "whole").mkdir()
        try:
            for name, data in damaged(Path(folder) / "whole", seed, count):
                path = Path(folder) / name
                path.write_bytes(data)
                worker = worker or Child()
                found = worker.load(path)
                result.outcomes[found.partition(":")[0]] += 1
                if found.startswith("fault"):
                    result.faults.append(f"{name} ({result.files}): {found}")
                    if keep is not None:
                        shutil.copy(path, keep / f"{result.files}-{name}")
                if (
                    "process ended" in found
                    or "no answer" in found
                    or (worker.files >= _FILES_A_CHILD)
                ):
                    worker.close()
                    worker = None
                path.unlink()
                if say and result.files % 500 == 0:
                    seconds = time.monotonic() - began
                    print(
                        f"{result.files} files, {seconds:.0f} s, {dict(result.outcomes)}",
                        flush=True,
                    )
        finally:
            if worker is not None:
                worker.close()
    return result


def main() -> int:
    """Parses, runs, prints; the exit status says whether there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="how many are tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the files that make a fault")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--originals", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.originals is not None:
        whole_files(arguments.originals)
        return 0
    if arguments.child:
        child()
        return 0
    if arguments.keep is not None:
        os.makedirs(arguments.keep, exist_ok=True)
    result = run(arguments.files, arguments.seed, arguments.keep, say=True)
    for fault in result.faults:
        print(fault)
    print(f"{result.files} files tried with seed {arguments.seed}: {dict(result.outcomes)}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
