"""``progress=``: the values that a caller may pass, and the bar that they request.

``True`` and ``False``, a label, or a ``Bar`` with details. ``bar`` counts, ``display`` chooses the
place to show it.
"""

from __future__ import annotations

from numbers import Integral


class Bar:
    """The progress bar of a call, for ``progress=``: a label, a unit, a total.

    Args:
        label: a word or two in front of the bar; the function's name if None.
        unit: the name of the pieces, in the plural: ``"images"``.
        total: the number of pieces, for iterables of unknown length.

    Raises:
        TypeError, ValueError: an argument is invalid.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(2) as pool:
        ...     pool.map(abs, [-1, -2], progress=oc.Bar("turning", unit="signs"))
        [1, 2]
    """

    __module__ = "onecopy"

    __slots__ = ("label", "total", "unit")

    def __init__(
        self, label: str | None = None, unit: str | None = None, total: int | None = None
    ) -> None:
        for name, value in (("label", label), ("unit", unit)):
            if not isinstance(value, str | None):
                raise TypeError(f"the {name} of a bar is a text, not {value!r}")
        if not isinstance(total, Integral | None):
            raise TypeError(f"the total of a bar is a whole number, not {total!r}")
        if total is not None and total < 0:
            raise ValueError(f"the total of a bar is at least 0, not {total}")
        self.label: str | None = label
        self.unit: str | None = unit
        self.total: int | None = total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bar):
            return NotImplemented
        return (self.label, self.unit, self.total) == (other.label, other.unit, other.total)

    def __hash__(self) -> int:
        return hash((self.label, self.unit, self.total))

    def __repr__(self) -> str:
        return f"Bar(label={self.label!r}, unit={self.unit!r}, total={self.total!r})"


Asked = bool | str | Bar
"""What callers give as ``progress=``."""


def bar_of(asked: Asked | None, otherwise: Asked = False) -> Bar | None:
    """Return the requested bar, or None.

    Args:
        asked: the call's argument; None: not given.
        otherwise: the default.

    Raises:
        TypeError: it is none of the kinds.
    """
    if asked is None:
        asked = otherwise
    if isinstance(asked, str):
        return Bar(asked)
    if isinstance(asked, Bar):
        return asked
    if not isinstance(asked, bool | Integral):
        raise TypeError(f"progress is True, a label or an onecopy.Bar, not {asked!r}")
    return Bar() if asked else None
