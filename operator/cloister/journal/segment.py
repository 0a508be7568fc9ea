"""The file format of a segment, version 1: bytes to parts and back. Integers are big-endian.

A segment is a line `cloister-journal 1`, a header (one line of JSON, clear) and frames to the end of the file::

    length   4    bytes that follow in this frame
    kind     1    0 records, 1 end, 2 cut
    index    4    of the frame in its segment, from 0
    seq      8    of its first record
    count    4    records in it
    head    32    SHA-256 of its last line: the chain after it
    body          0: the lines, AES-256-GCM; 1: a signed checkpoint, and a GCM tag over it; 2: a signed checkpoint
    crc32    4    of all of the above: tells a torn frame from a whole one, before there is a key to tell

The key of frame `i` comes from the ratchet, the nonce is zero (no key is used twice), and the associated data are the
SHA-256 of the header and everything before the body. A header or a frame is one leaf of the stream's Merkle tree, as
it lies; the checkpoint in a closing frame is over the leaves before that frame.
"""

import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloister.journal.errors import JournalError
from cloister.journal.header import MAX_HEADER, Header

MAGIC = b"cloister-journal 1\n"
MAX_FRAME = 1 << 28
"""Bytes of a frame."""
MAX_COUNT = 2**53
"""Sequence numbers stay exact in every JSON reader."""

CLEAR = struct.Struct(">IBIQI32s")
LENGTH_SIZE = 4
CRC_SIZE = 4
TAG_SIZE = 16
SECRET_SIZE = 32
_MIN_LENGTH = CLEAR.size - LENGTH_SIZE + CRC_SIZE
_NONCE = bytes(12)
_KEY_LABEL = b"cloister-journal/1 key"
_NEXT_LABEL = b"cloister-journal/1 next"


class FrameKind(IntEnum):
    """What a frame holds."""

    RECORDS = 0
    END = 1
    """Closes the segment, by the writer that filled it."""
    CUT = 2
    """Closes a segment whose writer died or failed: signed by the stream's key, the ratchet being lost."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, whole and of the right form; nothing about its contents is checked yet."""

    offset: int
    """Where it begins in its file."""
    kind: FrameKind
    index: int
    seq: int
    count: int
    head: str
    clear: bytes
    body: bytes
    raw: bytes
    """As it lies: the leaf."""

    @property
    def note(self) -> str:
        """The signed checkpoint of a closing frame."""
        note = self.body[: len(self.body) - TAG_SIZE] if self.kind is FrameKind.END else self.body
        try:
            return note.decode()
        except UnicodeDecodeError:
            raise JournalError("checkpoint: not UTF-8 text") from None


def ratchet(state: bytes) -> tuple[bytes, bytes]:
    """(key of this frame, state for the next): HMAC-SHA256, which can't be run backwards."""
    return hmac.digest(state, _KEY_LABEL, "sha256"), hmac.digest(state, _NEXT_LABEL, "sha256")


def seal_records(key: bytes, header_hash: bytes, index: int, seq: int, lines: list[bytes], head: str) -> bytes:
    """The frame of these lines."""
    payload = b"\n".join(lines)
    clear = _clear(FrameKind.RECORDS, index, seq, len(lines), head, len(payload) + TAG_SIZE)
    return _closed(clear + AESGCM(key).encrypt(_NONCE, payload, header_hash + clear))


def seal_end(key: bytes, header_hash: bytes, index: int, seq: int, head: str, note: str) -> bytes:
    """The frame that closes a segment."""
    text = note.encode()
    clear = _clear(FrameKind.END, index, seq, 0, head, len(text) + TAG_SIZE)
    return _closed(clear + text + AESGCM(key).encrypt(_NONCE, b"", header_hash + clear + text))


def cut_frame(index: int, seq: int, head: str, note: str) -> bytes:
    """The frame that closes a segment whose keys are lost."""
    text = note.encode()
    return _closed(_clear(FrameKind.CUT, index, seq, 0, head, len(text)) + text)


def open_frame(key: bytes, header_hash: bytes, frame: Frame) -> list[bytes]:
    """Lines of a frame (none of a closing one); JournalError where it does not authenticate or holds another number."""
    try:
        if frame.kind is FrameKind.RECORDS:
            payload = AESGCM(key).decrypt(_NONCE, frame.body, header_hash + frame.clear)
        elif frame.kind is FrameKind.END:
            text, tag = frame.body[:-TAG_SIZE], frame.body[-TAG_SIZE:]
            payload = AESGCM(key).decrypt(_NONCE, tag, header_hash + frame.clear + text)
        else:
            return []
    except InvalidTag:
        raise JournalError("a frame does not authenticate under the segment's key") from None
    lines = payload.split(b"\n") if payload else []
    if len(lines) != frame.count:
        raise JournalError(f"a frame holds {len(lines)} records, and says {frame.count}")
    return lines


class SegmentReader:
    """Reads one segment from the start. What is no segment raises JournalError; nothing is believed beyond its form."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """`size`: bytes in the file, which bound every length in it before anything is allocated."""
        self._file = file
        self._size = size
        self.digest = hashlib.sha256()
        """SHA-256 of what has been read."""
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            raise JournalError("not a journal segment of version 1: its first line is another")
        line = file.readline(MAX_HEADER + 1)
        if len(line) > MAX_HEADER or not line.endswith(b"\n"):
            raise JournalError("the header is cut off, or longer than 64 KiB")
        self.header = Header.parse(line[:-1])
        self.header_raw = magic + line
        self.header_hash = hashlib.sha256(self.header_raw).digest()
        self.digest.update(self.header_raw)
        self.offset = len(self.header_raw)
        """End of what has been read: the segment's good length, once :meth:`frames` is through."""
        self.torn: str | None = None
        """Why reading ended before the end of the file."""

    def frames(self) -> Iterator[Frame]:
        """Whole frames in order, until the end of the file or the first that is :attr:`torn`."""
        while self.offset < self._size:
            frame = self._next()
            if frame is None:
                return
            self.digest.update(frame.raw)
            self.offset += len(frame.raw)
            yield frame

    def _next(self) -> Frame | None:
        left = self._size - self.offset
        clear = self._file.read(CLEAR.size)
        if len(clear) < CLEAR.size:
            self.torn = "a frame is cut off"
            return None
        length, kind, index, seq, count, head = CLEAR.unpack(clear)
        if not _MIN_LENGTH <= length <= min(MAX_FRAME, left - LENGTH_SIZE):
            self.torn = "a frame is cut off, or its length is damaged"
            return None
        rest = self._file.read(length - CLEAR.size + LENGTH_SIZE)
        raw = clear + rest
        if len(raw) != length + LENGTH_SIZE or zlib.crc32(raw[:-CRC_SIZE]) != int.from_bytes(raw[-CRC_SIZE:], "big"):
            self.torn = "a frame is damaged: its checksum is wrong"
            return None
        body = rest[:-CRC_SIZE]
        if kind not in _KINDS or len(body) < _LEAST_BODY[kind] or seq + count > MAX_COUNT:
            self.torn = "a frame is of an unknown form"
            return None
        return Frame(self.offset, FrameKind(kind), index, seq, count, head.hex(), clear, body, raw)


_KINDS = frozenset(FrameKind)
_LEAST_BODY = {FrameKind.RECORDS: TAG_SIZE, FrameKind.END: TAG_SIZE, FrameKind.CUT: 0}


def _clear(kind: FrameKind, index: int, seq: int, count: int, head: str, body_size: int) -> bytes:
    length = CLEAR.size - LENGTH_SIZE + body_size + CRC_SIZE
    if length > MAX_FRAME:
        raise JournalError(f"a batch of {body_size} bytes: a frame holds at most {MAX_FRAME}")
    return CLEAR.pack(length, kind, index, seq, count, bytes.fromhex(head))


def _closed(frame: bytes) -> bytes:
    return frame + zlib.crc32(frame).to_bytes(CRC_SIZE, "big")
