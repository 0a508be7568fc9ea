"""Signed heads of a journal: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519.

cluster.local/ns/bot-inference/sa/server/6f0c...     origin: the identity and the stream
1042                                                 leaves of the Merkle tree
k3c0...=                                             its root, base64
chain 987 5fd1...                                    extension: records so far, and the hash of the last line
cut                                                  extension, only where a segment is closed without its ratchet
                                                     (empty line)
— cluster.local/ns/... 9Tq3...==                     signature: base64 of the key id (4 bytes) and 64 bytes
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloister.journal.errors import JournalError

MAX_NOTE = 4096
"""Bytes of a signed checkpoint."""
MAX_SIZE = 2**63 - 1

_ED25519 = b"\x01"
_ORIGIN = re.compile(r"[!-*,-~]{1,1024}")  # no space and no plus, as signed-note asks of key names
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_CHAIN = re.compile(r"chain (0|[1-9][0-9]{0,18}) ([0-9a-f]{64})")
_SIGNATURE = re.compile("— (\\S+) (\\S+)")
_KEY_ID_SIZE = 4
_CUT = "cut\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a journal has come to."""

    origin: str
    size: int
    """Leaves of the Merkle tree."""
    root: bytes
    """Root at that size, 32 bytes."""
    seq: int
    """Records so far: the sequence number of the next."""
    head: str
    """SHA-256 of the last line, in hex; zeros before the first."""
    cut: bool = False
    """Signed to close a segment whose writer died or failed. No other checkpoint, an anchor or the end of a segment,
    can be put in place of it: that would let anybody shorten a journal without a trace in its form."""

    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\nchain {self.seq} {self.head}\n{_CUT if self.cut else ''}"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint, as its signed note."""

    checkpoint: Checkpoint
    note: str
    """The whole text, to be kept outside of the journal."""


class Signer:
    """Signs checkpoints of one origin."""

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        """JournalError for an origin that can't be a key's name: spaces, `+`, anything but ASCII, over 1 KiB."""
        if not _ORIGIN.fullmatch(origin):
            raise JournalError(f"origin {origin[:80]!r}: letters, digits and signs of ASCII without space and +")
        self.origin = origin
        self._key = key
        self.verifier = Verifier(origin, key.public_key().public_bytes_raw())

    def sign(self, checkpoint: Checkpoint) -> SignedCheckpoint:
        """Some 30 microseconds."""
        text = checkpoint.text()
        signature = base64.b64encode(self.verifier.key_id + self._key.sign(text.encode())).decode()
        return SignedCheckpoint(checkpoint, f"{text}\n— {self.origin} {signature}\n")


class Verifier:
    """Checks the signatures of one origin's key."""

    def __init__(self, origin: str, public: bytes) -> None:
        """`public`: the raw Ed25519 key, 32 bytes."""
        self.origin = origin
        self.public = public
        self.key_id = hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:_KEY_ID_SIZE]
        self._key = Ed25519PublicKey.from_public_bytes(public)

    @classmethod
    def parse(cls, vkey: str) -> "Verifier":
        """Read `<name>+<key id in hex>+<base64 of 0x01 and the key>`; JournalError otherwise."""
        name, _, rest = vkey.partition("+")
        _, _, encoded = rest.partition("+")
        raw = _unbase64(encoded)
        if raw is None or raw[:1] != _ED25519 or len(raw) != 33 or not _ORIGIN.fullmatch(name):
            raise JournalError("verifier: not an Ed25519 key in the form of signed-note")
        try:
            found = cls(name, raw[1:])
        except ValueError:
            raise JournalError("verifier: not an Ed25519 key") from None
        if str(found) != vkey:
            raise JournalError("verifier: its key id is not that of its key")
        return found

    def __str__(self) -> str:
        """The text form, which :meth:`parse` reads."""
        return f"{self.origin}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def verify_own(self, note: str) -> Checkpoint:
        """As :meth:`verify`, of a note with no signature but this key's: there is one such text for a checkpoint."""
        _, signatures = read_note(note)
        if len(signatures) != 1:
            raise JournalError("checkpoint: somebody else signed it, too")
        return self.verify(note)

    def verify(self, note: str) -> Checkpoint:
        """The checkpoint in a note that this key signed, perhaps among others; JournalError otherwise."""
        checkpoint, signatures = read_note(note)
        if checkpoint.origin != self.origin:
            raise JournalError("checkpoint: of another origin")
        signed = checkpoint.text().encode()
        for name, signature in signatures:
            if name == self.origin and signature[:_KEY_ID_SIZE] == self.key_id:
                try:
                    self._key.verify(signature[_KEY_ID_SIZE:], signed)
                except InvalidSignature:
                    raise JournalError("checkpoint: its signature is wrong") from None
                return checkpoint
        raise JournalError("checkpoint: not signed by this journal's key")


def read_note(note: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    """The checkpoint and the (name, key id + signature) pairs of a note, unchecked; JournalError if it is none."""
    if len(note) > MAX_NOTE:
        raise JournalError("checkpoint: too long")
    text, blank, tail = note.partition("\n\n")
    lines = text.split("\n")
    if not blank or not tail.endswith("\n") or len(lines) < 4 or lines[4:] not in ([], [_CUT.strip()]):
        raise JournalError("checkpoint: not a signed note of four lines, or of five with a cut")
    origin, size, root64, extension = lines[:4]
    root, chain = _unbase64(root64), _CHAIN.fullmatch(extension)
    if not _ORIGIN.fullmatch(origin) or not _NUMBER.fullmatch(size) or root is None or len(root) != 32 or not chain:
        raise JournalError("checkpoint: its origin, size, root or chain is malformed")
    signatures = []
    for line in tail[:-1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        signature = match and _unbase64(match[2])
        if not match or not signature or len(signature) <= _KEY_ID_SIZE:
            raise JournalError("checkpoint: a signature line is malformed")
        signatures.append((match[1], signature))
    return Checkpoint(origin, int(size), root, int(chain[1]), chain[2], cut=len(lines) > 4), signatures


def _unbase64(text: str) -> bytes | None:
    """None unless it is base64 in its one canonical form."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
