"""The head of a sealed file: who can open it, and the keys that follow from it. See docs/weights.md for the bytes."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cloister.sealing import Kind, PublicKey, SealingError, SecretKey, unwrap, wrap
from cloister.weights.errors import BrokenSealError, NotSealedError, WrongKeyError

MAGIC = b"cloister-sealed 1\n"
MAX_HEADER = 1 << 16
"""Bytes of the header's line."""
MAC_SIZE = 32
KEY_SIZE = 32
MIN_CHUNK, MAX_CHUNK = 1 << 12, 1 << 24
MAX_RECIPIENTS = 16

_WRAP_INFO = b"cloister-sealed/1 data key"
_HEADER_INFO = b"cloister-sealed/1 header"
_CHUNKS_INFO = b"cloister-sealed/1 chunks"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Recipient(_Model):
    """One who can open the file."""

    key_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
    kem: Literal["mlkem768x25519", "x25519"]
    wrapped: Annotated[str, StringConstraints(max_length=2048)]
    """The data key, wrapped by HPKE; base64."""


class Header(_Model):
    """What stands before the chunks, in the clear and under a MAC."""

    version: Literal[1] = 1
    chunk: Annotated[int, Field(ge=MIN_CHUNK, le=MAX_CHUNK)]
    """Bytes of plaintext in every chunk but the last."""
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the JSON; NotSealedError unless it is a header in its one canonical form."""
        try:
            canonical = orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)
            header = cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "header"
            raise NotSealedError(f"its header is not of this version: {where}: {first['msg']}") from None
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            raise NotSealedError("its header is not JSON") from None
        if canonical != raw:
            raise NotSealedError("its header is not in canonical form")
        return header


@dataclass(frozen=True, slots=True)
class Keys:
    """What follows from the data key and the header: neither can be exchanged without the other."""

    chunks: bytes
    """AES-256 key of this file's chunks."""
    mac: bytes
    """MAC over the head."""


def new_head(recipients: tuple[PublicKey, ...], chunk: int, data_key: bytes) -> bytes:
    """Everything before the first chunk."""
    header = Header(
        chunk=chunk,
        recipients=tuple(
            Recipient(
                key_id=key.key_id,
                kem=key.kind.value,
                wrapped=base64.b64encode(wrap(data_key, key, _WRAP_INFO)).decode(),
            )
            for key in recipients
        ),
    )
    lines = MAGIC + orjson.dumps(header.model_dump(), option=orjson.OPT_SORT_KEYS) + b"\n"
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
    by_id = {key.public.key_id: key for key in keys}
    for recipient in header.recipients:
        key = by_id.get(recipient.key_id)
        if key is None or key.kind is not Kind(recipient.kem):
            continue
        try:
            found = unwrap(base64.b64decode(recipient.wrapped, validate=True), key, _WRAP_INFO)
        except (binascii.Error, ValueError, SealingError):
            raise BrokenSealError(f"its header was changed: what is wrapped for key {key.public.key_id} is") from None
        if len(found) != KEY_SIZE:
            raise BrokenSealError(f"its data key has {len(found)} bytes instead of {KEY_SIZE}")
        return found
    ours = ", ".join(by_id) or "none"
    sealed_for = ", ".join(recipient.key_id for recipient in header.recipients)
    raise WrongKeyError(f"it is sealed for {sealed_for}, and the key at hand is {ours}: use one of those keys")
