"""Sealing and unsealing piece by piece, with a chunk or two in memory at most.

After STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", 2015), as the age format uses it: the nonce counts the chunks and says which is the last.
"""

import os
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloister.sealing import PublicKey, SecretKey
from cloister.weights.errors import BrokenSealError, NotSealedError
from cloister.weights.header import (
    KEY_SIZE,
    MAC_SIZE,
    MAGIC,
    MAX_HEADER,
    MIN_CHUNK,
    Header,
    derive,
    new_head,
    open_head,
)

CHUNK = 1 << 20
"""Bytes of a chunk, unless one asks for another size."""
TAG_SIZE = 16


class Sealer:
    """Makes one sealed file: :attr:`head`, then every chunk in order, each exactly once."""

    def __init__(self, head: bytes, data_key: bytes) -> None:
        """As it was begun; :meth:`new` begins one."""
        self.head = head
        self.data_key = data_key
        """Secret. Whoever goes on with an interrupted file needs it."""
        lines, mac = head[:-MAC_SIZE], head[-MAC_SIZE:]
        keys = derive(data_key, lines)
        if keys.mac != mac:
            raise BrokenSealError("the head is not of this data key")
        self._header = Header.parse(lines[len(MAGIC) : -1])
        self.chunk = self._header.chunk
        """Bytes that every chunk but the last must have."""
        self._cipher = AESGCM(keys.chunks)

    @classmethod
    def new(cls, recipients: Sequence[PublicKey], chunk: int = CHUNK) -> "Sealer":
        """A file for these recipients, under a data key of its own."""
        data_key = os.urandom(KEY_SIZE)
        return cls(new_head(tuple(recipients), chunk, data_key), data_key)

    def is_for(self, recipients: Sequence[PublicKey]) -> bool:
        """Whether the head names these recipients, in this order, and no others."""
        return [(one.key_id, one.kem) for one in self._header.recipients] == [
            (key.key_id, key.kind.value) for key in recipients
        ]

    def seal(self, index: int, data: bytes, *, last: bool) -> bytes:
        """The chunk of this index, from 0. An index is never sealed again with other data."""
        assert len(data) == self.chunk or (last and len(data) <= self.chunk)
        return self._cipher.encrypt(_nonce(index, last=last), data, None)


class Unsealer:
    """Takes a sealed file in pieces of any size and gives what is verified of it, never more.

    The file counts only when :meth:`finish` has returned: until then its end may be missing.
    """

    def __init__(self, keys: Sequence[SecretKey]) -> None:
        self._keys = tuple(keys)
        self._pending = bytearray()
        self._cipher: AESGCM | None = None
        self._stored_chunk = 0
        self._index = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Plaintext of every chunk that this piece completes, but for the one that may be the last."""
        self._pending += piece
        if self._cipher is None and not self._open():
            return
        # A chunk is opened once more than it is there: only then it is known not to be the last.
        while len(self._pending) > self._stored_chunk:
            stored = bytes(memoryview(self._pending)[: self._stored_chunk])
            del self._pending[: self._stored_chunk]
            yield self._opened(stored, last=False)

    def finish(self) -> bytes:
        """Plaintext of the last chunk."""
        if self._cipher is None:
            raise NotSealedError("it is cut off within its header" if self._begins() else _NOT_SEALED)
        if len(self._pending) < TAG_SIZE:
            raise BrokenSealError("its end is cut off")
        if len(self._pending) == TAG_SIZE and self._index:
            raise BrokenSealError("its last chunk is empty, and none but a whole empty file has such")
        return self._opened(bytes(self._pending), last=True)

    def _open(self) -> bool:
        """Read the head as soon as it is there; whether it is."""
        if not self._begins():
            raise NotSealedError(_NOT_SEALED)
        end = self._pending.find(b"\n", len(MAGIC)) + 1
        if end > MAX_HEADER or (not end and len(self._pending) > MAX_HEADER):
            raise NotSealedError("its header is longer than 64 KiB")
        if not end or len(self._pending) < end + MAC_SIZE:
            return False
        lines, mac = bytes(self._pending[:end]), bytes(self._pending[end : end + MAC_SIZE])
        header = Header.parse(lines[len(MAGIC) : -1])
        self._cipher = AESGCM(open_head(lines, mac, header, self._keys).chunks)
        self._stored_chunk = header.chunk + TAG_SIZE
        del self._pending[: end + MAC_SIZE]
        return True

    def _begins(self) -> bool:
        start = bytes(self._pending[: len(MAGIC)])
        return bool(start) and MAGIC.startswith(start)

    def _opened(self, stored: bytes, *, last: bool) -> bytes:
        assert self._cipher is not None
        try:
            data = self._cipher.decrypt(_nonce(self._index, last=last), stored, None)
        except InvalidTag:
            where = f"chunk {self._index} does not authenticate"
            raise BrokenSealError(f"{where}: it was changed, moved, cut off or followed by more") from None
        self._index += 1
        return data


_NOT_SEALED = "it does not begin as a sealed file of version 1 does"


def _nonce(index: int, *, last: bool) -> bytes:
    """12 bytes: the index in 11, big-endian, and 1 for the last chunk, 0 for every other."""
    return index.to_bytes(11, "big") + bytes([last])


def least_opened(stored: int) -> int:
    """Bytes that a sealed file of `stored` bytes holds at least, whatever its header says."""
    chunks = max(stored - MAX_HEADER - MAC_SIZE, 0)
    return chunks - -(-chunks // (MIN_CHUNK + TAG_SIZE)) * TAG_SIZE


def is_sealed(start: bytes) -> bool:
    """Whether a file that begins so is sealed, or claims to be."""
    return start.startswith(MAGIC)


__all__ = ["CHUNK", "Sealer", "Unsealer", "is_sealed", "least_opened"]
