"""The texts that a text may be read as: unified, and with what is hidden in it taken out.

Nothing here takes more than linear time, and all views together are bounded: each transformation of a text is at most
as long as the text, there are at most :data:`MAX_VIEWS` of them, and what was decoded is decoded once more at most. No
view is left out for others: who hides one thing could fill the places with ten.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import ascii_letters
from urllib.parse import unquote

import re2

from cloister.inspection.confusables import CONFUSABLES

MAX_VIEWS = 32
"""Each of the ways below once, and once more for what may hold another encoding."""
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
        spaced = " ".join(text.lower().split())
        return spaced if spaced.isprintable() else " ".join(spaced.translate(_CONTROLS).split())
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
    if _MARKED.search(bare.encode("utf-8", "replace")):
        bare = "".join(one for one in bare if unicodedata.category(one)[0] != "M")
    return " ".join(bare.lower().split())


def views(text: str) -> list[View]:
    """Every reading of a text, the plain one first; none twice."""
    ascii_only = text.isascii()
    if not ascii_only:
        text = _whole(text)
    plain = folded(text)
    signs = bool(_SIGNS.search(text.encode()))
    if ascii_only and not signs:
        return [View("plain", plain)] if plain else []
    found = {plain: "plain"}
    for name, hidden in _hidden(text, plain, signs=signs):
        found.setdefault(folded(hidden), name)
        if name in _DEEPER and (deeper := [*_decoded(hidden)]):
            again = deeper[0][0] if len(deeper) == 1 else "several"
            found.setdefault(folded("\n".join(one for _, one in deeper)), f"{name}+{again}")
    return [View(name, view) for view, name in found.items() if view]


def _whole(text: str) -> str:
    """With both halves of a surrogate pair as the one character that they are, and none that stands alone: those are in
    no text that can be written."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _hidden(text: str, plain: str, *, signs: bool) -> Iterator[tuple[str, str]]:
    if not text.isascii():
        if tags := _TAGS.findall(text):
            yield "tags", "".join(tags).translate(_FROM_TAGS)
        if selectors := _SELECTORS.findall(text):
            yield "selectors", _of_selectors("".join(selectors))
        yield "skeleton", skeleton(text)
    if signs:
        if _SIGN["parted"].search(text.encode()):
            yield "parted", text.translate(_UNSEEN_TO_SPACES)
            yield "joined", text.translate(_NO_UNSEEN)
        yield from _decoded(text)
        yield from _disguised(plain)


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    """What is written in an encoding that computers use."""
    raw = text.encode()
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
    raw = text.encode()
    for name, table in (("rot13", _ROT13), ("atbash", _ATBASH), ("leet", _LEET)):
        if _SIGN[name].search(raw):
            yield name, text.translate(table)
    if _SIGN["reversed"].search(raw):
        yield "reversed", text[::-1]
    if _SIGN["spaced"].search(raw):
        yield "spaced", _COMPILED["spaced"].sub(lambda run: run.group().translate(_NO_SEPARATORS), text)


# --- encodings


def _base64(run: str) -> bytes:
    """Of what is no text from its first character on, from one of the next three: what stood before the code may be
    written in the same signs, as `decode/` is."""
    run = run.rstrip("=").translate(_FROM_URL)
    whole = _base64_from(run, 0)
    if _is_text(whole):
        return whole
    for start in range(4):
        data = _base64_from(run, start)
        if len(data.translate(None, _OF_TEXT)) <= 0.2 * len(data):
            return data.decode("utf-8", "ignore").translate(_CONTROLS).encode()
    return whole


def _base64_from(run: str, start: int) -> bytes:
    run = run[start:]
    # One character beyond a whole number of bytes says nothing.
    run = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(run + "=" * (-len(run) % 4))


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _base32(run: str) -> bytes:
    run = run.rstrip("=")
    return base64.b32decode(run + "=" * (-len(run) % 8))


def _hexadecimal(run: str) -> bytes:
    return bytes.fromhex(run.replace("0x", "").replace("\\x", "").translate(_NO_HEX))


def _binary(run: str) -> bytes:
    bits = run.replace("0b", "").translate(_TO_SPACES).split()
    return b"".join(int(bit, 2).to_bytes(len(bit) // 8, "big") for bit in bits)


def _decimal(run: str) -> bytes:
    return bytes(int(number) for number in run.translate(_TO_SPACES).split())


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
    text = _BACKSLASH.sub(_character, text)
    return _whole(unquote(html.unescape(text), errors="replace"))


def _character(escape: re.Match[str]) -> str:
    """What an escape stands for; of one that stands for nothing, the escape."""
    if not escape.lastindex:
        return " "  # a line's end, or a tab
    code = int(escape[escape.lastindex], 16)
    return chr(code) if code <= MAX_CODE else escape[0]


def _of_selectors(text: str) -> str:
    """Bytes that are written as variation selectors (P. Butler, "Smuggling arbitrary data through an emoji", 2025)."""
    data = bytes(ord(one) - 0xFE00 if ord(one) < 0xFE10 else ord(one) - 0xE0100 + 16 for one in text)
    return data.decode("utf-8", "replace")


def _sign(change: Callable[[str], str]) -> str:
    return "|".join(change(word) for word in _KEYWORDS)


MAX_CODE = 0x10FFFF
_KEYWORDS = ("ignore", "instructions", "previous", "system", "prompt", "reveal", "password", "disregard", "override")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROT13 = str.maketrans(_LETTERS, _LETTERS[13:] + _LETTERS[:13])
_ATBASH = str.maketrans(_LETTERS, _LETTERS[::-1])
_LEET = str.maketrans("013457@$!|", "oieastasil")
_FROM_URL = str.maketrans("-_", "+/")

_UNSEEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891),
    (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E),
    (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""What no reader sees: all of Unicode's category Cf, and what is as empty."""
_NO_TEXT = ((0x00, 0x08), (0x0E, 0x1B), (0x7F, 0x84), (0x86, 0x9F))
"""Control characters that stand for nothing in a text."""
_BREAKS = ((0x0B, 0x0C), (0x1C, 0x1F), (0x85, 0x85), (0x2028, 0x2029))
"""Those that part words, if anything."""


def _codes(*ranges: tuple[int, int]) -> list[int]:
    return [code for first, last in ranges for code in range(first, last + 1)]


_CONTROLS = dict.fromkeys(_codes(*_NO_TEXT))
_INVISIBLE = dict.fromkeys(_codes(*_UNSEEN, *_NO_TEXT))
_NO_UNSEEN: dict[int, str | None] = dict.fromkeys(_codes(*_UNSEEN, *_NO_TEXT, *_BREAKS))
_UNSEEN_TO_SPACES = dict.fromkeys(_NO_UNSEEN, " ")
_UNSEEN_SIGNS = "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in (*_UNSEEN, *_NO_TEXT, *_BREAKS))

_AS_LETTER = (
    r"%[46][1-9a-f]|%[57][0-9a]|\\u00[4-7][0-9a-f]|\\x[4-7][0-9a-f]|\\u\{[0-9a-f]{1,6}\}|\\U000[0-9a-f]{5}"
    r"|&#(?:6[5-9]|[7-9][0-9]|1[01][0-9]|12[0-2]|x[4-7][0-9a-f]);"
)
_AS_SPACE = (
    r"%(?:20|0[9ad])|\\[nrt]|\\[ux](?:00)?(?:20|0[9ad])"
    r"|&(?:nbsp|ensp|emsp|thinsp|shy|zwnj|zwj|tab|newline);|&#(?:32|160|10|9);"
)
_PATTERNS = {
    "parted": rf"[a-z0-9][{_UNSEEN_SIGNS}]+[a-z0-9]",
    "base64": r"[A-Za-z0-9+/_-]{20,}={0,2}|[A-Za-z0-9+/_-]{10,}={1,2}",
    "hex": r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,;\t\r\n-]{0,2}){8,}",
    "base32": r"\b[A-Z2-7]{24,}={0,6}",
    "binary": r"(?:(?:0b)?[01]{8}[ ,;\t\r\n]{0,2}){6,}",
    "decimal": r"(?:\b(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])[ ,;\t\r\n]{1,3}){7,}\d{2,3}",
    "morse": r"(?:[.-]{1,6}[ /|]{1,3}){8,}[.-]{1,6}",
    "ascii85": r"<~[!-u\s]{10,}~>",
    "escapes": (
        r"(?:%[0-9a-fA-F]{2}){3}|(?:\\u[0-9a-fA-F]{4}){3}|(?:\\x[0-9a-fA-F]{2}){3}|(?:&#x?[0-9a-fA-F]{1,6};){3}"
        r"|(?:\\u\{[0-9a-fA-F]{1,6}\}){3}"
        # In a word, one is enough: nobody needs to write a letter so, and what stands for a space parts words.
        rf"|[a-z](?:{_AS_LETTER}|{_AS_SPACE})|(?:{_AS_LETTER}|{_AS_SPACE})[a-z]"
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
_NO_HEX = str.maketrans("", "", " :,;\t\r\n-")
_TO_SPACES = str.maketrans(",;", "  ")
# Python's own, which calls back ten times as fast: nothing in it can be read in two ways, or is longer than ten signs.
_BACKSLASH = re.compile(
    r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\[ux]\{([0-9a-fA-F]{1,6})\}|\\U([0-9a-fA-F]{8})|\\[nrt]"
)
_OF_TEXT = bytes(range(32, 127)) + b"\t\n\r"
_DEEPER = frozenset(
    {"base64", "hex", "base32", "binary", "decimal", "ascii85", "escapes", "tags", "selectors", "reversed"}
)
"""What may hold another encoding; that one is not looked into again."""

_TAGS = re2.compile(r"[\x{E0020}-\x{E007E}]{4,}")
_FROM_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
_SELECTORS = re2.compile(r"[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{4,}")
_ON_LETTERS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_IN_BOXES = {first + at: letter for first in (0x1F150, 0x1F170, 0x1F1E6) for at, letter in enumerate(_LETTERS)}
"""Letters in circles and squares, and those that flags are made of."""
_BARE = CONFUSABLES | _IN_BOXES | dict.fromkeys(_codes(*_ON_LETTERS))
_MARKED = re2.compile(rb"[A-Za-z]\p{M}")
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
