"""Where the values are: one RE2 expression finds candidates in linear time, whatever the text.

Bytes go in and positions in bytes come out. The expression takes every byte above 127 for a letter, which is right for
UTF-8 and spares a translation of positions. Formats are those that their issuers publish; what has no form of its own
(a name, a password in a sentence) is not found.

Most of a text is far from any value. :mod:`cloister.masking.hints` tells where one could begin, several times as fast,
and the expression is applied there alone. That changes nothing of what is found: :func:`find_closely`, which looks
everywhere, finds the same.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import re2

from cloister.masking.gaps import BLANK, HYPHEN, SPACE, WIDE, WIDEST, gap
from cloister.masking.hints import JWT_BEGINS, LEAD, NAMES, Hints, hints
from cloister.masking.kinds import CHECKS, Kind, given

MAX_LENGTH = 1 << 14
"""Bytes of the longest values that are seen whole: keys of 16,384 bits in PEM, and tokens with many claims."""

_LETTER = r"0-9A-Za-z\x80-\xff"
# RFC 5321, sections 4.1.2 and 4.5.3.1.1: what a mailbox's name may have besides letters, and how long it may be.
_SIGNS, _MAILBOX_BYTES = ".!#$%&'*+/=?^_`{|}~-", 64
_DOMAIN = rf"@(?:[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?\.)+[A-Za-z\x80-\xff]{{2,63}}"
_EXTENSION = r"(?:x| ?ext\.? ?)[0-9]{1,6}"
# What stands between groups of digits; beyond ASCII spaces and hyphens are not told apart.
_GAP, _ANY, _POINTED, _SLASHED = gap(" -"), gap(" ()./-"), gap(" .-"), gap(" /-")
_DOTTED = rf"(?:\.|{HYPHEN})"
_SPACED, _SPACED_OR_DOTTED = rf"(?:/|{SPACE})", rf"(?:\.|{SPACE})"
_PATTERNS: tuple[tuple[str, Kind, str], ...] = (
    # Each of these has its hints in cloister.masking.hints.
    # RFC 7468; a block without an end goes on to the end of the text, or of the JSON string.
    (
        "key",
        Kind.SECRET,
        r'-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[^"-]|-[^"-])*(?:-----END [A-Z0-9 ]{0,40}-----)?',
    ),
    # RFC 7519: three parts, the first of which begins with `{"`. Looked for apart, see _tokens.
    ("jwt", Kind.SECRET, JWT_BEGINS + r"[0-9A-Za-z_-]*\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"),
    # AWS, GitHub, GitLab, Slack, Google, OpenAI and Anthropic, Stripe, Hugging Face, npm, PyPI; HTTP's own scheme.
    (
        "token",
        Kind.SECRET,
        r"(?:A(?:KIA|SIA)[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255}"
        r"|glpat-[0-9A-Za-z_-]{20,64}|xox[abeoprs]-[0-9A-Za-z-]{10,255}|AIza[0-9A-Za-z_-]{35}"
        r"|sk-[0-9A-Za-z_-]{20,255}|[rs]k_live_[0-9A-Za-z]{20,255}|hf_[0-9A-Za-z]{30,64}|npm_[0-9A-Za-z]{36}"
        r"|pypi-[0-9A-Za-z_-]{50,255}|[Bb]earer [0-9A-Za-z._~+/-]{16,}=*)",
    ),
    # What is assigned to a name that says what it is, or stands beside it in a table: the group is the value, and it
    # alone is one. Either may be marked as Markdown does.
    (
        "secret",
        Kind.SECRET,
        NAMES
        + rf"""(?:{BLANK}{{0,2}}[:=]=?|[ \t]{{0,20}}\|[ \t]{{0,18}})[*_`]{{0,2}}{BLANK}{{0,2}}\\?["'`]?"""
        + r"([0-9A-Za-z!#$%&()*+./?@^_~-]{8,256})",
    ),
    ("email", Kind.EMAIL, rf"[{_LETTER}{re.escape(_SIGNS)}]{{1,{_MAILBOX_BYTES}}}{_DOMAIN}"),
    ("iban", Kind.IBAN, rf"[A-Z]{{2}}[0-9]{{2}}(?:{SPACE}?[0-9A-Z]{{4}}){{2,7}}(?:{SPACE}?[0-9A-Z]{{1,3}})?"),
    # Without groups, or in those in which cards are printed.
    (
        "card",
        Kind.CARD,
        rf"[0-9]{{13,19}}|[0-9]{{4}}(?:{_GAP}[0-9]{{4}}){{2}}{_GAP}[0-9]{{1,4}}(?:{_GAP}[0-9]{{1,3}})?"
        rf"|[0-9]{{4}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{4,5}}",
    ),
    ("ssn", Kind.SSN, rf"[0-9]{{3}}{HYPHEN}[0-9]{{2}}{HYPHEN}[0-9]{{4}}"),
    (
        "ip",
        Kind.IP,
        r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
        r"|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}",
    ),
    # E.164 with its plus or zeros, an area code in brackets, the North American form, national ones with their zero.
    (
        "phone",
        Kind.PHONE,
        rf"(?:\+[0-9](?:{_ANY}{{0,2}}[0-9]){{7,14}}|\([0-9]{{2,5}}\){_GAP}?[0-9](?:{_SLASHED}?[0-9]){{5,9}}"
        rf"|(?:(?:00)?1{_POINTED})?[2-9][0-9]{{2}}{_DOTTED}[2-9][0-9]{{2}}{_DOTTED}[0-9]{{4}})(?:{_EXTENSION})?"
        rf"|\(0[0-9]{{2,4}}\){_GAP}?[0-9](?:{_SLASHED}?[0-9]){{4}}"
        rf"|00[1-9][0-9]{{0,2}}{_SPACED}(?:[0-9]{_SLASHED}?){{6,13}}[0-9]|0[1-9](?:{_SPACED_OR_DOTTED}[0-9]{{2}}){{4}}"
        rf"|0[1-9][0-9]{{1,4}}(?:{_SPACED}[0-9]{{3,8}}(?:{SPACE}[0-9]{{2,8}}){{0,3}}|{HYPHEN}[0-9]{{5,8}})",
    ),
)
"""Mark, kind, expression. Earlier ones win where two begin at one place."""

MARKS = tuple(mark for mark, _, _ in _PATTERNS)
"""Finer than the kinds: what the journal writes in place of a value."""

_ALONE = frozenset({Kind.CARD, Kind.SSN, Kind.IP, Kind.PHONE, Kind.IBAN})
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") | frozenset(range(128, 256))
_MORE = re.compile(_EXTENSION.encode())
_BETWEEN = re.compile(_GAP.encode())
_DIGIT_GAP = re.compile(f"[0-9]{_GAP}\\Z".encode())
_WIDE, _WIDE_BEFORE = re.compile(WIDE.encode()), re.compile(rf"{WIDE}\Z".encode())
_DIGITS, _POINT_DIGIT, _DIGIT_POINT = re.compile(rb"[0-9]+"), re.compile(rb"\.[0-9]"), re.compile(rb"[0-9]\.")
_LINE_ENDS = (b"\\n", b"\\t", b"\\r")
_SEPARATORS = [bytes([one]) for one in b"\n\r,;<>[]"]
"""Bytes that no value has, but a key in PEM."""
_SEPARATOR = re.compile(b"[%b]" % re.escape(b"".join(_SEPARATORS)))
_WHERE = re.compile(_DOMAIN.encode("latin-1"))
_IN_MAILBOX = bytes(_WORD) + _SIGNS.encode()
_WORTH_HINTS = 1 << 12
"""Bytes; shorter texts, such as prompts, are as soon read as asked about."""


class Finding(NamedTuple):
    """A value: where it lies in the bytes, and what it is."""

    start: int
    stop: int
    kind: Kind
    mark: str


def find(
    data: bytes, kinds: frozenset[Kind] | None = None, start: int = 0, *, hinted: Hints | None = None
) -> list[Finding]:
    """Every value of these kinds (all without) that begins at ``start`` or later, in order and without overlap. Of one
    that is cut off at either end of ``data``, what is there may be found or not. ``hinted``: what :func:`hints` tells
    of the same, for who has asked already."""
    if hinted is None and len(data) - start < _WORTH_HINTS:
        return find_closely(data, kinds, start)
    places = (hinted or hints(data, kinds)).ends
    if places is None:
        return find_closely(data, kinds, start)
    candidates, at = _expression(kinds), start
    found: list[Finding] = []
    begun: list[int] = []
    for place in [start + 1, *places] if start else places:
        if place > at:
            # The value, if it is one, begins at most LEAD bytes before, and what lies between two separators is apart.
            begin = max(at, max(data.rfind(one, at, max(at, place - LEAD)) for one in _SEPARATORS) + 1)
            if kinds is None or Kind.EMAIL in kinds:
                _addresses(data, at, begin, found)
            at = stop.start() if (stop := _SEPARATOR.search(data, place)) else len(data)
            _search(data, begin, at, candidates, kinds, found, begun)
    if kinds is None or Kind.EMAIL in kinds:
        _addresses(data, at, len(data), found)
    return _with_tokens(data, begun, found)


def find_closely(data: bytes, kinds: frozenset[Kind] | None = None, start: int = 0) -> list[Finding]:
    """The same, by looking at every byte."""
    found: list[Finding] = []
    begun: list[int] = []
    _search(data, start, len(data), _expression(kinds), kinds, found, begun)
    return _with_tokens(data, begun, found)


def _with_tokens(data: bytes, begun: list[int], found: list[Finding]) -> list[Finding]:
    """With JSON web tokens, and without overlap. ``begun``: where one could begin.

    They are looked for apart because they have parts of any length: where one could begin but does not, the search runs
    on through what could be the part, and among other forms it would do so again behind each value in there."""
    if not begun:
        return found
    tokens = [Finding(one.start(), one.end(), Kind.SECRET, "jwt") for one in _TOKEN.finditer(data, begun[0])]
    if not tokens:
        return found
    whole: list[Finding] = []
    for one in sorted((*tokens, *found), key=attrgetter("start")):
        if whole and one.start < whole[-1].stop:
            whole[-1] = whole[-1]._replace(stop=max(whole[-1].stop, one.stop))
        else:
            whole.append(one)
    return whole


def _addresses(data: bytes, start: int, stop: int, found: list[Finding]) -> None:
    """Of text without any other value: its e-mail addresses. Most values are, so they are found in fewer steps."""
    email = Kind.EMAIL
    sign = data.find(b"@", start, stop)
    while sign >= 0:
        if domain := _WHERE.match(data, sign, stop):
            room = data[max(start, sign - _MAILBOX_BYTES) : sign]
            if name := len(room) - len(room.rstrip(_IN_MAILBOX)):
                start = domain.end()
                found.append(Finding(sign - name, start, email, "email"))
        sign = data.find(b"@", sign + 1, stop)


def _search(
    data: bytes,
    start: int,
    stop: int,
    expression: "re2._Regexp[bytes]",
    kinds: frozenset[Kind] | None,
    found: list[Finding],
    begun: list[int],
) -> None:
    at: int | None = start
    while at is not None:
        at = _collect(data, expression.finditer(data, at, stop), kinds, found, begun)


def _collect(
    data: bytes,
    candidates: "Iterator[re2._Match[bytes]]",
    kinds: frozenset[Kind] | None,
    found: list[Finding],
    begun: list[int],
) -> int | None:
    """Takes candidates until one is none; where to go on then. ``begun`` gets where a JSON web token could begin."""
    for candidate in candidates:
        start, stop = candidate.span()
        finding = _finding(data, start, stop, kinds)
        if _TOKEN_BEGINS in data[start:stop]:
            begun.append(start)
        if finding is None:
            # Another value may begin within what was none; but none begins within a run of digits.
            digits = _DIGITS.match(data, start)
            return digits.end() if digits else start + 1
        found.append(finding)
        if finding.stop != stop:
            return finding.stop
    return None


def _finding(data: bytes, start: int, stop: int, kinds: frozenset[Kind] | None) -> Finding | None:
    text = data[start:stop]
    if b"@" in text and b"=" not in text and b":" not in text and not text.startswith(b"-----"):
        # Told at once, because most of what is found is of this kind: nothing else has an @ without one of those.
        return Finding(start, stop, Kind.EMAIL, "email")
    for mark, kind, pattern in _TOLD:
        match = pattern.fullmatch(data, start, stop) if kinds is None or kind in kinds else None
        if not match:
            continue
        if match.lastindex:
            told = data[start : match.start(1)]
            return Finding(match.start(1), stop, kind, mark) if given(told, match[1], data[stop : stop + 1]) else None
        for end in _ends(data, start, stop, kind):
            if (kind not in _ALONE or _stands_alone(data, start, end, kind)) and CHECKS[kind](data[start:end]):
                return Finding(start, end, kind, mark)
    return None


def _ends(data: bytes, start: int, stop: int, kind: Kind) -> Iterator[int]:
    """Where a candidate may end: a number in groups may be followed by one that is not part of it."""
    yield stop
    if kind is Kind.PHONE and (more := _MORE.search(data, start, stop)):
        yield more.start()
    if kind in (Kind.CARD, Kind.IBAN):
        yield from reversed([one.start() for one in _BETWEEN.finditer(data, start + 13, stop)])


def _stands_alone(data: bytes, start: int, stop: int, kind: Kind) -> bool:
    """Whether a number is not the middle of a longer one."""
    if stop < len(data) and data[stop] in _WORD and not _WIDE.match(data, stop):
        return False
    before = data[max(0, start - 1 - WIDEST) : start]
    if start and data[start - 1] in _WORD and not _WIDE_BEFORE.search(before):
        # JSON writes a line's end as \n, whose letter is no part of what follows it.
        return before[-2:] in _LINE_ENDS
    if kind is Kind.PHONE and data[start : start + 1].isdigit() and _DIGIT_GAP.search(before):
        return False
    if kind is not Kind.IP:
        return True
    if before.endswith(b"::") or data.startswith(b"::", stop):
        return False  # a path of names in a program
    return not (_POINT_DIGIT.match(data, stop) or _DIGIT_POINT.match(data, max(0, start - 2)))


def expressions(kinds: frozenset[Kind] | None = None) -> list[str]:
    """What candidates of these kinds (all without) look like, for those who must know what may still become one."""
    return [pattern for _, kind, pattern in _PATTERNS if kinds is None or kind in kinds]


@lru_cache(64)
def _expression(kinds: frozenset[Kind] | None) -> "re2._Regexp[bytes]":
    # Without groups RE2 needs no more than its automaton; what was found is told afterwards.
    forms = [pattern for mark, kind, pattern in _PATTERNS if mark != "jwt" and (kinds is None or kind in kinds)]
    if kinds is None or Kind.SECRET in kinds:
        forms.append(JWT_BEGINS)
    wanted = "|".join(f"(?:{pattern})" for pattern in forms)
    return re2.compile(wanted.encode("latin-1"), options=_options())


_TOLD = tuple((mark, kind, re.compile(pattern.encode("latin-1"))) for mark, kind, pattern in _PATTERNS if mark != "jwt")
"""What a candidate is. It is short by now, so the standard library's matcher, which starts sooner, can do no harm."""


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20
    options.log_errors = False
    return options


_TOKEN_BEGINS = b"eyJ"
_TOKEN = next(
    re2.compile(pattern.encode("latin-1"), options=_options()) for mark, _, pattern in _PATTERNS if mark == "jwt"
)
