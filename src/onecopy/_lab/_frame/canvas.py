"""Curves drawn in characters: the position of each point, and the figures on both axes.

Pure arithmetic on a ``Plot``; the terminal adds colour. The page draws the same ticks (``Scale``)
as vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .face import Plot

_HEIGHT = 16
_STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Scale:
    """One axis: values from ``low`` to ``high``, linear or logarithmic."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Sequence[float], log: bool) -> Scale:
        """Return an axis that has room for all the values."""
        if log:
            values = [value for value in values if value > 0]
        low, high = min(values, default=1.0), max(values, default=2.0)
        if log:
            # Round figures at both ends, so that there are always some to write.
            return cls(_round(low, math.floor), _round(high * (1 + (low == high)), math.ceil), log)
        low = min(0.0, low)
        return cls(low, high if high > low else low + 1, log)

    def at(self, value: float) -> float:
        """Return the position of ``value``: 0 at the start of the axis, 1 at its end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def has(self, value: float) -> bool:
        """Return True if it can be drawn."""
        return value > 0 or not self.log

    def ticks(self) -> list[float]:
        """Return round figures along the axis: powers of ten, or a few equal steps."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            powers = [10.0**power for power in range(first, last + 1)]
            if len(powers) > 2:
                return powers
            steps = [10.0**power * step for power in range(first - 1, last + 1) for step in _STEPS]
            return [each for each in steps if self.low * 0.999 <= each <= self.high * 1.001]
        rough = (self.high - self.low) / 4
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first = math.ceil(self.low / step)
        return [step * at for at in range(first, math.floor(self.high / step) + 1)]


def _round(value: float, to: Callable[[float], int]) -> float:
    """Return a round figure that is not above, or not below, a value above zero."""
    unit = 10.0 ** math.floor(math.log10(value))
    if to is math.ceil:
        return next((unit * step for step in (*_STEPS, 10) if unit * step >= value), 20 * unit)
    return next((unit * step for step in reversed(_STEPS) if unit * step <= value), unit / 2)


def figure(value: float) -> str:
    """Return a tick's figure in plain digits: ``0.0001``, ``0.5``, ``1,000,000``."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 0.001 else f"{value:.4g}"


class Row(NamedTuple):
    """A line of the drawing: the figure on the axis, and the cells."""

    margin: str
    cells: str


def rows(plot: Plot, width: int, glyphs: Sequence[str]) -> list[Row]:
    """Return the drawing in ``width`` columns; where curves meet the last one's glyph is drawn."""
    points = [point for curve in plot.curves for point in curve.points]
    x = Scale.over([point[0] for point in points], plot.log_x)
    y = Scale.over([point[1] for point in points], plot.log_y)
    labels = {round((1 - y.at(tick)) * (_HEIGHT - 1)): figure(tick) for tick in y.ticks()}
    margin = max(len(label) for label in labels.values())
    columns = width - margin - 2
    cells = [[" "] * columns for _ in range(_HEIGHT)]
    for curve, glyph in zip(plot.curves, glyphs, strict=True):
        for a, b in curve.points:
            if x.has(a) and y.has(b):
                cells[round((1 - y.at(b)) * (_HEIGHT - 1))][round(x.at(a) * (columns - 1))] = glyph
    drawn = [
        Row(labels.get(at, "").rjust(margin) + (" ┤" if at in labels else " │"), "".join(line))
        for at, line in enumerate(cells)
    ]
    return [
        Row(f"{plot.y} ", ""),
        *drawn,
        Row(" " * margin + " └", "─" * columns),
        Row(" " * (margin + 2), _axis(x, columns)),
        Row(" " * (margin + 2), plot.x.rjust(columns)),
    ]


def _axis(scale: Scale, columns: int) -> str:
    """Return the figures under the axis, as many as there is room for."""
    line = [" "] * columns
    free = 0
    for tick in scale.ticks():
        text = figure(tick)
        at = min(
            columns - len(text), max(0, round(scale.at(tick) * (columns - 1)) - len(text) // 2)
        )
        if at >= free:
            line[at : at + len(text)] = text
            free = at + len(text) + 1
    return "".join(line)
