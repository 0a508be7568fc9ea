"""Redaction for `audit.content: Redacted`: values that identify people or open doors become marks.

One RE2 expression finds candidates in linear time, whatever the text; numbers with a check digit are then checked, so
that an order number is not taken for a card. Formats are those that their issuers publish; what has no form of its own
(a name, a password in a sentence) is not found, and docs/journal.md says so.
"""

import re2

MARKS = ("key", "jwt", "token", "email", "iban", "card", "ssn", "ip", "phone")
"""Kinds of values; `[email]` takes the place of an address. Earlier ones win where two begin at one place."""

_WORD = r"(?:^|[^0-9A-Za-z])"
_PATTERNS: dict[str, str] = {
    # RFC 7468; a block without an end goes on to the end of the text, or of the JSON string.
    "key": r'-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[^"-]|-[^"-])*(?:-----END [A-Z0-9 ]{0,40}-----)?',
    # RFC 7519: three parts, the first of which begins with `{"`.
    "jwt": r"eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*",
    # AWS, GitHub, GitLab, Slack, Google, OpenAI and Anthropic, Stripe, Hugging Face, npm, PyPI; HTTP's own scheme.
    "token": (
        r"(?:A(?:KIA|SIA)[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255}"
        r"|glpat-[0-9A-Za-z_-]{20,64}|xox[abeoprs]-[0-9A-Za-z-]{10,255}|AIza[0-9A-Za-z_-]{35}"
        r"|sk-[0-9A-Za-z_-]{20,255}|[rs]k_live_[0-9A-Za-z]{20,255}|hf_[0-9A-Za-z]{30,64}|npm_[0-9A-Za-z]{36}"
        r"|pypi-[0-9A-Za-z_-]{50,255}|[Bb]earer [0-9A-Za-z._~+/-]{16,}=*)"
    ),
    "email": (
        r"[0-9A-Za-z.!#$%&'*+/=?^_`{|}~\pL-]{1,64}"
        r"@(?:[0-9A-Za-z\pL](?:[0-9A-Za-z\pL-]{0,61}[0-9A-Za-z\pL])?\.)+[A-Za-z\pL]{2,63}"
    ),
    "iban": r"[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?",
    "card": r"[0-9](?:[ -]?[0-9]){12,18}",
    "ssn": r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
    "ip": (
        r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
        r"|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}"
    ),
    # E.164 with its plus, or an area code in brackets.
    "phone": r"\+[0-9](?:[ ()./-]{0,2}[0-9]){7,14}|\([0-9]{2,5}\)[ -]?[0-9](?:[ /-]?[0-9]){5,9}",
}
_LONGEST_DIGITS = 19


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = 64 << 20
    options.log_errors = False
    return options


_FIND = re2.compile("|".join(f"({_PATTERNS[mark]})" for mark in MARKS), options=_options())
_PERHAPS = re2.compile(
    r"[@+]|-----BEGIN |eyJ|[0-9][ -]?[0-9.:-]+[ -]?[0-9]|[A-Za-z]{2}[-_0-9A-Za-z]{14}|[Bb]earer |::|\([0-9]"
)
"""Ordinary text holds none of these, and is left after one quick look."""


def redact(text: str) -> str:
    """The text with marks in place of values. It may be JSON, whose strings it then leaves valid."""
    if not _PERHAPS.search(text):
        return text
    parts, end = [], 0
    for found in _FIND.finditer(text):
        mark = MARKS[found.lastindex - 1]
        start, stop = found.span()
        if start < end or not _stands_alone(text, start, stop, mark) or not _CHECKS.get(mark, _any)(found.group()):
            continue
        parts += [text[end:start], f"[{mark}]"]
        end = stop
    return "".join([*parts, text[end:]]) if parts else text


def _stands_alone(text: str, start: int, stop: int, mark: str) -> bool:
    """Whether a number is not the middle of a longer one."""
    if mark not in {"card", "ssn", "ip", "phone", "iban"}:
        return True
    before, after = text[start - 1 : start], text[stop : stop + 1]
    if before.isalnum() or after.isalnum():
        # JSON writes a line's end as \n, whose letter is no part of what follows it.
        return text[start - 2 : start] in {"\\n", "\\t", "\\r"} and not after.isalnum()
    return not (mark == "ip" and after == "." and text[stop + 1 : stop + 2].isdigit())


def _luhn(text: str) -> bool:
    """ISO/IEC 7812-1, annex B; all zeros would pass it."""
    digits = [int(character) for character in text if character.isdigit()]
    odd = digits[-1::-2]
    even = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return any(digits) and digits[0] in {2, 3, 4, 5, 6} and (sum(odd) + sum(even)) % 10 == 0


def _mod97(text: str) -> bool:
    """ISO 13616-1: the check digits of an IBAN."""
    plain = text.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _issued(text: str) -> bool:
    """Numbers that the US Social Security Administration never issues are none."""
    area, group, serial = text.split("-")
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def _any(text: str) -> bool:
    return True


_CHECKS = {"card": _luhn, "iban": _mod97, "ssn": _issued}
