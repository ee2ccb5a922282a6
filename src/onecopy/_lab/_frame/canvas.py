"""Curves drawn in characters: the position of each point, and the figures on both axes.

Pure arithmetic on a ``Plot``; the terminal adds colour. The page draws the same ticks (``Scale``)
as vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .face import Plot

_HEIGHT = 16


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
            if low == high:
                low, high = low / 2, high * 2
            return cls(low, high, log)
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
            return powers if len(powers) > 1 else [self.low, self.high]
        rough = (self.high - self.low) / 4
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first = math.ceil(self.low / step)
        return [step * at for at in range(first, math.floor(self.high / step) + 1)]


def figure(value: float) -> str:
    """Return a tick's figure, short: ``0.001``, ``0.5``, ``1000``, ``1e6``."""
    if value == 0 or 0.001 <= abs(value) < 10_000:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


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
