"""Anonymous memory that is sent as a file descriptor: the choice between two backings.

Each backing is a class with the same small interface, in its own file: ``memfd`` (Linux) and
``unlinked`` (anywhere else with POSIX files). The choice is made here, once, when the first segment
is made; ``ONECOPY_BACKING=file`` forces the second, so that it can be tested on Linux.
"""

from __future__ import annotations

import os
import sys
from typing import Protocol

from ..errors import UnsupportedPlatform


class AnonymousFile(Protocol):
    """A nameless file whose pages are reserved before they are touched. Its size is fixed when it
    is created, or grows with writes until it is set."""

    fd: int
    size: int
    backing: str

    def require(self, length: int) -> None:
        """Raise NotEnoughMemory if ``length`` more bytes cannot be allocated."""

    def reserve(self, offset: int, length: int) -> None:
        """Allocate the pages, or raise NotEnoughMemory; there is no SIGBUS later."""

    def write(self, offset: int, data: memoryview) -> None:
        """Copy ``data`` in by system call: the cheapest way into fresh pages."""

    def set_size(self, size: int) -> None:
        """Set the final size, for a file that was created without one."""

    def seal_mappings(self) -> None:
        """Refuse new writable mappings and writes by system call, for every process."""

    def seal(self) -> bool:
        """Make the bytes immutable for every process; False while there is a writable mapping."""

    def descriptor(self, *, write: bool) -> int:
        """Return the descriptor to map from and to send to others."""

    def close(self) -> None:
        """Close the descriptors; mappings stay."""


_chosen: type[AnonymousFile] | None = None


def _choose() -> type[AnonymousFile]:
    forced = os.environ.get("ONECOPY_BACKING", "")
    if forced not in ("", "memfd", "file"):
        raise ValueError(f"ONECOPY_BACKING is {forced!r}; it may be 'memfd' or 'file'")
    if sys.platform == "win32":
        raise UnsupportedPlatform("onecopy shares memory by POSIX means; Windows has none of them")
    if forced != "file" and hasattr(os, "memfd_create"):
        from .memfd import Memfd

        return Memfd
    from .unlinked import UnlinkedFile

    return UnlinkedFile


def anonymous_file(size: int | None) -> AnonymousFile:
    """Return a new anonymous file of ``size`` bytes, none of them reserved yet; None: the size is
    set later.

    Raises:
        OSError: no descriptor is left (EMFILE, ENFILE), or the directory for temporary
            files cannot be written to.
        UnsupportedPlatform: on Windows.
    """
    global _chosen
    if _chosen is None:
        _chosen = _choose()
    return _chosen(size)  # type: ignore[call-arg]
