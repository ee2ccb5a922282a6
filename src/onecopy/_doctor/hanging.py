"""One line about a program in which nothing runs any more, while it hangs.

It is said only where the cause is known: a program may as well wait for its user, or for the network.
"""

from __future__ import annotations

from ..errors import printable
from . import diagnosis
from .finding import Finding
from .recording import Recording

_CAUSES = ("worker-killed", "join-before-drain", "consumers-died", "stuck-task")


def line(recording: Recording) -> str | None:
    """Return what a program waits for in vain, or None where that is not known.

    Args:
        recording: what was recorded so far.
    """
    found = [each for each in diagnosis.of(recording).findings if _in_vain(each)]
    if not found:
        return None
    title = printable(found[0].title)
    waits = "; multiprocessing.Pool waits for ever" if found[0].figures.get("waits") else ""
    return f"onecopy doctor: {title}{waits}. Ctrl-C ends it and shows the report."


def _in_vain(finding: Finding) -> bool:
    if finding.id == "worker-killed":
        return bool(finding.figures["waits"])
    return finding.id in _CAUSES
