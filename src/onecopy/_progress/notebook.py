"""Bars in a notebook: HTML of our own in an output of the cell, updated in place.

No widgets: nothing has to be installed, and what a bar showed at the end is in the saved file.
Beside the HTML stands the same as text, for front ends that have none.

The first look is sent by the thread that began the work, so that it goes below its cell. Later
ones name the output (``display_id``) and may come from any thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from typing import Any
from uuid import uuid4

from .state import State

_TRACK = (
    "display:inline-block;width:14em;height:.6em;border-radius:.3em;overflow:hidden;"
    "background:rgba(128,128,128,.3);vertical-align:middle"
)


def kernel() -> Any:
    """The shell of the notebook that this process is the kernel of; None when it is of none."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


class Notebook:
    """See the module. The same face as ``Terminal``."""

    def __init__(self, shell: Any) -> None:
        self._publisher = shell.display_pub
        self._ids: dict[Callable[[], State], str] = {}
        self._sent: dict[Callable[[], State], str] = {}

    def begin(self, look: Callable[[], State]) -> None:
        """One more bar: an output of the cell that runs."""
        self._ids[look] = uuid4().hex
        self._send(look, update=False)

    def tick(self) -> None:
        """Shows how far they are."""
        for look in list(self._ids):
            self._send(look)

    def end(self, look: Callable[[], State]) -> None:
        """It stays as it is now."""
        self._send(look)
        self._ids.pop(look, None)
        self._sent.pop(look, None)

    def unhook(self) -> None:
        """Nothing is held."""
        self._ids.clear()

    def _send(self, look: Callable[[], State], *, update: bool = True) -> None:
        number = self._ids.get(look)
        if number is None:
            return  # it has ended meanwhile
        state = look()
        shown = html(state)
        if self._sent.get(look) == shown:
            return
        self._sent[look] = shown
        self._publisher.publish(
            {"text/html": shown, "text/plain": state.line()},
            transient={"display_id": number},
            update=update,
        )


def html(state: State) -> str:
    """One bar, legible on light and on dark."""
    if state.total is None:
        share = 1.0 if state.ended else 0.0
    else:
        share = min(1.0, state.done / state.total) if state.total else 1.0
    colour = "#c62828" if state.failed else "#2e7d32" if state.ended else "#1565c0"
    failed = f' <b style="color:#c62828">{state.failures()}</b>' if state.failed else ""
    rest = ", ".join(filter(None, [state.time(), state.rate()]))
    return (
        f'<div style="font-variant-numeric:tabular-nums"><b>{escape(state.label)}</b> '
        f'<span style="{_TRACK}"><span style="display:block;height:100%;'
        f'width:{100 * share:.1f}%;background:{colour}"></span></span> '
        f'{escape(state.count())}{failed} <span style="opacity:.7">{escape(rest)}</span></div>'
    )
