"""``progress=``: what a caller may say of it, and what is made of that.

``True`` and ``False``, a label, or a ``Bar`` that says more. How a bar comes about is in
``bar``, where it is shown in ``display``.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral


@dataclass(frozen=True)
class Bar:
    """How a call shows its progress, for ``progress=``: a label, a unit, a total.

    Args:
        label: a word or two in front of the bar; the function's name when None.
        unit: what the pieces are called, in the plural: ``"images"``.
        total: how many there will be, for iterables that do not tell.

    Raises:
        TypeError, ValueError: an argument makes no sense.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(2) as pool:
        ...     pool.map(abs, [-1, -2], progress=oc.Bar("turning", unit="signs"))
        [1, 2]
    """

    __module__ = "onecopy"

    label: str | None = None
    unit: str | None = None
    total: int | None = None

    def __post_init__(self) -> None:
        for name in ("label", "unit"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise TypeError(f"the {name} of a bar is a text, not {value!r}")
        if not isinstance(self.total, Integral | None):
            raise TypeError(f"the total of a bar is a whole number, not {self.total!r}")
        if self.total is not None and self.total < 0:
            raise ValueError(f"the total of a bar is at least 0, not {self.total}")


Asked = bool | str | Bar
"""What callers give as ``progress=``."""


def bar_of(asked: Asked | None, otherwise: Asked = False) -> Bar | None:
    """The bar that is wanted; None when none is.

    Args:
        asked: what the call was given; None: nothing.
        otherwise: what holds then.

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
