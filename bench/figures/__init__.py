"""The figures, one file each. Each file has ``FIGURE`` and says how peers are set up."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..face import Figure

# In the order in which they are run and printed.
NAMES = (
    "file_to_sum",
    "peak_memory",
    "round_trip",
    "task_cpu",
    "submits",
    "map_singly",
    "pending",
    "many_workers",
    "many_descriptors",
    "quick_then_slow",
    "little_items",
    "observation",
    "tiny_items",
    "argument",
    "result",
    "share_cost",
    "shared_argument",
    "shared_bytes",
    "types",
    "types_memory",
    "objects",
    "objects_growth",
    "object_access",
    "shared_dict",
    "dict_build",
    "dict_memory",
    "parquet",
    "csv",
    "small_arrays",
    "log_records",
    "ready",
    "import_time",
    "import_modules",
    "cluster_many",
    "cluster_call",
    "cluster_tasks",
    "cluster_noops",
    "cluster_memory",
    "cluster_bytes",
    "cluster_little",
    "cluster_broadcast",
    "cluster_processor",
    "cluster_file",
    "cluster_results",
)


def figure(name: str) -> Figure:
    """The figure of that name; its peers are imported now, not before."""
    found: Figure = import_module(f".{name}", __name__).FIGURE
    return found
