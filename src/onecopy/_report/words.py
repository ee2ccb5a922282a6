"""Durations, sizes and shares as every report writes them."""

from __future__ import annotations

import html

from ..errors import human_bytes, printable

__all__ = ["count", "escape", "human_bytes", "percent", "seconds"]


def escape(text: str) -> str:
    """Return ``text`` for a page: no markup, and control characters as escapes."""
    return html.escape(printable(text, kept="\n"))


def seconds(value: float) -> str:
    """Return ``value`` seconds with three digits: ``85.2 µs``, ``1.24 s``, ``2 min 5 s``."""
    size = abs(value)
    if size < 0.5e-9:  # what floating-point numbers leave of nothing
        return "0 s"
    for limit, factor, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if size < limit * 0.9995:
            return f"{value * factor:.3g} {unit}"
    if size < 99.95:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def percent(part: float, whole: float) -> str:
    """Return a share: ``0.4 %``, ``87 %``."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if abs(share) >= 9.95 else f"{share:.1f} %"


def items(start: int, stop: int, task: int) -> str:
    """Return the items of a chunk, or otherwise the number of the call."""
    if stop <= start:
        return f"number {task}"
    return f"item {start}" if stop - start == 1 else f"items {start}–{stop - 1}"


def count(number: int, what: str, several: str = "") -> str:
    """Return ``1 task``, ``2,000 tasks``."""
    return f"{number:,} {what if number == 1 else several or what + 's'}"
