"""Bars in a notebook: our own HTML in an output of the cell, updated in place.

No widgets: nothing has to be installed, and the final state of a bar is in the saved file. A text
version goes with the HTML, for front ends without HTML.

The thread that began the work sends the first state, so that it appears below its cell. Later ones
name the output (``display_id``) and may come from any thread. The lock is held from looking at a
state until it is sent: an older one never follows the final one. It is reentrant, since a signal
handler may begin or end a bar, and sending waits for no other thread.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from html import escape
from typing import Any

from .state import State

_TRACK = (
    "display:inline-block;width:14em;height:.6em;border-radius:.3em;overflow:hidden;"
    "background:rgba(128,128,128,.3);vertical-align:middle"
)


def kernel() -> Any:
    """Return the shell if this process is the kernel of a notebook; otherwise None."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


class Notebook:
    """See the module. It has the interface of ``Terminal``."""

    def __init__(self, shell: Any) -> None:
        self._publisher = shell.display_pub
        self._ids: dict[Callable[[], State], str] = {}
        self._sent: dict[Callable[[], State], str] = {}
        self._lock = threading.RLock()

    def begin(self, look: Callable[[], State]) -> None:
        """Add a bar: an output of the cell that runs."""
        self._ids[look] = os.urandom(16).hex()
        self._send(look, update=False)

    def tick(self) -> None:
        """Show the present states."""
        for look in list(self._ids):
            self._send(look)

    def end(self, look: Callable[[], State]) -> None:
        """Keep the final state of a bar."""
        with self._lock:
            self._send(look)
            self._ids.pop(look, None)
            self._sent.pop(look, None)

    def unhook(self) -> None:
        """Nothing to do: no stream is patched."""
        self._ids.clear()

    def _send(self, look: Callable[[], State], *, update: bool = True) -> None:
        with self._lock:
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
    """Return one bar, legible on light and on dark backgrounds."""
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
        f'{escape(state.so_far())}{failed} <span style="opacity:.7">{escape(rest)}</span></div>'
    )
