"""Pictures as vectors inside a page, coloured by the variables of its stylesheet.

A lane's bars carry their times as titles, which browsers show under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..._report.words import escape, seconds
from .canvas import Scale
from .canvas import figure as tick
from .face import Lanes, Picture, Plot
from .marks import Mark, kinds, marks

_WIDTH = 1000
_LANE, _BAR = 24, 17
_PLOT = 340
_LETTER = 7.2
"""The width of a letter, roughly: text is not measured here."""
_BOTTOM = 40


def figure(picture: Picture) -> str:
    """Return the picture with its title and legend."""
    drawn, known = _lanes(picture) if isinstance(picture, Lanes) else _plot(picture)
    title = f"<figcaption>{escape(picture.title)}</figcaption>" if picture.title else ""
    entries = "".join(
        f'<li><i class="k-{mark.style}"></i>{escape(word)}</li>' for word, mark in known.items()
    )
    return f'<figure>{title}<div class="scroll">{drawn}</div><ul class="legend">{entries}</ul></figure>\n'


def _svg(height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="lab" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="axis" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _lanes(picture: Lanes) -> tuple[str, dict[str, Mark]]:
    known = kinds(picture)
    end = max((bar.stop for lane in picture.lanes for bar in lane.bars), default=0.0) or 1.0
    left = max((len(lane.name) for lane in picture.lanes), default=0) * _LETTER + 10
    scale = (_WIDTH - left - 4) / end
    height = len(picture.lanes) * _LANE
    parts = []
    for at, lane in enumerate(picture.lanes):
        y = at * _LANE
        parts += [_text(0, y + 14, lane.name), _line(left, y + _LANE - 3, _WIDTH, y + _LANE - 3)]
        for bar in lane.bars:
            # A very short bar is still visible.
            wide = max(1.0, (bar.stop - bar.start) * scale)
            said = f"{bar.kind}, {seconds(bar.start)} to {seconds(bar.stop)}"
            parts.append(
                f'<rect x="{left + bar.start * scale:.2f}" y="{y + 1}" width="{wide:.2f}" '
                f'height="{_BAR}" fill="var(--{known[bar.kind].style})"><title>{escape(said)}</title></rect>'
            )
    for value in Scale(0.0, end, False).ticks():
        parts.append(_text(left + value * scale, height + 16, tick(value), "middle"))
    parts.append(_text(_WIDTH, height + 32, "seconds", "end"))
    return _svg(height + _BOTTOM, picture.title or "lanes of processes", parts), known


def _plot(picture: Plot) -> tuple[str, dict[str, Mark]]:
    known = marks(curve.name for curve in picture.curves)
    points = [point for curve in picture.curves for point in curve.points]
    x = Scale.over([point[0] for point in points], picture.log_x)
    y = Scale.over([point[1] for point in points], picture.log_y)
    figures = max((len(tick(value)) for value in y.ticks()), default=0)
    left, top, right = max(64.0, figures * _LETTER + 12), 24.0, _WIDTH - 12.0

    def across(value: float) -> float:
        return left + x.at(value) * (right - left)

    def down(value: float) -> float:
        return top + (1 - y.at(value)) * (_PLOT - top)

    parts = [_text(0, 12, picture.y), _text(right, _PLOT + 34, picture.x, "end")]
    for value in y.ticks():
        parts += [
            _line(left, down(value), right, down(value)),
            _text(left - 8, down(value) + 4, tick(value), "end"),
        ]
    for value in x.ticks():
        # A figure at the right end is not cut.
        most = _WIDTH - len(tick(value)) * _LETTER / 2
        parts.append(_text(min(across(value), most), _PLOT + 17, tick(value), "middle"))
    colours: set[str] = set()
    for curve in picture.curves:
        colour = f"var(--{known[curve.name].style})"
        # There may be more curves than colours.
        dashes = ' stroke-dasharray="6 4"' if colour in colours else ""
        colours.add(colour)
        shown = [(a, b) for a, b in curve.points if x.has(a) and y.has(b)]
        path = " ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in shown)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        for a, b in shown:
            said = f"{curve.name}: {tick(a)}, {tick(b)}"
            parts.append(
                f'<circle cx="{across(a):.1f}" cy="{down(b):.1f}" r="3.5" fill="{colour}">'
                f"<title>{escape(said)}</title></circle>"
            )
    return _svg(_PLOT + _BOTTOM, picture.title or "curves", parts), known
