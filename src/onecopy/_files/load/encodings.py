"""Which encoding a text is in, where nobody has said.

A byte-order mark tells; so does text that is valid UTF-8, for other text hardly ever is. What
remains is guessed by charset-normalizer. It needs some letters to go by: a few accents among
Western letters are taken for Windows-1252, by far the most usual of what is left.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

from ...errors import BadFile
from .incoming import BOMS
from .interface import library

# Those in which tables are written; others are for ``encoding=``.
_LIKELY = [
    *(f"cp125{at}" for at in range(9)),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "koi8_r", "mac_roman", "cp850"),
]
_WESTERN = frozenset(
    # Letters, signs, and the quotes, dashes and dots that word processors put in.
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüÿŒœ€£§°²³µ·½«»¿¡©®™\xa0"
    "\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u2026"
)
# So many letters beyond ASCII are evidence of a language.
_FEW = 8
_SAMPLE = 64 << 10


def found(sample: bytes, whole: bool) -> str:
    """The encoding of text that begins with ``sample``; ``utf-8`` when it may be that.

    Args:
        whole: is ``sample`` all of it? Else a character may be cut in two at its end.
    """
    for bom, encoding in BOMS.items():
        if sample.startswith(bom):
            return encoding
    wide = _wide(sample)
    if wide is not None:
        return wide
    return "utf-8" if is_utf8(sample, whole) else guessed([sample])


def is_utf8(sample: bytes, whole: bool) -> bool:
    """Tells whether it is valid UTF-8, as far as it goes."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(sample, whole)
    except UnicodeDecodeError:
        return False
    return True


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: text of which every second byte is 0, or nearly so."""
    pairs = len(sample) // 2
    if pairs < 2 or sample.count(0) * 4 < pairs:
        return None
    even, odd = sample[: 2 * pairs : 2].count(0), sample[1 : 2 * pairs : 2].count(0)
    if odd > 10 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 10 * odd else None


def guessed(parts: Iterable[bytes]) -> str:
    """The likeliest encoding of text that is not UTF-8."""
    lines: list[bytes] = []
    size = 0
    for part in parts:
        # What is plain ASCII tells nothing, and would outweigh what does.
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
    """Raises BadFile for bytes that are no text at all."""
    if sample[:6] in (b"ARROW1",) or sample[:4] in (b"PAR1", b"PK\3\4", b"\x89HDF", b"%PDF"):
        raise BadFile(f"{where!r} is no text: it begins with {sample[:8]!r}; format= names another")
