"""The tests of others' suites that are left out, each with its reason.

Good reasons are two: a test looks at the standard classes' private parts, or it holds
something that onecopy's documentation says is different here, and why. A test that fails
for any other reason is a fault of ours.

A key is a pattern for the end of a test's id, ``Class.test``; ``*`` stands for anything.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

EXECUTOR: dict[str, str] = {}
POOL: dict[str, str] = {}

OF_SUITE = {"executor": EXECUTOR, "pool": POOL}


def reason(suite: str, test: str) -> str | None:
    """Why a test is left out; None: it is run."""
    for pattern, why in OF_SUITE[suite].items():
        if fnmatchcase(test, f"*.{pattern}"):
            return why
    return None
