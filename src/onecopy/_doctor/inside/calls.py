"""Calls in the messages of pools: the function and items of a task, and its error.

Pools' protocols carry numbers (``Pool``: ``(job, i, func, args, kwds)`` and ``(job, i, (ok, value))``;
executors: ``_CallItem`` and ``_ResultItem``), so nothing has to be added to a message to follow it.
"""

from __future__ import annotations

from types import FunctionType

from . import ring
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STARS = ("mapstar", "starmapstar")
_WRAPPING = (*_STARS, "_process_chunk")

types: dict[Any, int] = {}
"""The types of executors' messages: TASK or RESULT."""

_job: int | None = None
_title = 0
_codes: dict[int, tuple[Any, int]] = {}
"""The names of functions of one call, by their code, which is kept for its identity to stay its own."""


def _forget() -> None:
    global _job
    _job = None
    _codes.clear()


ring.on_fork.append(_forget)


def call_of(func: Any, args: Any) -> tuple[str, int]:
    """The name of the user's function of a call, and for how many items it is called."""
    items = 1
    try:
        told = getattr(func, "__name__", "")
        if told in _STARS:
            func, batch = args[0]
            items = len(batch)
        elif type(func).__name__ == "partial" and func.func.__name__ == "_process_chunk":
            func, items = func.args[0], len(args[0])
        elif told == "_process_chunk":
            func, items = args[0], len(args[1])
        elif type(func).__name__ == "BatchedCalls":
            items = len(func.items)
            func = func.items[0][0]
        while type(func).__name__ == "partial":
            func = func.func
    except Exception:
        pass  # a call of a shape that is not known is one call
    return str(getattr(func, "__qualname__", None) or type(func).__name__), items


@guarded
def note_error(error: Any, t0: int) -> None:
    """A task has raised: count it by its error's type, and the name that was not found."""
    if ring.worker:
        error = getattr(error, "exc", error)  # both pools wrap it to keep its traceback
        kind = type(error)
        name = (error.name or "") if kind is NameError else ""
        ring.count("error\t%s\t%s" % (kind.__name__, name))  # noqa: UP031


def names_itself(func: Any) -> bool:
    """Return True if a call of ``func`` is named by it alone, and is for one item."""
    return type(func) is FunctionType and func.__name__ not in _WRAPPING


def call_number(call: int, of_pool: bool, func: Any, args: Any) -> int:
    global _job, _title
    if type(func) is FunctionType:
        known = _codes.get(id(func.__code__))
        if known is not None:
            return known[1]
    if of_pool and call == _job:
        items = len(args[0][1]) if getattr(func, "__name__", "") in _STARS else 1
        return _title | items << 32
    told, items = call_of(func, args)
    title = ring.name(told)
    _job, _title = call, title
    if names_itself(func) and len(_codes) < 1000:
        _codes[id(func.__code__)] = func.__code__, title | 1 << 32
    return title | items << 32
