"""Paths and queries, read strictly: what two programs could read in two ways is refused, by whomever it comes."""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from cloister import objectkeys
from cloister.auditor.s3.errors import invalid

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RAW = re.compile(r"[!-~]*")
"""What a request target may consist of (RFC 9112, section 3.2); anything else would have to be escaped."""


def split(target: str) -> tuple[str, str, str]:
    """Bucket, key (each may be empty) and raw query of a request target in origin form."""
    path, question, query = target.partition("?")
    if not path.startswith("/") or not _RAW.fullmatch(target) or "#" in target:
        raise invalid("The path can't be read.", "InvalidURI")
    if question and not query:
        raise invalid("The query is empty.", "InvalidURI")
    bucket, slash, key = path[1:].partition("/")
    if slash and not bucket:
        raise invalid("The path has an empty segment.", "InvalidURI")
    if re.search("%2f", key, re.IGNORECASE) or "\\" in path:
        raise invalid("A slash of the key must be written as one, and not as an escape.", "InvalidURI")
    return _name(bucket), key_of(key) if key else "", query


def _name(bucket: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*|", bucket):
        raise invalid("The bucket's name can't be read.", "InvalidBucketName")
    return bucket


def key_of(text: str) -> str:
    """The key that a path's escaped text stands for."""
    return checked(decoded(text))


def checked(key: str) -> str:
    """A whole key, if every program reads it in the same way."""
    _check_text(key)
    if objectkeys.ambiguous(key):
        raise invalid(
            "A key has no empty segment, none of only one or two dots, and none that begins with .rclone_temp_ or"
            " .rclone_multipart_upload_, and it does not end in '/'."
        )
    return key


def checked_prefix(prefix: str) -> str:
    """A prefix for listings: as a key, but it may be empty, and may end anywhere."""
    _check_text(prefix)
    if objectkeys.ambiguous(prefix, whole=False):
        raise invalid("A prefix has no empty segment and none of only one or two dots.")
    return prefix


def escaped(key: str, *, slashes: bool = True) -> str:
    """The one way in which a key is written in a path, or in a query (without slashes)."""
    return quote(key, safe="/-_.~" if slashes else "-_.~")


def parameters(query: str) -> dict[str, str]:
    """A query's parameters; a name that comes twice, or a plus sign (a space to some), is refused."""
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if "+" in part or not re.fullmatch(r"[A-Za-z-]+", name) or name in found:
            raise invalid("The query can't be read in one way only.", "InvalidURI")
        found[name] = decoded(value)
    return found


def below(key: str, prefixes: Iterable[str]) -> bool:
    """Whether a key, or a listing's prefix, lies below one of these prefixes."""
    return any(key.startswith(prefix) for prefix in prefixes)


def decoded(text: str) -> str:
    """What escaped text stands for."""
    if _BAD_ESCAPE.search(text):
        raise invalid("A percent sign is followed by two hexadecimal digits.", "InvalidURI")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise invalid("The text is no valid UTF-8.", "InvalidURI") from None


def _check_text(key: str) -> None:
    if len(key.encode()) > objectkeys.MAX_BYTES:
        raise invalid(f"A key is no longer than {objectkeys.MAX_BYTES} bytes.", "KeyTooLongError")
    if objectkeys.misread(key):
        raise invalid(
            "The key has a character that programs read differently: a backslash, a percent sign, a letter that is not"
            " in Unicode's composed form (NFC), or the like."
        )
