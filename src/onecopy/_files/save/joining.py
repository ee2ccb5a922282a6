"""Arrow's strings put together, a column at a time; needs pyarrow."""

from __future__ import annotations

from typing import Any

from ..load.interface import library


def joined(*parts: Any) -> Any:
    """Strings put together row by row, the last of them between the others."""
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    large = [
        pa.scalar(each, pa.large_string()) if isinstance(each, str) else each for each in parts
    ]
    return pc.binary_join_element_wise(*large)
