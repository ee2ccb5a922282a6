"""The heavy part of a message: it is looked for only in those of 200 kB and more.

No code of the user's is run for it: sizes come from exact types of the standard library, from
NumPy's arrays, and from the classes of well-known libraries. Instances of the user's classes are
looked into by their ``__dict__`` alone.
"""

from __future__ import annotations

import sys

from . import ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class Weight(NamedTuple):
        """See ``weigh``."""

        size: int
        kind: str
        root: int
        start: int
        whole: int
        digest: int = 0
        name: str = ""
        owner: str = ""
else:
    from collections import namedtuple

    Weight = namedtuple(
        "Weight", "size kind root start whole digest name owner", defaults=(0, "", "")
    )

# What libraries wrap may be anything, and refer to itself.
_WIDE, _MOST = 20, 1000
_SAMPLE = 1024

named: dict[int, str] = {}
"""The variables, and attributes of objects that variables hold, by the identity of their values
(see ``sites.variables``)."""
ring.on_fork.append(named.clear)
_PLAIN = (bytes, bytearray, str)
_TRUSTED = ("pandas", "pyarrow", "polars", "torch", "scipy", "numpy", "xarray")
# What libraries wrap a call in; each is opened to see what is inside.
_WRAPPERS = ("func", "fn", "args", "kwargs", "keywords", "items", "result", "_func", "_args")


def _array_type() -> Any:
    numpy = sys.modules.get("numpy")
    return getattr(numpy, "ndarray", ()) if numpy is not None else ()


def size_of(value: Any) -> int:
    """Bytes of a value, roughly and quickly; 0 for what is not known."""
    kind = type(value)
    if kind in _PLAIN:
        return len(value)
    array = _array_type()
    if array and issubclass(kind, array):
        return int(array.nbytes.__get__(value))
    if kind in (list, tuple):
        return 8 * len(value) + (_each(value[0]) * len(value) if value else 0)
    if kind in (dict, set, frozenset):
        return 60 * len(value)
    if (kind.__module__ or "").partition(".")[0] in _TRUSTED:
        return _of_library(value)
    return 0


def _each(value: Any) -> int:
    """Bytes of an element of a large sequence, without what it refers to."""
    return sys.getsizeof(value) if type(value) in (int, float, str, bytes, tuple, dict) else 50


def _of_library(value: Any) -> int:
    size = getattr(value, "nbytes", None)
    if type(size) is int:
        return size
    usage = getattr(value, "memory_usage", None)
    if usage is not None:
        return int(usage(index=False).sum())
    return 0


def weigh(value: Any) -> Weight:
    """The heaviest thing inside a message: its bytes, its type, the identity of what it is a part
    of, the address of its data, the bytes of the whole that it is a part of, and a checksum of some
    of its bytes (0: not known); the variable that holds it, if a place has noted one
    (``sites.variables``); and the class of the object whose method is called.

    What is near is looked at first: arguments, before what a wrapped function may refer to.
    """
    best = Weight(0, type(value).__name__, 0, 0, 0)
    near: Any = [(value, "", "")]
    for _ in range(_MOST):
        if not near:
            break
        each, name, owner = near.pop(0)
        name = named.get(id(each), name)
        found = _leaf(each)
        if found is None:
            more, of = _parts(each)
            near += [(part, name, of or owner) for part in more]
        elif found.size > best.size:
            best = found._replace(name=found.name or name, owner=owner)
    return best


def _leaf(value: Any) -> Weight | None:
    """The weight of what is not looked into; None of others."""
    kind = type(value)
    array = _array_type()
    if array and issubclass(kind, array):
        return _of_array(value, array)
    size, told, digest = 0, kind.__name__, 0
    if kind in _PLAIN:
        size = len(value)
    elif kind in (list, tuple, dict) and len(value) > 1000:
        size, first = size_of(value), next(iter(value))
        told = "%s of %d %s" % (told, len(value), type(first).__name__)  # noqa: UP031
    elif (kind.__module__ or "").partition(".")[0] in _TRUSTED:
        size, digest = _of_library(value), _sample_of_frame(value)
    else:
        return None
    return Weight(size, told, id(value), id(value), size, digest)


def _of_array(value: Any, array: Any) -> Weight:
    size = int(array.nbytes.__get__(value))
    root = value
    while issubclass(type(array.base.__get__(root)), array):
        root = array.base.__get__(root)
    start = int(array.__array_interface__.__get__(value)["data"][0])
    whole = int(array.nbytes.__get__(root))
    name = named.get(id(value)) or named.get(id(root), "")
    kind = type(value).__name__
    return Weight(size, kind, id(root), start, whole, sample(value), name)


def sample(array: Any) -> int:
    """A checksum of an array's first, middle and last bytes: where memory is used again, another
    array has the same address."""
    import zlib

    try:
        view = memoryview(array).cast("B")
    except (TypeError, ValueError, BufferError):
        return 0  # not in one piece, or of a type that has no bytes of its own
    with view:
        middle = len(view) // 2
        parts = view[:_SAMPLE], view[middle : middle + _SAMPLE], view[-_SAMPLE:]
        found = 0
        for part in parts:
            found = zlib.crc32(part, found)
    return found


def _sample_of_frame(value: Any) -> int:
    """That of a pandas frame's last column, or a series."""
    if type(value).__name__ not in ("DataFrame", "Series"):
        return 0
    try:
        column = value.iloc[:, -1] if value.ndim == 2 else value
        found = getattr(column, "array", None)
        return sample(getattr(found, "_ndarray", found))
    except Exception:
        return 0  # no columns, or another library's frame


def _parts(value: Any) -> tuple[Any, str]:
    """The things in a container, or an object, and the class of the object if it is a method's."""
    kind = type(value)
    if kind in (list, tuple):
        return value[:_WIDE], ""
    if kind is dict:
        return [value[key] for key in list(value)[:_WIDE]], ""
    if kind.__name__ in ("method", "builtin_function_or_method"):
        owner = value.__self__
        return ([], "") if type(owner).__name__ == "module" else ([owner], type(owner).__name__)
    if kind.__name__ == "function":
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [*cells, *(value.__defaults__ or ())], ""
    first = [value.args, value.keywords, value.func] if kind.__name__ == "partial" else []
    parts = attributes(value)
    known = [parts[name] for name in _WRAPPERS if name in parts]
    return [*first, *(known or list(parts.values())[:_WIDE])], ""


def attributes(value: Any) -> dict[str, Any]:
    """Its ``__dict__`` and its slots, past whatever its class makes of attributes."""
    found: dict[str, Any] = {}
    try:
        found.update(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        pass
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if type(member).__name__ == "member_descriptor":
                try:
                    found[name] = member.__get__(value)
                except AttributeError:
                    pass
    return found
