"""Settings of the interpreter and of libraries that apply to all of a program's code.

A main module that workers import makes these settings there too. If it is sent by value, the
settings that can be read and set are copied: the recursion limit, the decimal context, NumPy's
error handling, the size limit of CSV fields. What a program registers with a library (accessors of
pandas, converters of sqlite3, handlers of signals) cannot be copied: it belongs in an initializer.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple


def _decimal() -> Any:
    decimal = sys.modules.get("decimal")
    return decimal.getcontext().copy() if decimal is not None else None


def _numpy() -> Any:
    numpy = sys.modules.get("numpy")
    return dict(numpy.geterr()) if numpy is not None else None


def _csv() -> Any:
    csv = sys.modules.get("csv")
    return csv.field_size_limit() if csv is not None else None


class Ambient(NamedTuple):
    """Settings; None for a library that was not loaded when they were read."""

    recursion: int
    decimal: Any
    numpy: Any
    csv: Any

    @classmethod
    def present(cls) -> Ambient:
        """Return the settings of this process."""
        return cls(sys.getrecursionlimit(), _decimal(), _numpy(), _csv())

    def apply(self) -> None:
        """Apply the settings, in the main thread of a worker or of the process that forks it."""
        sys.setrecursionlimit(self.recursion)
        if self.decimal is not None:
            import decimal

            decimal.setcontext(self.decimal)
        if self.numpy is not None:
            import numpy

            numpy.seterr(**self.numpy)
        if self.csv is not None:
            import csv

            csv.field_size_limit(self.csv)
