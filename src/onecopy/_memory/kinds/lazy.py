from __future__ import annotations

import pickle
from typing import Any

import polars as pl


def reduce(frame: Any, buffers: Any) -> Any:
    return _build, (pickle.PickleBuffer(frame.serialize()),)


def _build(plan: Any) -> Any:
    import io
    return pl.LazyFrame.deserialize(io.BytesIO(plan))
