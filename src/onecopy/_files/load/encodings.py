"""The encoding of a text, found from its bytes.

A byte-order mark decides. So does text that is valid UTF-8: other text is hardly ever valid. The
rest is guessed by charset-normalizer, which needs some letters as evidence: if there are only a few
accents among Western letters, the guess is Windows-1252, by far the most common of the rest.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from ...errors import BadFile
from .incoming import BOMS
from .interface import library

# The usual encodings of tables; others are for ``encoding=``.
_LIKELY = [
    *(f"cp125{at}" for at in range(9)),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "koi8_r", "mac_roman", "cp850"),
]
_WESTERN = frozenset(
    # Letters, signs, and the quotes, dashes and dots of word processors.
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœ€£§°²³µ·½«»¿¡©®™\xa0"
    "\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u2026"
)
# This many letters beyond ASCII are evidence of a language.
_FEW = 8
_SAMPLE = 64 << 10
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x19\x1b-\x1f]")  # half a letter in UTF-16


def found(sample: bytes, whole: bool) -> str:
    """Return the encoding of text that begins with ``sample``; ``utf-8`` if possible.

    Args:
        whole: True if ``sample`` is the whole text. Otherwise its last character may be cut in two.
    """
    for bom, encoding in BOMS.items():
        if sample.startswith(bom):
            return encoding
    wide = _wide(sample, whole)
    if wide is not None:
        return wide
    return "utf-8" if is_utf8(sample, whole) else guessed([sample])


def is_utf8(sample: bytes, whole: bool) -> bool:
    """Return True if it is valid UTF-8, as far as it goes."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(sample, whole)
    except UnicodeDecodeError:
        return False
    return True


def _wide(sample: bytes, whole: bool) -> str | None:
    """Return UTF-16 without a mark, if every second byte, or nearly so, is 0.

    Text of other alphabets has fewer zeros. It is hardly ever valid UTF-8 without control
    characters: what is may be a table of NULs, unless most pairs of bytes have one.
    """
    pairs = len(sample) // 2
    if pairs < 2 or sample.count(0) * 4 < pairs:
        return None
    even, odd = sample[: 2 * pairs : 2].count(0), sample[1 : 2 * pairs : 2].count(0)
    if max(even, odd) * 2 <= pairs and is_utf8(sample, whole) and not _CONTROL.search(sample):
        return None
    if odd > 10 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 10 * odd else None


def guessed(parts: Iterable[bytes]) -> str:
    """Return the most likely encoding of text that is not UTF-8."""
    lines: list[bytes] = []
    size = 0
    for part in parts:
        # Plain ASCII is no evidence, and would outweigh what is.
        for line in re.findall(rb"[^\r\n]*[\x80-\xff][^\r\n]*", part):
            lines.append(line)
            size += len(line)
        if size >= _SAMPLE:
            break
    text = b"\n".join(lines)[:_SAMPLE]
    western = _decoded(text, "cp1252")
    letters = [each for each in western or "" if not each.isascii()]
    plain = western is not None and _WESTERN.issuperset(letters)
    if plain and len(letters) < _FEW:
        return "cp1252"
    detector = library("charset_normalizer", "arrow")
    best = detector.from_bytes(text, cp_isolation=_LIKELY).best()
    guess = best and str(best.encoding)
    if guess is None or (plain and _decoded(text, guess) == western):
        return "cp1252" if plain or guess is None else guess
    return guess


def _decoded(text: bytes, encoding: str) -> str | None:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        return None


def require_text(sample: bytes, where: str) -> None:
    """Raise BadFile for bytes that are not text."""
    if sample[:6] in (b"ARROW1",) or sample[:4] in (b"PAR1", b"PK\3\4", b"\x89HDF", b"%PDF"):
        raise BadFile(f"{where!r} is no text: it begins with {sample[:8]!r}; format= names another")
