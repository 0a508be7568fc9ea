"""Text of others, on its way to a terminal."""

import re

_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON leaves as they are, and that a terminal may obey: controls, ends of lines, and what turns the
direction of writing. And what stands for bytes in a file's name that is no text (PEP 383), which nothing can print."""


def printable(text: str) -> str:
    """Text of others for a terminal: what is not printable is escaped, so that nothing moves the cursor, hides what
    follows or turns its direction."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)


def steady(document: str) -> str:
    """The same JSON, in which no character steers a terminal: they can only be in strings, which have escapes."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
