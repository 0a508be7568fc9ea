"""The header of a segment: clear, so that whoever keeps or verifies segments needs no key."""

import base64
import binascii
from typing import Annotated, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from cloister.journal.checkpoint import Verifier
from cloister.journal.errors import JournalError
from cloister.journal.merkle import CompactRange
from cloister.journal.records import Time
from cloister.sealing import Kind, PublicKey, wrap

MAX_HEADER = 1 << 16
ZERO_HASH = "0" * 64
MAX_RECIPIENTS = 16

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Previous(_Model):
    """The segment before, as it lies."""

    number: Count
    size: Count
    """Bytes."""
    sha256: Hash


class Recipient(_Model):
    """One who can open the segment."""

    key_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
    kem: Literal["mlkem768x25519", "x25519"]
    wrapped: Annotated[str, StringConstraints(max_length=2048)]
    """The ratchet's first state, wrapped by HPKE; base64."""


class Header(_Model):
    """Where the segment stands in its stream, and who can open it."""

    version: Literal[1] = 1
    origin: Annotated[str, StringConstraints(max_length=1024)]
    """Identity of the writer, without `spiffe://`, and a random stream id."""
    number: Count
    """Of the segment in its stream, from 0."""
    created: Time
    seq: Count
    """Of its first record."""
    prev: Hash
    """SHA-256 of the last line before it."""
    previous: Previous | None
    """None in the first segment of a stream."""
    tree_size: Count
    """Leaves before it."""
    tree: tuple[Hash, ...]
    """Compact range of the Merkle tree over them."""
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    verifier: Annotated[str, StringConstraints(max_length=1200)]
    """Key of the stream's signatures: signed-note's form."""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the JSON; JournalError unless it is a header in its one canonical form."""
        try:
            value = orjson.loads(raw)
            canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
            header = cls.model_validate_json(raw)
            header.verify_key()
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "header"
            raise JournalError(f"header: {where}: {first['msg']}") from None
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            raise JournalError("header: not JSON") from None
        if canonical != raw:
            raise JournalError("header: not in canonical form")
        return header

    def encode(self) -> bytes:
        """Canonical JSON, which :meth:`parse` reads."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS)

    def range(self) -> CompactRange:
        """The Merkle tree before this segment."""
        return CompactRange(self.tree_size, [bytes.fromhex(node) for node in self.tree])

    def verify_key(self) -> Verifier:
        """Checks this stream's checkpoints."""
        verifier = Verifier.parse(self.verifier)
        if verifier.origin != self.origin:
            raise JournalError("header: its verifier is another origin's")
        return verifier

    @property
    def stream(self) -> str:
        """The random id at the end of the origin."""
        return self.origin.rpartition("/")[2]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tree_size.bit_count() != len(self.tree):
            raise ValueError("its hashes don't make a tree of tree_size")
        if (self.number == 0) != (self.previous is None) or (self.number == 0) != (self.tree_size == 0):
            raise ValueError("only the first segment has nothing before it")
        if self.previous and self.previous.number != self.number - 1:
            raise ValueError("previous is not the segment before")
        if self.number == 0 and (self.seq, self.prev) != (0, ZERO_HASH):
            raise ValueError("the first segment begins the chain")
        if any(_unbase64(recipient.wrapped) is None for recipient in self.recipients):
            raise ValueError("a wrapped secret is not base64")
        return self


def wrap_for(recipients: tuple[PublicKey, ...], secret: bytes, origin: str, number: int) -> tuple[Recipient, ...]:
    """The header's recipients for a segment's first ratchet state."""
    info = wrap_info(origin, number)
    return tuple(
        Recipient(key_id=key.key_id, kem=key.kind.value, wrapped=base64.b64encode(wrap(secret, key, info)).decode())
        for key in recipients
    )


def wrapped_for(recipient: Recipient) -> tuple[Kind, bytes]:
    """(kind of key, wrapped secret)."""
    wrapped = _unbase64(recipient.wrapped)
    assert wrapped is not None
    return Kind(recipient.kem), wrapped


def wrap_info(origin: str, number: int) -> bytes:
    """Binds a wrapped secret to its place: one that is copied to another segment does not open."""
    return f"cloister-journal/1 {origin} {number}".encode()


def _unbase64(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
