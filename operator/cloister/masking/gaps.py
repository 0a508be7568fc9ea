"""What stands between the groups of a number as it is printed: spaces and hyphens, also those that don't break.

As expressions over the bytes of UTF-8, for both engines; and as what they mean, for texts in which they are escapes.
"""

_WIDE_SPACE = r"\xc2\xa0|\xe2\x80[\x87\x89\xaf]"
_WIDE_HYPHEN = r"\xe2\x80[\x90-\x93]"

SPACE = rf"(?:[ ]|{_WIDE_SPACE})"
BLANK = rf"(?:[ \t]|{_WIDE_SPACE})"
WIDE = rf"(?:{_WIDE_SPACE}|{_WIDE_HYPHEN})"
HYPHEN = rf"(?:-|{_WIDE_HYPHEN})"
WIDEST = 3
"""Bytes of the longest."""
MEANT = dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F), b" ") | dict.fromkeys(range(0x2010, 0x2014), b"-")
"""Characters beyond ASCII that are gaps, and the one of ASCII that each is like."""


def gap(signs: str) -> str:
    """Any of these signs of ASCII (as in a class), or a gap beyond it."""
    return rf"(?:[{signs}]|{WIDE})"
