"""Texts that make a careless program slow: each made to a size."""

import base64
from collections.abc import Callable

HOSTILE: dict[str, Callable[[int], str]] = {
    "one letter": lambda size: "a" * size,
    "letters and spaces": lambda size: "a " * (size // 2),
    "ignore, and never what": lambda size: "ignore " * (size // 7),
    "ignore all, again and again": lambda size: "ignore all the " * (size // 15),
    "words of every rule": lambda size: (
        "reveal the system ignore your print act as pretend without do not " * (size // 66)
    ),
    "base64 of base64": lambda size: base64.b64encode(base64.b64encode(b"ordinary " * (size // 16))).decode()[:size],
    "many short base64": lambda size: "QUJDREVGR0hJSktMTU5P. " * (size // 22),
    "hexadecimal": lambda size: "41" * (size // 2),
    "binary": lambda size: "01000001 " * (size // 9),
    "dots and dashes": lambda size: ".- " * (size // 3),
    "numbers": lambda size: "65 " * (size // 3),
    "per cent": lambda size: "%41" * (size // 3),
    "brackets": lambda size: "[" * size,
    "ascii85": lambda size: "<~" * (size // 2),
    "spaced letters": lambda size: "i g n o r e. " * (size // 13),
    "leet": lambda size: "1gn0r3 " * (size // 7),
    "zero width": lambda size: "i\u200bg\u200b" * (size // 4),
    "tags": lambda size: "\U000e0069" * size,
    "combining marks": lambda size: "e\u0301" * (size // 2),
    "what NFKC makes long": lambda size: "\ufdfa" * (size // 18),
    "Cyrillic and Latin": lambda size: "ign\u043ere " * (size // 7),
    "control characters": lambda size: "i\x01g\x0b" * (size // 4),
    "escapes in words": lambda size: r"ign\u006fre\nall%20" * (size // 20),
    "base64 out of step": lambda size: (
        ("a/" + base64.b64encode(b"ordinary text ").decode().rstrip("=") + " ") * (size // 22)
    ),
    "base64 of no text": lambda size: base64.b64encode(bytes(range(128, 256)) * (size // 170 + 1)).decode()[:size],
    "new lines": lambda size: "\n" * size,
}
