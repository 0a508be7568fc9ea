"""The texts that a text may be read as: unified, and with what is hidden in it taken out.

Nothing here takes more than linear time, and all views together are bounded: each transformation of a text is at most
as long as the text, there are at most :data:`MAX_VIEWS` of them, and what was decoded is decoded once more at most.
"""

import base64
import binascii
import html
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_letters
from urllib.parse import unquote

import re2

from cloister.inspection.confusables import CONFUSABLES

MAX_VIEWS = 12
_MIN_DECODED = 6
"""Characters; what is shorter says nothing."""


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text: in lower case, with single spaces."""

    name: str
    """`plain`, or how it was hidden: `base64`, `rot13`, `base64+hex`, ..."""
    text: str


def folded(text: str) -> str:
    """Without differences that no reader sees: compatibility forms, invisible characters, case, kinds of space.

    A letter that looks like one of ASCII becomes that in words that have letters of ASCII too: Cyrillic stays Cyrillic.
    """
    if text.isascii():
        if text.isprintable() and "  " not in text:
            return text.lower().strip()
    else:
        text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE))
        if not _SIGNS_ALIKE.isdisjoint(text):
            text = " ".join(map(_unmixed, text.split()))
    return " ".join(text.lower().split())


def _unmixed(word: str) -> str:
    mixed = not _SIGNS_ALIKE.isdisjoint(word) and not _ASCII.isdisjoint(word)
    return word.translate(CONFUSABLES) if mixed else word


def skeleton(text: str) -> str:
    """Without marks on letters, and with every letter that looks like one of ASCII as that (Unicode TR 39)."""
    bare = unicodedata.normalize("NFKD", text.translate(_INVISIBLE)).translate(_BARE)
    return " ".join(bare.lower().split())


def views(text: str) -> list[View]:
    """Every reading of a text, the plain one first; none twice."""
    plain = folded(text)
    signs = bool(_SIGNS.search(text.encode("utf-8", "replace")))
    if text.isascii() and not signs:
        return [View("plain", plain)] if plain else []
    found = {plain: "plain"}
    for name, hidden in _hidden(text, plain, signs=signs):
        found.setdefault(folded(hidden), name)
        if name in _DEEPER:
            for again, deeper in _decoded(hidden):
                found.setdefault(folded(deeper), f"{name}+{again}")
    return [View(name, view) for view, name in list(found.items())[:MAX_VIEWS] if view]


def _hidden(text: str, plain: str, *, signs: bool) -> Iterator[tuple[str, str]]:
    if not text.isascii():
        if tags := _TAGS.findall(text):
            yield "tags", "".join(tags).translate(_FROM_TAGS)
        if selectors := _SELECTORS.findall(text):
            yield "selectors", _of_selectors("".join(selectors))
        yield "skeleton", skeleton(text)
    if signs:
        yield from _decoded(text)
        yield from _disguised(plain)


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    """What is written in an encoding that computers use."""
    raw = text.encode("utf-8", "replace")
    for name, decode in _ENCODINGS:
        if not _SIGN[name].search(raw):
            continue
        pattern = _COMPILED[name]
        parts = [found for run in pattern.findall(text) if (found := _readable(decode, run))]
        if parts:
            yield name, " ".join(parts)
    if _SIGN["escapes"].search(raw):
        yield "escapes", _unescaped(text)


def _disguised(text: str) -> Iterator[tuple[str, str]]:
    """What is written as people do who hide it from programs; only where a tell-tale sign is found."""
    raw = text.encode("utf-8", "replace")
    for name, table in (("rot13", _ROT13), ("atbash", _ATBASH), ("leet", _LEET)):
        if _SIGN[name].search(raw):
            yield name, text.translate(table)
    if _SIGN["reversed"].search(raw):
        yield "reversed", text[::-1]
    if _SIGN["spaced"].search(raw):
        yield "spaced", _COMPILED["spaced"].sub(lambda run: run.group().translate(_NO_SEPARATORS), text)


# --- encodings


def _base64(run: str) -> bytes:
    run = run.rstrip("=").translate(_FROM_URL)
    return base64.b64decode(run + "=" * (-len(run) % 4))


def _base32(run: str) -> bytes:
    run = run.rstrip("=")
    return base64.b32decode(run + "=" * (-len(run) % 8))


def _hexadecimal(run: str) -> bytes:
    return bytes.fromhex(run.replace("0x", "").replace("\\x", "").translate(_NO_HEX))


def _binary(run: str) -> bytes:
    bits = run.split()
    return bytes(int(bit, 2) for bit in bits) if len(bits) > 1 else int(run, 2).to_bytes(len(run) // 8, "big")


def _decimal(run: str) -> bytes:
    return bytes(int(number) for number in run.replace(",", " ").split())


def _morse(run: str) -> bytes:
    words = run.replace("|", "/").split("/")
    return " ".join("".join(_MORSE.get(letter, "?") for letter in word.split()) for word in words).encode()


def _ascii85(run: str) -> bytes:
    return base64.a85decode(run.encode(), adobe=True)


def _readable(decode: Callable[[str], bytes], run: str) -> str | None:
    """What a run of characters says; None where that is no text."""
    try:
        text = decode(run).decode()
    except (ValueError, binascii.Error, OverflowError):
        return None
    good = sum(map(str.isprintable, text)) + text.count("\n") + text.count("\t")
    if len(text) < _MIN_DECODED or good < 0.95 * len(text):
        return None
    return text


def _unescaped(text: str) -> str:
    text = _BACKSLASH.sub(lambda found: chr(int(found.group(1) or found.group(2), 16)), text)
    return unquote(html.unescape(text), errors="replace")


def _of_selectors(text: str) -> str:
    """Bytes that are written as variation selectors (P. Butler, "Smuggling arbitrary data through an emoji", 2025)."""
    data = bytes(ord(one) - 0xFE00 if ord(one) < 0xFE10 else ord(one) - 0xE0100 + 16 for one in text)
    return data.decode("utf-8", "replace")


def _sign(change: Callable[[str], str]) -> str:
    return "|".join(change(word) for word in _KEYWORDS)


_KEYWORDS = ("ignore", "instructions", "previous", "system", "prompt", "reveal", "password", "disregard", "override")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROT13 = str.maketrans(_LETTERS, _LETTERS[13:] + _LETTERS[:13])
_ATBASH = str.maketrans(_LETTERS, _LETTERS[::-1])
_LEET = str.maketrans("013457@$!|", "oieastasil")
_FROM_URL = str.maketrans("-_", "+/")

_PATTERNS = {
    "base64": r"[A-Za-z0-9+/_-]{20,}={0,2}|[A-Za-z0-9+/_-]{10,}={1,2}",
    "hex": r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,-]?){8,}",
    "base32": r"\b[A-Z2-7]{24,}={0,6}",
    "binary": r"(?:[01]{8} ?){6,}",
    "decimal": r"(?:\b(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])[ ,]{1,2}){7,}\d{2,3}",
    "morse": r"(?:[.-]{1,6}[ /|]{1,3}){8,}[.-]{1,6}",
    "ascii85": r"<~[!-u\s]{10,}~>",
    "escapes": (
        r"(?:%[0-9a-fA-F]{2}){3}|(?:\\u[0-9a-fA-F]{4}){3}|(?:\\x[0-9a-fA-F]{2}){3}|(?:&#x?[0-9a-fA-F]{1,6};){3}"
    ),
    "rot13": _sign(lambda word: word.translate(_ROT13)),
    "atbash": _sign(lambda word: word.translate(_ATBASH)),
    "reversed": _sign(lambda word: word[::-1]),
    "leet": r"\b[a-z]+[013457@$!|]+[a-z]+[a-z013457@$!|]*|\b[013457@$!|]+[a-z]+[013457@$!|]+[a-z]",
    "spaced": r"\b(?:[a-z0-9][ .\-_*|/]{1,3}){5,}[a-z0-9]\b",
}
"""What a text looks like in which something is hidden."""
_SIGNS = re2.compile(f"(?i:{'|'.join(_PATTERNS.values())})".encode())
"""All of them at once: most texts show none, and are done with."""
_SIGN = {name: re2.compile(pattern.encode()) for name, pattern in _PATTERNS.items()}
_COMPILED = {name: re2.compile(pattern) for name, pattern in _PATTERNS.items()}
_NO_SEPARATORS = str.maketrans("", "", " .-_*|/")
_NO_HEX = str.maketrans("", "", " :,-")
_BACKSLASH = re2.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_DEEPER = frozenset(
    {"base64", "hex", "base32", "binary", "decimal", "ascii85", "escapes", "tags", "selectors", "reversed"}
)
"""What may hold another encoding; that one is not looked into again."""

_TAGS = re2.compile(r"[\x{E0020}-\x{E007E}]{4,}")
_FROM_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
_SELECTORS = re2.compile(r"[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{4,}")
_UNSEEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xE0000, 0xE0FFF),
)  # fmt: skip
_INVISIBLE = {code: None for first, last in _UNSEEN for code in range(first, last + 1)}
_ON_LETTERS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_BARE = CONFUSABLES | {code: None for first, last in _ON_LETTERS for code in range(first, last + 1)}
_SIGNS_ALIKE = frozenset(map(chr, CONFUSABLES))
_ASCII = frozenset(ascii_letters)
_CODES = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
    " ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.."
)
_MORSE = {
    code: letter
    for letter, code in zip(_LETTERS + "0123456789.,?",
        _CODES.split(),
        strict=True,
    )
}  # fmt: skip
_ENCODINGS: tuple[tuple[str, Callable[[str], bytes]], ...] = (
    ("base64", _base64),
    ("hex", _hexadecimal),
    ("base32", _base32),
    ("binary", _binary),
    ("decimal", _decimal),
    ("morse", _morse),
    ("ascii85", _ascii85),
)
