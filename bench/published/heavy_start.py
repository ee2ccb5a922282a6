"""B6. Sybren Jansen's ``multiprocessing_benchmarks``, 3 (github.com/sybrenjansen).

A model that takes a while to load, then 50 rounds of 10 evaluations; start and end of the pool
included. The model is a pickle of 500 MB (50 MB in a small run) instead of TensorFlow's, which
would take its own threads into the figures. Put right: the original gives ``multiprocessing``'s
task one tuple where it wants two arguments, and has it load the model again for each evaluation;
here each worker of every peer loads it once, when it is first asked.
"""

from __future__ import annotations

import pickle
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..face import MB, Bar, Contender, Figure, Size
from . import peers
from .peers import Mapper

EVALUATIONS = 10


def _file(size: Size) -> Path:
    """The model, written once and kept."""
    nbytes = (500 if size.full else 50) * MB
    path = size.directory / f"model-{nbytes // MB}.pickle"
    if not path.exists():
        size.directory.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(1)
        layers = [random.random((784, 10)), random.random(nbytes // 8)]
        part = path.with_suffix(".part")
        part.write_bytes(pickle.dumps({"layers": layers, "batch": random.random((2000, 784))}))
        part.rename(path)
    return path


@cache
def _model(path: str) -> Any:
    """A worker's."""
    return pickle.loads(Path(path).read_bytes())


def evaluated(path: str, number: int) -> np.ndarray:
    """The task."""
    model = _model(path)
    found: np.ndarray = model["batch"] @ model["layers"][0] + number
    return found


def contenders(size: Size) -> list[Contender]:
    runs = 50 if size.full else 10

    def work(mapper: Mapper) -> None:
        task = partial(evaluated, str(_file(size)))
        for _ in range(runs):
            assert len(mapper.singly(task, range(EVALUATIONS))) == EVALUATIONS

    return peers.cold(work, peers.workers(), prepare=lambda: _file(size))


def bars(_: Size) -> list[Bar]:
    return peers.ahead("a model loaded, then many small rounds, start and end included")


FIGURE = Figure(
    "heavy_start",
    "B6, Jansen: each worker loads a model, then many rounds; seconds, start and end included",
    contenders,
    bars,
    rounds=3,
)
