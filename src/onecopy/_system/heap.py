"""Giving back what ``free`` has left with the C library: ``malloc_trim(3)``.

glibc gives memory back to the system from the end of its heap only. A program that has made a
list of a million records, shared it and dropped it keeps the pages between what is still in
use. Under ``fork`` the workers inherit them, and each that allocates there gets a copy of
what nobody needs.
"""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Returns free pages in the middle of the C library's heaps. Thread-safe; takes as long as
    there is to return: about 0.1 ms mostly, 15 ms for the rest of a heap of 500 MB."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:  # glibc's own
        malloc_trim(0)
