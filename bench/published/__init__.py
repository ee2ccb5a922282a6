"""Benchmarks that others have published, with the peers that they are about.

``make bench-published`` runs them; the sizes are as published with ``--full``, and smaller
otherwise. Each is written again from its description, with credit in its file, which also says
what was wrong with the original and is put right here: all peers do the same work, and none is
kept from what its own documents advise (``peers``). The bar is the same everywhere: ahead of the
best of them in the same run. Ray is a peer when ``onecopy[ray]`` is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..face import Figure

# In the order in which they are run and printed.
NAMES = (
    "image_filters",
    "prefix_counts",
    "image_filters_cold",
    "prefix_counts_cold",
    "heavy_start",
    "small_maps",
    "complex_roots",
    "one_array",
    "messages",
)


def figure(name: str) -> Figure:
    """The figure of that name."""
    found: Figure = import_module(f".{name}", __name__).FIGURE
    return found
