"""The head of a sealed file: who can open it, and the keys that follow from it. See docs/weights.md for the bytes."""

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field

from cloister.sealing import PublicKey, SealingError, SecretKey
from cloister.sealing.recipients import MAX_RECIPIENTS, Recipients, Sealed, encode_header, parse_header, wrap_for
from cloister.weights.errors import BrokenSealError, NotSealedError, WeightsError, WrongKeyError

MAGIC = b"cloister-sealed 1\n"
MAX_HEADER = 1 << 16
"""Bytes of the header's line."""
MAC_SIZE = 32
KEY_SIZE = 32
MIN_CHUNK, MAX_CHUNK = 1 << 12, 1 << 24

_WRAP_INFO = b"cloister-sealed/1 data key"
_HEADER_INFO = b"cloister-sealed/1 header"
_CHUNKS_INFO = b"cloister-sealed/1 chunks"


class Header(Sealed):
    """What stands before the chunks, in the clear and under a MAC."""

    version: Literal[1] = 1
    chunk: Annotated[int, Field(ge=MIN_CHUNK, le=MAX_CHUNK)]
    """Bytes of plaintext in every chunk but the last."""
    recipients: Recipients

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the JSON; NotSealedError unless it is a header in its one canonical form."""
        try:
            return parse_header(cls, raw)
        except SealingError as error:
            raise NotSealedError(f"its header is not of this version: {error}") from None


@dataclass(frozen=True, slots=True)
class Keys:
    """What follows from the data key and the header: neither can be exchanged without the other."""

    chunks: bytes
    """AES-256 key of this file's chunks."""
    mac: bytes
    """MAC over the head."""


def new_head(recipients: tuple[PublicKey, ...], chunk: int, data_key: bytes) -> bytes:
    """Everything before the first chunk; WeightsError unless these recipients can stand in it."""
    if len(recipients) > MAX_RECIPIENTS:
        raise WeightsError(f"--to names {len(recipients)} keys, and a sealed file has room for {MAX_RECIPIENTS}")
    if twice := [key.key_id for key, times in Counter(recipients).items() if times > 1]:
        raise WeightsError(f"--to names key {twice[0]} more than once: is another one missing?")
    header = Header(chunk=chunk, recipients=wrap_for(recipients, data_key, _WRAP_INFO))
    lines = MAGIC + encode_header(header) + b"\n"
    return lines + derive(data_key, lines).mac


def derive(data_key: bytes, lines: bytes) -> Keys:
    """Keys of a file, by HKDF-SHA256 (RFC 5869) salted with the hash of its first two lines.

    The MAC also commits to the data key, which AES-GCM alone does not: a file can't be made that two recipients read
    differently.
    """
    salt = hashlib.sha256(lines).digest()
    chunks = HKDF(SHA256(), KEY_SIZE, salt, _CHUNKS_INFO).derive(data_key)
    mac_key = HKDF(SHA256(), KEY_SIZE, salt, _HEADER_INFO).derive(data_key)
    return Keys(chunks, hmac.digest(mac_key, lines, "sha256"))


def open_head(lines: bytes, mac: bytes, header: Header, keys: tuple[SecretKey, ...]) -> Keys:
    """Keys of a file for one of its recipients; WrongKeyError or BrokenSealError."""
    found = derive(_data_key(header, keys), lines)
    if not hmac.compare_digest(found.mac, mac):
        raise BrokenSealError("its header was changed: the MAC over it is wrong")
    return found


def _data_key(header: Header, keys: tuple[SecretKey, ...]) -> bytes:
    for recipient in header.recipients:
        key = next((key for key in keys if recipient.is_for(key)), None)
        if key is None:
            continue
        try:
            found = recipient.open(key, _WRAP_INFO)
        except SealingError:
            raise BrokenSealError(f"its header was changed: what is wrapped for key {recipient.key_id} is") from None
        if len(found) != KEY_SIZE:
            raise BrokenSealError(f"its data key has {len(found)} bytes instead of {KEY_SIZE}")
        return found
    ours = ", ".join(key.public.key_id for key in keys) or "none"
    sealed_for = ", ".join(recipient.key_id for recipient in header.recipients)
    raise WrongKeyError(f"it is sealed for {sealed_for}, and the key at hand is {ours}: use one of those keys")
