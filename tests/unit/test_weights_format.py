"""The sealed format: whatever is done to a sealed file, nothing but a beginning of the plaintext comes out (ZT-26)."""

import io
import re
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloister.sealing import Kind, generate
from cloister.weights import (
    BrokenSealError,
    NotSealedError,
    Sealer,
    Unsealer,
    WeightsError,
    WrongKeyError,
    least_opened,
)
from cloister.weights.header import MAC_SIZE, MAX_HEADER, MIN_CHUNK
from cloister.weights.stream import TAG_SIZE

CHUNK = MIN_CHUNK
STORED = CHUNK + TAG_SIZE
KEY = generate(Kind.X25519)
HYBRID = generate(Kind.MLKEM768X25519)

sizes = st.one_of(
    st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]), st.integers(0, 5 * CHUNK)
)


def content(size: int) -> bytes:
    return bytes(index * 7 % 251 for index in range(size))


def sealed(data: bytes, sealer: Sealer | None = None) -> bytes:
    sealer = sealer or Sealer.new([KEY.public], CHUNK)
    out, file, index = io.BytesIO(), io.BytesIO(data), 0
    out.write(sealer.head)
    piece = file.read(CHUNK)
    while True:
        following = file.read(CHUNK)
        out.write(sealer.seal(index, piece, last=not following))
        if not following:
            return out.getvalue()
        piece, index = following, index + 1


def released(pieces: Iterable[bytes], key: object = KEY) -> tuple[bytes, Exception | None]:
    """What came out, and what was wrong."""
    out = bytearray()
    unsealer = Unsealer([key])  # type: ignore[list-item]
    try:
        for piece in pieces:
            for data in unsealer.feed(piece):
                out += data
        out += unsealer.finish()
    except WeightsError as error:
        return bytes(out), error
    return bytes(out), None


def cut(data: bytes, step: int) -> list[bytes]:
    return [data[at : at + step] for at in range(0, len(data), step)]


@given(size=sizes, step=st.integers(1, 3 * STORED))
@settings(max_examples=60, deadline=None)
def test_what_was_sealed_comes_out_however_it_is_cut(size: int, step: int) -> None:
    data = content(size)
    # Single bytes of a large file would only take long.
    assert released(cut(sealed(data), max(step, size // 200 + 1))) == (data, None)


@given(size=sizes)
@settings(max_examples=60, deadline=None)
def test_what_a_file_holds_is_known_from_its_size_but_for_its_header(size: int) -> None:
    """Never too much, so that nothing which fits is refused; and not by far too little."""
    file = sealed(content(size))
    assert size - MAX_HEADER - STORED <= least_opened(len(file)) <= size
    assert least_opened(len(file) + MAX_HEADER + MAC_SIZE - HEAD) == size


def test_every_recipient_opens_it_and_nobody_else() -> None:
    file = sealed(b"weights", Sealer.new([KEY.public, HYBRID.public]))
    for key in (KEY, HYBRID):
        assert released([file], key) == (b"weights", None)
    out, error = released([file], generate(Kind.X25519))
    assert out == b""
    assert isinstance(error, WrongKeyError)
    assert KEY.public.key_id in str(error)
    assert isinstance(released([file], generate())[1], WrongKeyError)


ORIGINAL = content(3 * CHUNK + 100)
FILE = sealed(ORIGINAL)
HEAD = len(FILE) - len(ORIGINAL) - 4 * TAG_SIZE


def refused(file: bytes) -> None:
    """It is an error, and what came out before is a beginning of what was sealed, whole chunks of it."""
    out, error = released(cut(file, 1000))
    assert isinstance(error, WeightsError), "it was taken for whole"
    assert str(error)
    assert ORIGINAL.startswith(out)
    assert len(out) % CHUNK == 0


@given(at=st.integers(0, len(FILE) - 1), bit=st.integers(0, 7))
@example(at=0, bit=0)
@example(at=HEAD - MAC_SIZE - 1, bit=0)
@example(at=HEAD - 1, bit=7)
@example(at=HEAD, bit=0)
@settings(max_examples=300, deadline=None)
def test_any_flipped_bit_is_found(at: int, bit: int) -> None:
    changed = bytearray(FILE)
    changed[at] ^= 1 << bit
    refused(bytes(changed))
    if at >= HEAD:
        out, _ = released([bytes(changed)])
        assert len(out) <= (at - HEAD) // STORED * CHUNK, "a chunk came out before it was verified"


@given(end=st.integers(0, len(FILE) - 1))
@example(end=HEAD)
@example(end=HEAD + STORED)
@example(end=HEAD + 3 * STORED)
@example(end=HEAD + 3 * STORED + TAG_SIZE)
@settings(max_examples=300, deadline=None)
def test_any_cut_is_found(end: int) -> None:
    refused(FILE[:end])


@given(tail=st.binary(min_size=1, max_size=2 * STORED))
@example(tail=FILE[HEAD:])
@example(tail=FILE[-100 - TAG_SIZE :])
@settings(max_examples=100, deadline=None)
def test_anything_added_is_found(tail: bytes) -> None:
    refused(FILE + tail)


@given(order=st.permutations(range(4)))
@settings(max_examples=24, deadline=None)
def test_chunks_stay_in_their_order(order: list[int]) -> None:
    chunks = cut(FILE[HEAD:], STORED)
    if order != sorted(order):
        refused(FILE[:HEAD] + b"".join(chunks[index] for index in order))


@given(dropped=st.integers(0, 3), doubled=st.integers(0, 3))
def test_a_chunk_that_is_missing_or_comes_twice_is_found(dropped: int, doubled: int) -> None:
    chunks = cut(FILE[HEAD:], STORED)
    refused(FILE[:HEAD] + b"".join(chunks[:dropped] + chunks[dropped + 1 :]))
    refused(FILE[:HEAD] + b"".join(chunks[: doubled + 1] + chunks[doubled:]))


@given(at=st.integers(0, 3), same=st.booleans())
@settings(max_examples=30, deadline=None)
def test_nothing_of_another_file_fits_in(at: int, same: bool) -> None:
    """Of the same recipients, and even of the same contents."""
    other = sealed(ORIGINAL if same else content(3 * CHUNK + 100)[::-1])
    ours, theirs = cut(FILE[HEAD:], STORED), cut(other[HEAD:], STORED)
    refused(FILE[:HEAD] + b"".join([*ours[:at], theirs[at], *ours[at + 1 :]]))
    refused(other[:HEAD] + FILE[HEAD:])
    lines = HEAD - MAC_SIZE
    refused(other[:lines] + FILE[lines:])
    refused(FILE[:lines] + other[lines:HEAD] + FILE[HEAD:])


def test_recipients_are_not_exchanged() -> None:
    """Somebody who can open a file can't make others believe that it was sealed for him."""
    both = sealed(ORIGINAL, Sealer.new([KEY.public, HYBRID.public], CHUNK))
    lines = both.split(b"\n", 2)
    changed = lines[1].replace(HYBRID.public.key_id.encode(), b"0" * 16)
    _, error = released([b"\n".join([lines[0], changed, lines[2]])])
    assert isinstance(error, BrokenSealError)
    assert "header" in str(error)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "does not begin"),
        (b"GGUF" + bytes(100), "does not begin"),
        (b"cloister-sealed 2\n{}\n", "does not begin"),
        (b"cloister-sealed 1", "cut off"),
        (b"cloister-sealed 1\n", "cut off"),
        (b"cloister-sealed 1\n{}\n" + bytes(40), "not of this version"),
        (b"cloister-sealed 1\nnot json\n" + bytes(40), "not JSON"),
        (b"cloister-sealed 1\n" + b" " * 70_000, "64 KiB"),
        (b'cloister-sealed 1\n{"version": 1}\n' + bytes(40), "version|canonical"),
        (b'cloister-sealed 1\n{"chunk":4096,"recipients":[],"version":1}\n' + bytes(40), "recipients"),
        (b'cloister-sealed 1\n{"chunk":99999999999,"recipients":[],"version":1}\n' + bytes(40), "chunk|recipients"),
    ],
)
def test_what_is_no_sealed_file_is_said_to_be_none(file: bytes, said: str) -> None:
    out, error = released(cut(file, 7))
    assert out == b""
    assert isinstance(error, NotSealedError)
    assert re.search(said, str(error))


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_input_raises_anything_else(junk: bytes) -> None:
    for file in (junk, FILE[:18] + junk, FILE[: HEAD - MAC_SIZE] + junk):
        assert isinstance(released([file])[1], WeightsError)
