"""The text that a worker writes when it crashes, in memory that the owner can read afterwards.

The owner maps the file and closes its descriptor once the worker has its own: with hundreds of
workers descriptors are scarcer than address space. Pages are allocated as they are written.
"""

from __future__ import annotations

import ctypes

from .._system import mapping
from .._system.anonymous import anonymous_file

# Room for faulthandler's output, in bytes.
_ROOM = 256 << 10


class CrashText:
    """See the module. One thread. Raises OSError if no descriptor or no mapping is left."""

    def __init__(self) -> None:
        self._file = anonymous_file(_ROOM)
        try:
            self._address = mapping.map_shared(
                self._file.descriptor(write=False), _ROOM, write=False
            )
        except OSError:
            self._file.close()
            raise

    def descriptor(self) -> int:
        """Return the descriptor to send to the worker, valid until ``sent``."""
        return self._file.descriptor(write=True)

    def sent(self) -> None:
        """Note that the worker has been sent the descriptor."""
        self._file.close()

    def read(self) -> str:
        """Return what the worker has written so far."""
        # Page by page: what is not written must not be allocated.
        parts: list[bytes] = []
        for at in range(0, _ROOM, mapping.PAGE):
            text, end, _ = ctypes.string_at(self._address + at, mapping.PAGE).partition(b"\0")
            parts.append(text)
            if end:
                break
        return b"".join(parts).decode(errors="replace")

    def close(self) -> None:
        """Release everything."""
        self._file.close()
        mapping.unmap(self._address, _ROOM)
