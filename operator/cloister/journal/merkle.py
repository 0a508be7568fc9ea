"""Merkle tree hash of RFC 6962, section 2.1, kept as a compact range: the roots of its perfect subtrees.

Appending costs one leaf hash and, on average, one node hash; the state is at most 64 hashes of 32 bytes.
"""

import hashlib
from collections.abc import Sequence

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of 0x00 and the leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


class CompactRange:
    """The tree over the first `size` leaves."""

    __slots__ = ("_roots", "_size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """`roots`: of the perfect subtrees, the largest (leftmost) first. ValueError unless they fit the size."""
        if size < 0 or len(roots) != size.bit_count() or any(len(root) != HASH_SIZE for root in roots):
            raise ValueError(f"{len(roots)} hashes don't make a tree of {size} leaves")
        self._size = size
        self._roots = list(roots)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Roots of the perfect subtrees, the largest first."""
        return tuple(self._roots)

    def append(self, leaf: bytes) -> None:
        """Add one leaf."""
        self.append_hash(leaf_hash(leaf))

    def append_hash(self, node: bytes) -> None:
        """Add one leaf by its :func:`leaf_hash`."""
        roots, size = self._roots, self._size
        while size & 1:
            node = hashlib.sha256(b"\x01" + roots.pop() + node).digest()
            size >>= 1
        roots.append(node)
        self._size += 1

    def root(self) -> bytes:
        """Hash of the whole tree, 32 bytes."""
        if not self._roots:
            return EMPTY_ROOT
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node

    def copy(self) -> "CompactRange":
        """Its own copy."""
        return CompactRange(self._size, self._roots)

    def __eq__(self, other: object) -> bool:
        """The same leaves, as far as SHA-256 tells."""
        return isinstance(other, CompactRange) and self._size == other._size and self._roots == other._roots

    __hash__ = None  # type: ignore[assignment]  # it changes
