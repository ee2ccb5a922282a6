"""Applies a function to the payload of a task: one call, or each item of a chunk.

Shared by worker processes and worker threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import wire
from .strides import Strides

Errors = dict[int, tuple[BaseException, Any]]
"""Index of the failed item: its exception and its argument."""


def run_chunk(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    ends: tuple[type[BaseException], ...] = (SystemExit,),
    strides: Strides | None = None,
) -> tuple[list[Any], Errors]:
    """Call ``function`` with each item. An item that fails does not keep the others from running,
    unless it raises one of ``ends``.

    ``strides`` decides which items to start, and where to end.

    ``list.extend`` runs the loop in C, and keeps what it has appended when the function raises, so
    the failing item is the one after it.
    """
    if strides is None and len(items) == 1:
        return _run_one(function, items[0], ends)
    values: list[Any] = []
    errors: Errors = {}
    for iterator in [iter(items)] if strides is None else strides:
        while len(values) < (len(items) if strides is None else strides.upto):
            at = -1
            try:
                values.extend(map(function, iterator))
                if len(values) < (len(items) if strides is None else strides.upto):
                    # map() took a StopIteration of the function for its own end.
                    raise RuntimeError("the function raised StopIteration")
            except ends:
                raise
            except BaseException as error:
                at = len(values)
                errors[at] = (error, items[at])
                values.append(None)
    try:
        return values, errors
    finally:
        del errors  # their tracebacks lead to this frame: no cycle


def _run_one(
    function: Callable[[Any], Any], item: Any, ends: tuple[type[BaseException], ...]
) -> tuple[list[Any], Errors]:
    """The same for a chunk of one item, which is the most common one."""
    try:
        return [function(item)], {}
    except ends:
        raise
    except StopIteration:
        return [None], {0: (RuntimeError("the function raised StopIteration"), item)}
    except BaseException as error:
        return [None], {0: (error, item)}


def star(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Wrap ``function`` to take one tuple of arguments."""

    def call(arguments: Any) -> Any:
        return function(*arguments)

    return call


def blocks_of(payload: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Cut the rows of a task's payload into blocks.

    Args:
        payload: (rows per block, axis, array, array...), the arrays of equal length. Of blocks of
            unequal lengths a tuple says where each ends.
    """
    rows, axis, *arrays = payload
    if isinstance(rows, tuple):
        bounds: Iterable[tuple[int, int]] = zip((0, *rows), rows, strict=False)
    else:
        length = length_of(arrays[0], axis)
        bounds = ((at, min(at + rows, length)) for at in range(0, length, rows))
    return [tuple(cut(array, start, stop, axis) for array in arrays) for start, stop in bounds]


def length_of(data: Any, axis: int) -> int:
    """Return the length of ``data`` along ``axis``."""
    return int(data.shape[axis]) if hasattr(data, "shape") else len(data)


def cut(data: Any, start: int, stop: int, axis: int) -> Any:
    """Return a slice of ``data`` along ``axis``; rows of a frame by position."""
    if axis == 0:
        return data.iloc[start:stop] if hasattr(data, "iloc") else data[start:stop]
    if hasattr(data, "iloc"):
        return data.iloc[:, start:stop]
    return data[(slice(None),) * axis + (slice(start, stop),)]


def items_of(call_kind: int, payload: Any) -> Sequence[Any]:
    """Return the items of a chunk."""
    return blocks_of(payload) if call_kind == wire.BLOCKS else payload


def function_for(call_kind: int, function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return the function to call with each item of a chunk."""
    return function if call_kind == wire.MAP else star(function)
