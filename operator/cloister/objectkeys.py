"""What a key of an object may consist of: nothing that two programs could read in two ways.

Clients and proxies resolve `..` and empty segments before a store ever sees them, and a disk has no name for some
characters: the object that is written would be another than the one that was named. Users' commands and the stores'
auditors refuse the same.
"""

import unicodedata

MAX_BYTES = 1024
"""Amazon S3 user guide, "Naming Amazon S3 objects"."""

_LOOK_ALIKES = frozenset("‛．／＼" + "".join(map(chr, range(0x2400, 0x2427))))  # noqa: RUF001 - these very characters
"""What rclone writes in place of characters that a disk can't have in names (rclone, lib/encoder): two keys could meet
in one file."""
_TEMPORARY = (".rclone_temp_", ".rclone_multipart_upload_")
"""Of names that rclone keeps for itself: it lists no such object, and deletes it (rclone, cmd/serve/s3)."""
_UNWANTED = ("Cc", "Cs", "Cn", "Zl", "Zp")
"""Unicode categories: controls, halves of characters, no characters, ends of lines."""


def misread(text: str) -> str | None:
    """The first character of a key, or of a part of one, that programs read differently."""
    if text.isascii() and text.isprintable() and "\\" not in text and "%" not in text:
        return None
    for character in text:
        if character in "\\%" or character in _LOOK_ALIKES or unicodedata.category(character) in _UNWANTED:
            return character
    # A disk may take two spellings of a letter for one name, and rclone does.
    if unicodedata.is_normalized("NFC", text):
        return None
    return next(text[at] for at in range(len(text)) if not unicodedata.is_normalized("NFC", text[: at + 1]))


def ambiguous(key: str, *, whole: bool = True) -> bool:
    """Whether a segment is empty, is `.` or `..`, or is a name of the store's own. The last one of a prefix, which is
    not `whole`, may be empty."""
    *segments, last = key.split("/")
    return (
        any(segment in ("", ".", "..") for segment in segments)
        or last in (".", "..")
        or (whole and not last)
        or any(segment.startswith(_TEMPORARY) for segment in (*segments, last))
    )
