"""The bytes of a text file as UTF-8: opened, decompressed, decoded, piece by piece.

The compression is found from the first bytes, not from the name. Arrow's readers decompress gzip,
bzip2, Zstandard and LZ4 (files of several members too), Python's decompresses xz. Text in other
encodings is decoded by Python. The result is a stream for Arrow; it also counts the bytes of the
file itself that have been read, for a progress bar.
"""

from __future__ import annotations

import codecs
import lzma
import os
from typing import Any

from ...errors import BadFile
from . import places
from .interface import library
from .spans import Span

_PIECE = 1 << 20
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\0": "xz",
}
_LONGEST_BOM = 4
# Longer ones first: UTF-32's mark begins like UTF-16's.
BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# If text is compressed as a whole, its name usually has one of these suffixes.
SUFFIXES = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".lz4": "lz4"}


def compression(head: bytes, name: str) -> str | None:
    """Return the compression of a file that begins with these bytes, or None.

    Raises BadFile if the name says that the file is compressed and it is not.
    """
    found = next((how for magic, how in _MAGIC.items() if head.startswith(magic)), None)
    named = SUFFIXES.get(os.path.splitext(name.lower())[1])
    if found is None and named is not None:
        raise BadFile(
            f"{name!r} is not compressed by {named}, as its name says: it begins with "
            f"{head[:8]!r}; if it is plain text, give it a name that says so"
        )
    return found


class ReadOnly:
    """A stream that is read from its beginning to its end, and no more."""

    closed = False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


class Raw(ReadOnly):
    """A file, read from the first byte to the last; ``taken`` counts them."""

    def __init__(self, file: Any, size: int | None) -> None:
        self._file = file
        self.size = size
        self.taken = 0

    def read(self, count: int = -1) -> bytes:
        """Return at most ``count`` bytes; none at the end."""
        data: bytes = self._file.read(_PIECE if count < 0 else count)
        self.taken += len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._file.close()


class Text(ReadOnly):
    """The content of a file, decompressed and in UTF-8, without a byte-order mark.

    Args:
        name: the file.
        encoding: None and UTF-8 leave the bytes as they are, once decompressed.

    Not thread-safe. ``raw`` is the file itself.
    """

    def __init__(self, name: str, encoding: str | None) -> None:
        self.raw = Raw(places.open(name), places.size(name))
        self._name = name
        self._decoder: codecs.IncrementalDecoder | None = None
        self._decoded = 0
        try:
            # A part of a file is plain text, and has no mark of its own.
            within = isinstance(name, Span) and name.start > 0
            self._inner = self.raw if within else _decompressed(self.raw, name)
            self._ahead = self._inner.read(_LONGEST_BOM)
            bom, self._encoding = _begins(b"" if within else self._ahead, encoding)
            self._ahead = self._ahead[len(bom) :]
            if self._encoding != "utf-8":
                self._decoder = codecs.getincrementaldecoder(self._encoding)("strict")
                self._decoded = len(bom)
                self._ahead = self._decode(self._ahead)
        except BaseException:
            self.raw.close()
            raise

    def read(self, count: int = -1) -> bytes:
        """Return ``count`` bytes, fewer only at the end: Arrow has room for no more."""
        wanted = _PIECE if count < 0 else count
        parts: list[bytes] = []
        while wanted:
            data, self._ahead = self._ahead, b""
            if not data:
                data = self._inner.read(wanted)
                end = not data
                if self._decoder is not None:
                    data = self._decode(data)
                if not data and end:
                    break
            if len(data) > wanted:
                data, self._ahead = data[:wanted], data[wanted:]
            parts.append(data)
            wanted -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _decode(self, data: bytes) -> bytes:
        assert self._decoder is not None
        try:
            text = self._decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            # The decoder may hold some bytes of the piece before.
            at = max(0, self._decoded + error.start - len(error.object) + len(data))
            raise BadFile(
                f"{self._name!r} is not text of {self._encoding}, at about byte {at}: "
                f"{error.reason}; encoding= names another"
            ) from error
        self._decoded += len(data)
        return text.encode()

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self.raw.close()


def _begins(head: bytes, encoding: str | None) -> tuple[bytes, str]:
    """Return the byte-order mark of text in this encoding, and the encoding after it."""
    plain = "utf-8" if encoding is None else codecs.lookup(encoding).name
    plain = {"utf-8-sig": "utf-8"}.get(plain, plain)
    for bom, of in BOMS.items():
        if head.startswith(bom) and of.startswith(plain):
            return bom, of
    # Without a mark these two use this machine's byte order, which need not be the file's.
    return b"", f"{plain}-le" if plain in ("utf-16", "utf-32") else plain


def _decompressed(raw: Raw, name: str) -> Any:
    """Return a stream of the decompressed content of ``raw``."""
    head = raw.read(8)
    how = compression(head, name)
    whole = _Begun(head, raw)
    if how is None:
        return whole
    if how == "xz":
        return lzma.LZMAFile(whole)  # type: ignore[arg-type]  # it reads, and no more
    pa = library("pyarrow", "arrow")
    return pa.CompressedInputStream(pa.PythonFile(whole, "r"), how)


class _Begun(ReadOnly):
    """A stream of which some bytes have been read already."""

    def __init__(self, head: bytes, rest: Raw) -> None:
        self._head = head
        self._rest = rest

    def read(self, count: int = -1) -> bytes:
        """Return at most ``count`` bytes."""
        if not self._head:
            return self._rest.read(count)
        head, self._head = self._head, b""
        if 0 <= count < len(head):
            head, self._head = head[:count], head[count:]
        return head

    def close(self) -> None:
        """Nothing to do: the caller that opened the file closes it."""
