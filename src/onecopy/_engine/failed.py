"""``errors=``: the treatment of items that fail in a call of many, and ``Failed``."""

from __future__ import annotations

import traceback
from typing import Literal, get_args

from .._codec.blame import short
from ..errors import RemoteTraceback

Errors = Literal["raise", "return", "skip"]


class Failed:
    """A failed item in the results of a call with ``errors="return"``.

    Attributes:
        index: the item's position, from 0.
        item: the item; for ``map_blocks`` the block, or a tuple of the blocks of each array.
        exception: the exception that was raised, or the one that describes its worker's end.

    Example:
        >>> import onecopy as oc
        >>> with oc.Pool(2) as pool:
        ...     results = pool.map(lambda x: 1 // x, [1, 0], errors="return")
        >>> results[1]
        Failed(index=1, item=0, exception=ZeroDivisionError('integer division or modulo by zero'))
    """

    __module__ = "onecopy"

    __slots__ = ("exception", "index", "item")

    def __init__(self, index: int, item: object, exception: BaseException) -> None:
        self.index: int = index
        self.item: object = item
        self.exception: BaseException = exception

    def __eq__(self, other: object) -> bool:
        # Not the items: a block of an array has no single truth value.
        if not isinstance(other, Failed):
            return NotImplemented
        return (self.index, self.exception) == (other.index, other.exception)

    def __hash__(self) -> int:
        return hash((self.index, self.exception))

    def __repr__(self) -> str:
        item = short(self.item)
        return f"Failed(index={self.index}, item={item}, exception={self.exception!r})"

    @property
    def traceback(self) -> str:
        """Return the traceback, as the worker would have printed it."""
        cause = self.exception.__cause__
        if isinstance(cause, RemoteTraceback):
            return cause.text.strip()
        return "".join(traceback.format_exception(self.exception)).strip()


def check_errors(errors: str) -> None:
    """Raise ValueError unless it is one of the kinds."""
    if errors not in get_args(Errors):
        raise ValueError(f"errors is one of {', '.join(get_args(Errors))}, not {errors!r}")
