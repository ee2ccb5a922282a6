"""Anonymous memory that travels as a file descriptor: the choice between two backings.

Each backing is a class with the same small face, in a file of its own: ``memfd`` (Linux)
and ``unlinked`` (anywhere else with POSIX files). The choice is made here, once, when the
first segment is made; ``ONECOPY_BACKING=file`` forces the second, so that it is tested
on the first one's system.
"""

from __future__ import annotations

import os
import sys
from typing import Protocol

from ..errors import UnsupportedPlatform


class AnonymousFile(Protocol):
    """A nameless file whose pages are reserved before they are touched. Its size is fixed when
    it is made, or grows with what is written until it is settled."""

    fd: int
    size: int
    backing: str

    def require(self, length: int) -> None:
        """Raises NotEnoughMemory when ``length`` more bytes cannot be had."""

    def reserve(self, offset: int, length: int) -> None:
        """Makes the pages exist, or raises NotEnoughMemory; never a SIGBUS later."""

    def write(self, offset: int, data: memoryview) -> None:
        """Copies ``data`` in by system call: the cheapest way into fresh pages."""

    def set_size(self, size: int) -> None:
        """The size is this from now on; for a file that was made without one."""

    def seal_mappings(self) -> None:
        """From now on nobody gets a writable mapping or writes by system call."""

    def seal(self) -> bool:
        """No byte can change any more, by anyone; False while a writable mapping stands."""

    def descriptor(self, *, write: bool) -> int:
        """The descriptor to map from and to send to others."""

    def close(self) -> None:
        """Closes the descriptors; mappings stay."""


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
    """A new anonymous file of ``size`` bytes, none of them reserved yet; with None, of a size
    that is to be settled.

    Raises:
        OSError: no descriptor is left (EMFILE, ENFILE), or the directory for temporary
            files cannot be written to.
        UnsupportedPlatform: on Windows.
    """
    global _chosen
    if _chosen is None:
        _chosen = _choose()
    return _chosen(size)  # type: ignore[call-arg]
