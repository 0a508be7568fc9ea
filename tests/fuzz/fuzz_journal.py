"""Segments, checkpoints and keys of anybody: only the documented errors come out, and no change passes for honest."""

import hashlib
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cloister.journal", "cloister.sealing"]):
    from cloister.journal.checkpoint import Checkpoint, Signer, Verifier, read_note
    from cloister.journal.errors import JournalError
    from cloister.journal.header import ZERO_HASH, Header, wrap_info
    from cloister.journal.merkle import CompactRange
    from cloister.journal.reader import read_journal
    from cloister.journal.records import encode, parse, parse_line
    from cloister.journal.segment import MAGIC, SegmentReader, cut_frame, ratchet, seal_end, seal_records
    from cloister.journal.verify import anchors_in, verify
    from cloister.sealing import SealingError, parse_public, parse_secret, unwrap
    from cloister.sealing.recipients import wrap_for

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.fuzz.forging import IDENTITY, KEY, Script, forge, honest, parts_of

STATE = bytes(32)
SIGNER = Signer(f"{IDENTITY.removeprefix('spiffe://')}/{'0' * 32}", Ed25519PrivateKey.from_private_bytes(bytes(32)))
HEADER = Header(
    origin=SIGNER.origin,
    number=0,
    created="1970-01-01T00:00:00.000000Z",
    seq=0,
    prev=ZERO_HASH,
    previous=None,
    tree_size=0,
    tree=(),
    recipients=wrap_for((KEY.public,), STATE, wrap_info(SIGNER.origin, 0)),
    verifier=str(SIGNER.verifier),
)


class World:
    """The honest journal as a store has it after each of its segments, and a place for one that is no journal."""

    def __init__(self, directory: Path) -> None:
        self.segments = honest(directory / "journal")
        self.stores = [directory / f"store{number}" for number in range(len(self.segments))]
        for number, store in enumerate(self.stores):
            store.mkdir()
            for place, segment in enumerate(self.segments[: number + 1]):
                (store / f"{place}.cja").write_bytes(segment)
        self.alone = directory / "alone"
        self.alone.mkdir()


WORLD = World(Path(tempfile.mkdtemp(prefix="fuzz-journal-")))


def arbitrary(script: Script) -> None:
    """A file of any bytes, with or without a segment's first line or header."""
    begin = (b"", MAGIC, MAGIC + HEADER.encode() + b"\n")[script.number(3)]
    _anything(begin + script.take(1 << 16))


def edited(script: Script) -> None:
    """An honest segment, edited: with the keys of a reader every change is found."""
    last = script.number(len(WORLD.segments))
    place = script.number(last + 1)
    honest_bytes = WORLD.segments[place]
    others = [part for segment in WORLD.segments for part in parts_of(segment)]
    forged = b"".join(forge(parts_of(honest_bytes), others, script))
    path = WORLD.stores[last] / f"{place}.cja"
    path.write_bytes(forged)
    try:
        found = verify([path.parent], [KEY]).findings
        assert bool(found) == (forged != honest_bytes), found
        verify([path.parent])
        with documented():
            for _ in read_journal([path.parent], [KEY]):
                pass
    finally:
        path.write_bytes(honest_bytes)


def sealed(script: Script) -> None:
    """Frames with the right keys around anything: what a thief of the pod's state can seal."""
    state, raw = STATE, MAGIC + HEADER.encode() + b"\n"
    header_hash, tree = hashlib.sha256(raw).digest(), CompactRange()
    tree.append(raw)
    seq, head = 0, ZERO_HASH
    for index in range(6):
        if not script:
            break
        form = script.number(8)
        key, state = ratchet(state)
        note = SIGNER.sign(Checkpoint(SIGNER.origin, tree.size, tree.root(), seq, head)).note
        if form < 5:
            record = _record(script) if form < 3 else script.text()
            line = b'{"prev":"%b","record":%b,"seq":%d}' % (head.encode(), record, seq) if form < 4 else record
            head, count = hashlib.sha256(line).hexdigest(), line.count(b"\n") + 1
            frame = seal_records(key, header_hash, index, seq, [line], head)
            seq += count
        elif form == 5:
            frame = seal_end(key, header_hash, index, seq, head, note)
        elif form == 6:
            frame = seal_end(key, header_hash, index, seq, head, script.text().decode(errors="replace"))
        else:
            frame = cut_frame(index, seq, head, script.text().decode(errors="replace"))
        tree.append(frame)
        raw += frame
    _anything(raw)


def texts(script: Script) -> None:
    """Headers, lines, checkpoints, anchors and keys, as they are and as the rest of an honest beginning."""
    kind, data = script.number(8), script.take(1 << 16)
    text = data.decode(errors="replace")
    with documented():
        if kind == 0:
            assert Header.parse(data).encode() == data
        elif kind == 1:
            parse_line(data)
        elif kind == 2:
            parse(data)
        elif kind == 3:
            checkpoint, signatures = read_note(text)
            assert text.startswith(checkpoint.text() + "\n")
            assert signatures
        elif kind == 4:
            assert str(Verifier.parse(text)) == text
        elif kind == 5:
            assert all(isinstance(note, str) for note in anchors_in(text))
            verify([WORLD.alone / "none"], anchors=anchors_in(text))
        elif kind == 6:
            assert str(parse_public(text)) == text.strip()
            parse_secret(text)
        else:
            unwrap(data, KEY, b"")
            raise AssertionError("nobody sealed this")


def _record(script: Script) -> bytes:
    message = script.text().decode(errors="replace")
    return encode({"type": "alert", "time": HEADER.created, "code": "c", "severity": "info", "message": message})


def _anything(segment: bytes) -> None:
    """Reads it in every way; what is found clean can also be read."""
    path = WORLD.alone / "0.cja"
    path.write_bytes(segment)
    verify([path])
    report = verify([path], [KEY])
    with documented():
        reader = SegmentReader(io.BytesIO(segment), len(segment))
        size = len(reader.header_raw) + sum(len(frame.raw) for frame in reader.frames())
        assert size == reader.offset <= len(segment)
        assert (size == len(segment)) == (reader.torn is None)
    lines = None
    with documented():
        lines = [line.seq for line in read_journal([path], [KEY])]
    if not report.findings:
        assert lines == list(range(report.opened))


@contextmanager
def documented() -> Iterator[None]:
    """The errors that readers are promised."""
    try:
        yield
    except (JournalError, SealingError) as error:
        assert str(error)  # noqa: PT017 - no test of pytest's


MODES = (arbitrary, edited, edited, edited, sealed, sealed, texts)


def target(data: bytes) -> None:
    """The first byte says what is done with the rest."""
    script = Script(data)
    MODES[int.from_bytes(script.take(1), "big") % len(MODES)](script)


def main() -> None:
    """Arguments are libFuzzer's, which ends the process without any cleaning up: see TMPDIR."""
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
