"""What becomes of a plain Python object that is given to ``share``.

A list of a million dicts becomes one structure. But a dict of three frames, or a tuple of an
array and a name, is best left what it is, with its arrays shared: its parts are what is
large. So a container of few parts stays when a part of it can be shared by itself, and every
such part is treated in the same way; all other containers become structures.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from typing import Any

from .._codec.codec import encode as pickled
from .building import Shared, encode
from .index import build
from .mappings import SharedDict, SharedSet
from .sequences import SharedList, text_of

_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_CONTAINERS = (list, tuple, set, frozenset, *_MAPPINGS)
FEW = 256
LONG = 64 << 10  # characters or bytes; shorter text is as well sent as it is
_SMALL = (int, float, complex, bool, type(None))


def structured(obj: Any) -> Any:
    """``obj`` with every container and text that is worth it in a form that can be shared;
    the same object when nothing is. Raises NotPicklable."""
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
        return SharedDict(build(obj.keys()), encode(obj.keys()), encode(obj.values()))
    elements = dict.fromkeys(obj).keys()  # in one order, however often they are gone over
    return SharedSet(build(elements), encode(elements))


def _has_parts(obj: Any, depth: int = 0) -> bool:
    """Is there something in a container of few parts that is shared by itself?"""
    values = obj.values() if isinstance(obj, _MAPPINGS) else obj
    return any(_is_part(value, depth) for value in values)


def _is_part(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _SMALL:
        return False
    if kind in (str, bytes, bytearray):
        return len(value) > LONG
    if kind in _CONTAINERS:
        return len(value) > FEW or (depth < 4 and _has_parts(value, depth + 1))
    encoded = pickled(value)
    return encoded.plan is not None or encoded.has_small


def _by_part(obj: Any) -> Any:
    """The same container with each part treated by itself; itself when no part changes."""
    if isinstance(obj, set | frozenset):
        return obj  # an element cannot become one that equals nothing else
    values = list(obj.values() if isinstance(obj, _MAPPINGS) else obj)
    # Short lists of names and the like stay lists: what they are passed to may insist.
    made = [structured(value) if _is_part(value, 0) else value for value in values]
    if all(new is old for new, old in zip(made, values, strict=True)):
        return obj
    if isinstance(obj, _MAPPINGS):
        same = obj.copy()  # a defaultdict keeps what makes its values
        same.update(dict(zip(obj, made, strict=True)))
        return same
    return type(obj)(made)
