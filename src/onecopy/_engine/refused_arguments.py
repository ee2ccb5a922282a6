"""Arguments of other libraries, and arguments that only look right: each is refused with the
correct form. No argument is ever ignored.

Used by the pool, its calls and the executor; each lists the arguments for which it has a hint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, cast

from ..errors import kind_of

_HOW_MANY = (
    "n_jobs",
    "njobs",
    "n_workers",
    "num_workers",
    "num_processes",
    "n_processes",
    "nprocs",
)
_METHODS = ("start_method", "mp_start_method")
_CHUNKS = ("chunk_size", "batch_size", "chunk", "chunks")

POOL = {
    **dict.fromkeys((*_HOW_MANY, "max_workers"), "give the number of workers as workers="),
    **dict.fromkeys((*_METHODS, "mp_context"), "give the start method as method= or context="),
    "max_tasks_per_child": "write maxtasksperchild=",
    "timeout": "write pool.options(timeout=...).map(...)",
    "chunksize": "give it to map and similar calls",
}
EXECUTOR = {
    **dict.fromkeys(
        (*_HOW_MANY, "workers", "processes"), "give the number of workers as max_workers="
    ),
    **dict.fromkeys(
        (*_METHODS, "method", "context"),
        "mp_context= takes the name of a start method, or a context",
    ),
    "maxtasksperchild": "write max_tasks_per_child=",
    "timeout": "give it to map, or to the future's result",
    "chunksize": "give it to map",
    **dict.fromkeys(("preload", "spans"), "a Pool has it"),
}
CALL = {
    **dict.fromkeys(
        (*_HOW_MANY, "max_workers"), "give the number of workers to the Pool, as workers="
    ),
    **dict.fromkeys(_CHUNKS, "write chunksize="),
    **dict.fromkeys(("callback", "error_callback"), "map_async takes callbacks"),
    "timeout": (
        "write pool.options(timeout=...).{name}(...), which ends each task that takes longer, or "
        "{waits}"
    ),
}
_WAITS = {
    "map": "map(..., timeout=...)",
    "starmap": "starmap(..., timeout=...)",
    "imap": "the iterator's next(timeout), which waits no longer",
    "imap_unordered": "the iterator's next(timeout), which waits no longer",
}


def refuse(call: str, others: Mapping[str, object], cures: Mapping[str, str]) -> None:
    """Raise TypeError for the first of ``others``, if there is one."""
    for name in others:
        if name in cures:
            raise TypeError(f"{call}() takes no {name!r}: {cures[name]}")
        raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")


def refuse_more(
    name: str, chunk: object, more: tuple[object, ...], others: Mapping[str, object]
) -> None:
    """Raise TypeError for arguments that a call of many items of one iterable does not accept.

    Args:
        name: the name of the call.
        chunk: the argument in the chunk size's position.
    """
    if more or not (chunk is None or isinstance(chunk, Integral)):
        raise TypeError(
            f"{name}() takes one iterable, and then the chunksize, a whole number: for several "
            f"arguments write {name}(func, zip(a, b))"
        )
    _refuse_others(name, others)


def several(
    name: str,
    chunksize: int | None,
    first: Any,
    more: tuple[Any, ...],
    others: Mapping[str, object],
) -> tuple[int | None, tuple[Any, ...]]:
    """Return the chunk size and the iterables of a call of many items. A single integer after one
    iterable is the chunk size. Raises TypeError."""
    _refuse_others(name, others)
    if len(more) == 1 and (more[0] is None or isinstance(more[0], Integral)):
        if chunksize is not None:
            raise TypeError(f"{name}() got the chunksize twice")
        return cast("int | None", more[0]), (first,)
    for each in more:
        if not isinstance(each, Iterable):
            raise TypeError(
                f"{name}() takes iterables, and the chunksize by name: chunksize=..., not {each!r}"
            )
    return chunksize, (first, *more)


def _refuse_others(name: str, others: Mapping[str, object]) -> None:
    if others:
        cure = CALL["timeout"].format(name=name, waits=_WAITS[name])
        refuse(name, others, {**CALL, "timeout": cure})


def arguments(name: str, args: object, kwargs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that ``apply`` passes to the function. Raises TypeError if they were not
    passed as a tuple and a dict."""
    if type(args) is tuple and kwargs is None:
        return args, {}
    if not isinstance(args, Iterable) or not isinstance(kwargs, Mapping | None):
        raise TypeError(
            f"{name}() takes the arguments as one tuple, and those with names as one dict: "
            f"write {name}(func, (a, b), {{'name': c}}), or submit(func, a, b, name=c)"
        )
    return tuple(args), dict(kwargs or {})


def taken(func: Callable[..., Any], iterable: Iterable[Any], chunk: int | None) -> Any:
    """Return all items in something that can be sliced."""
    check_callable(func)
    check_chunk(chunk)
    return iterable if _can_be_cut(iterable) else list(iterable)


def _can_be_cut(items: Any) -> bool:
    """Return True if chunks can be taken by slicing, without consuming it."""
    if isinstance(items, list | tuple | range):
        return True
    if hasattr(items, "iloc"):
        return False  # before pandas 3, a slice of a Series with a float index is one of labels
    return hasattr(items, "dtype") and hasattr(items, "shape") and len(items.shape) > 0


def check_callable(func: Any) -> None:
    if not callable(func):
        raise TypeError(f"the function must be callable, not {kind_of(func)}")


def check_chunk(chunk: int | None) -> None:
    if not isinstance(chunk, Integral | None):
        raise TypeError(f"chunksize is a whole number, not {kind_of(chunk)}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"a chunk has at least 1 item, not {chunk}")


def check_timeout(timeout: float | None) -> None:
    if timeout is not None and not (isinstance(timeout, Real) and timeout > 0):
        raise ValueError(f"timeout is a number of seconds above 0, not {timeout!r}")
