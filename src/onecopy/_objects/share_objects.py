"""The form in which ``share`` puts a plain Python object into shared memory.

A list of a million dicts becomes one structure. But a dict of three frames, or a tuple of an array
and a name, is best kept, with its arrays shared: only its parts are large. So a container of few
parts is kept if a part of it can be shared by itself, and every such part is treated in the same
way. All other containers become structures.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from typing import Any

from .._codec.adapters import is_array_like
from .._codec.codec import encode as pickled
from .building import Shared, encode
from .index import build
from .mappings import SharedDict, SharedSet
from .sequences import SharedList, text_of

_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_CONTAINERS = (list, tuple, set, frozenset, *_MAPPINGS)
FEW = 256
LONG = 64 << 10  # characters or bytes; shorter text is sent as it is
_TEXT = (str, bytes, bytearray)
_SMALL = (int, float, complex, bool, type(None))


def structured(obj: Any) -> Any:
    """Return ``obj`` with every container and text that is worth it in a form that can be shared;
    the same object if there is none. Raises NotPicklable."""
    kind = type(obj)
    if kind is str:
        return text_of(obj) if len(obj) > LONG else obj
    if kind not in _CONTAINERS:
        return obj
    if len(obj) <= FEW and _has_parts(obj):
        return _by_part(obj)
    try:
        return _structure(obj)
    except Shared:
        return obj


def _structure(obj: Any) -> Any:
    if isinstance(obj, list | tuple):
        return SharedList(encode(obj))
    if isinstance(obj, _MAPPINGS):
        made = build(obj.keys()), encode(obj.keys()), encode(obj.values())
        return SharedDict(*made, _missing(obj))
    elements = dict.fromkeys(obj).keys()  # in one order for all iterations
    return SharedSet(build(elements), encode(elements))


def _missing(obj: Any) -> Any:
    """Return the function that makes the value of a missing key; None: there is no such value."""
    if isinstance(obj, Counter):
        return int
    return obj.default_factory if isinstance(obj, defaultdict) else None


def _has_parts(obj: Any, depth: int = 0) -> bool:
    """Return True if something in a container of few parts is shared by itself. For objects of a
    class that is not known to hold buffers, the first one decides."""
    seen: set[type] = set()
    for value in obj.values() if isinstance(obj, _MAPPINGS) else obj:
        kind: Any = type(value)
        if kind in _SMALL:
            continue
        if kind in _TEXT or kind in _CONTAINERS:
            if _is_part(value, depth):
                return True
        elif kind not in seen:
            seen.add(kind)
            if _holds_buffers(value):
                return True
    return False


def _is_part(value: Any, depth: int) -> bool:
    """Return True for a text or container that is shared by itself, wherever it is."""
    kind: Any = type(value)
    if kind in _TEXT:
        return len(value) > LONG
    if kind in _CONTAINERS:
        return len(value) > FEW or (depth < 4 and _has_parts(value, depth + 1))
    return False


def _holds_buffers(value: Any) -> bool:
    if is_array_like(type(value)):
        return True
    encoded = pickled(value)
    return encoded.plan is not None or encoded.has_small


def _by_part(obj: Any) -> Any:
    """Return the container with each part treated by itself; the same object if no part changes."""
    if isinstance(obj, set | frozenset):
        return obj  # an element cannot become one that equals nothing else
    values = list(obj.values() if isinstance(obj, _MAPPINGS) else obj)
    # Short lists of names and the like stay lists: the code that gets them may require it.
    made = [structured(value) if _is_part(value, 0) else value for value in values]
    if all(new is old for new, old in zip(made, values, strict=True)):
        return obj
    if isinstance(obj, _MAPPINGS):
        same = obj.copy()  # a defaultdict keeps its default factory
        same.update(dict(zip(obj, made, strict=True)))
        return same
    return type(obj)(made)
