"""``onecopy.explain``: which parts of an object are shared, copied or pickled with each task, and
the cure for each.

An object is split as people think of it: a frame into its columns, a container of few elements into
these, an object of a user's class into its attributes. Each part is pickled as for a task, which
copies no buffer, and the result is examined.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._codec.adapters import reducer_of
from .._codec.codec import CUTOFF, encode
from ..errors import human_bytes, printable

# A container with more elements is one part.
_FEW = 256
_DEEP = 3
# The number of parts in a table; the most important ones come first.
_SHOWN = 40


@dataclass(frozen=True)
class ExplainedPart:
    """A part of an object, as described by ``explain``.

    Attributes:
        path: the expression for it: ``obj['name']``.
        kind: its type and dtype.
        how: ``"shared"``: passed by reference. ``"copied"``: its buffers are copied with each
            task. ``"pickled"``: it consists of Python objects, which are pickled with each task.
            ``"small"``: the same, but too small to matter.
        shared, copied, pickled: bytes of each kind.
        cure: the remedy; empty if none is needed.
    """

    __module__ = "onecopy"

    path: str
    kind: str
    how: str
    shared: int
    copied: int
    pickled: int
    cure: str


@dataclass(frozen=True, repr=False)
class Explanation:
    """The treatment of an object that is passed to a task.

    Attributes:
        kind: its type.
        parts: its parts, in their order.
    """

    __module__ = "onecopy"

    kind: str
    parts: tuple[ExplainedPart, ...]

    @property
    def shared(self) -> int:
        """Bytes that are passed by reference."""
        return sum(each.shared for each in self.parts)

    @property
    def copied(self) -> int:
        """Bytes that are copied with each task."""
        return sum(each.copied for each in self.parts)

    @property
    def pickled(self) -> int:
        """Bytes that are pickled with each task."""
        return sum(each.pickled for each in self.parts)

    def _sentence(self) -> str:
        moved = " and ".join(
            f"{human_bytes(count)} {how}"
            for how, count in (("copied", self.copied), ("pickled", self.pickled))
            if count
        )
        return (
            f"{self.kind}: {human_bytes(self.shared)} shared, {moved or 'nothing'} with each task"
        )

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        first = {"pickled": 0, "copied": 1, "shared": 2, "small": 3}
        shown = sorted(self.parts, key=lambda each: (first[each.how], -_size(each)))[:_SHOWN]
        return [
            (each.path, each.kind, each.how, human_bytes(_size(each)), each.cure) for each in shown
        ]

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max((len(row[at]) for row in rows), default=0) for at in range(4)]
        lines = [self._sentence()]
        for row in rows:
            path, kind, how, size, cure = row
            line = (
                f"  {path:<{widths[0]}}  {kind:<{widths[1]}}  {how:<{widths[2]}}  "
                f"{size:>{widths[3]}}  {cure}"
            )
            lines.append(line.rstrip())
        if len(self.parts) > len(rows):
            lines.append(f"  and {len(self.parts) - len(rows)} more parts")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        return f"<p>{html.escape(self._sentence())}</p><table>{rows}</table>"


def _size(part: ExplainedPart) -> int:
    return max(part.shared, part.copied, part.pickled)


def explain(obj: Any, name: str = "obj") -> Explanation:
    """See ``onecopy.explain``."""
    return Explanation(_kind(obj), tuple(_part(*each) for each in _parts(name, obj, 0)))


def unshared(obj: Any) -> list[ExplainedPart]:
    """Return the parts that ``share`` cannot share: those made of Python objects."""
    return [each for each in explain(obj).parts if each.how == "pickled" and each.cure]


def _parts(path: str, obj: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an object, with their paths."""
    found = _split(obj) if depth < _DEEP else None
    if found is None:
        yield path, obj
        return
    for at, (each, value) in enumerate(found):
        if at >= _FEW:
            return
        yield from _parts(path + each, value, depth + 1)


def _split(obj: Any) -> list[tuple[str, Any]] | None:
    """Return the components of an object, one level down; None if it has none."""
    library = type(obj).__module__.partition(".")[0]
    kind = type(obj).__name__
    if library == "pandas" and kind == "DataFrame":
        columns = [(f"[{name!r}]", obj.iloc[:, at]) for at, name in enumerate(obj.columns)]
        return [*columns, (".index", obj.index)]
    if library == "polars" and kind == "DataFrame":
        return [(f"[{each.name!r}]", each) for each in obj.get_columns()]
    if library == "pyarrow" and kind in ("Table", "RecordBatch"):
        return [(f"[{name!r}]", obj.column(at)) for at, name in enumerate(obj.column_names)]
    if library == "xarray" and kind == "Dataset":
        return [(f"[{name!r}]", each.values) for name, each in obj.variables.items()]
    if isinstance(obj, dict) and 0 < len(obj) <= _FEW:
        return [(f"[{key!r}]", value) for key, value in obj.items()]
    if isinstance(obj, list | tuple) and 0 < len(obj) <= _FEW:
        if not all(isinstance(each, int | float | str | bool | None) for each in obj):
            return [(f"[{at}]", value) for at, value in enumerate(obj)]
        return None
    attributes = getattr(obj, "__dict__", None)
    if isinstance(attributes, dict) and attributes and _pickles_as_attributes(obj):
        return [(f".{name}", value) for name, value in attributes.items()]
    return None


def _pickles_as_attributes(obj: Any) -> bool:
    """Return True if an object is pickled by its attributes. Not an object whose class defines its
    own pickling, nor one that is known here."""
    kind = type(obj)
    if isinstance(obj, type) or callable(obj) or reducer_of(kind) is not None:
        return False
    plain = ("__reduce_ex__", "__reduce__", "__getstate__")
    return all(getattr(kind, name, None) is getattr(object, name, None) for name in plain)


def _part(path: str, value: Any) -> ExplainedPart:
    encoded = encode(value, what=path)
    plan = encoded.plan
    shared = sum(each.length for each in plan.entries if each.segment) if plan is not None else 0
    copied = plan.copied if plan is not None else 0
    pickled = encoded.stream_size
    how = "small"
    if encoded.pickled_arrays or pickled > CUTOFF:
        how = "pickled"
    elif copied > CUTOFF:
        how = "copied"
    elif shared:
        how, pickled = "shared", 0
    cure = ""
    if how == "pickled":
        cure = _cure(path, value, bool(encoded.pickled_arrays))
    elif how == "copied":
        cure = f"oc.share({path})"
    return ExplainedPart(
        printable(path), _kind(value), how, shared, copied, pickled, printable(cure)
    )


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", getattr(value, "type", None))
    name = type(value).__name__
    return printable(name if dtype is None or callable(dtype) else f"{name} ({dtype})")


# pandas' inference of the type of a column's values, and the conversion to numbers.
_INFERRED = {
    **dict.fromkeys(("string", "empty"), ".astype('str') can be shared"),
    **dict.fromkeys(
        ("integer", "floating", "boolean", "datetime64", "datetime", "timedelta"),
        ".infer_objects() can be shared",
    ),
    "mixed-integer-float": ".astype('float64') can be shared",
    "date": ".astype('datetime64[s]') can be shared",
}


def _cure(path: str, value: Any, arrays: bool) -> str:
    """Return the conversion that makes it shareable."""
    if not arrays:
        return f"oc.share({path}) by itself"
    if type(value).__module__.partition(".")[0] == "pandas":
        from pandas.api.types import infer_dtype

        cure = _INFERRED.get(infer_dtype(value, skipna=True))
        return f"{path}{cure}" if cure else f"oc.share(list({path})) by itself"
    if hasattr(value, "astype") and getattr(value.dtype, "kind", "") in "OT":
        if value.dtype.kind == "O" and all(isinstance(each, str) for each in value.flat):
            return f"{path}.astype('U') can be shared"
        return f"oc.share({path}.tolist()) by itself"
    return ""
