"""Arrow's strings, joined a column at a time; needs pyarrow."""

from __future__ import annotations

from typing import Any

from ..load.interface import library


def joined(*parts: Any) -> Any:
    """Join strings row by row, with the last one as separator."""
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    large = [
        pa.scalar(each, pa.large_string()) if isinstance(each, str) else each for each in parts
    ]
    return pc.binary_join_element_wise(*large)
