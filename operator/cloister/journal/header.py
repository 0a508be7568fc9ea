"""The header of a segment: clear, so that whoever keeps or verifies segments needs no key."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from cloister.journal.checkpoint import Verifier
from cloister.journal.errors import JournalError
from cloister.journal.merkle import CompactRange
from cloister.journal.records import Time
from cloister.sealing import SealingError
from cloister.sealing.recipients import Recipients, Sealed, encode_header, parse_header

MAX_HEADER = 1 << 16
ZERO_HASH = "0" * 64

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Previous(Sealed):
    """The segment before, as it lies."""

    number: Count
    size: Count
    """Bytes."""
    sha256: Hash


class Header(Sealed):
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
    recipients: Recipients
    verifier: Annotated[str, StringConstraints(max_length=1200)]
    """Key of the stream's signatures: signed-note's form."""

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the JSON; JournalError unless it is a header in its one canonical form."""
        try:
            header = parse_header(cls, raw)
        except SealingError as error:
            raise JournalError(f"header: {error}") from None
        header.verify_key()
        return header

    def encode(self) -> bytes:
        """Canonical JSON, which :meth:`parse` reads."""
        return encode_header(self)

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
        return self


def wrap_info(origin: str, number: int) -> bytes:
    """Binds a wrapped secret to its place: one that is copied to another segment does not open."""
    return f"cloister-journal/1 {origin} {number}".encode()
