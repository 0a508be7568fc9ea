"""Tampering with a journal: whatever is done to it is found, by the files alone or with the anchors kept outside."""

import json
import os
import shutil
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloister.journal import JournalWriter, encode, object_name, timestamp
from cloister.journal.header import Header
from cloister.journal.reader import read_journal
from cloister.journal.segment import CRC_SIZE, LENGTH_SIZE, SegmentReader, cut_frame
from cloister.journal.verify import Report, anchors_in, verify
from cloister.sealing import Kind, generate

KEY, STRANGER = generate(Kind.X25519), generate(Kind.X25519)
IDENTITY = "spiffe://cluster.local/ns/bot-inference/sa/inference"


def write(directory: Path, counts: tuple[int, ...], first: int = 0) -> list[str]:
    """One process that writes a segment for each count; its checkpoints."""
    notes = []
    now = [1000.0]
    with JournalWriter(
        directory, identity=IDENTITY, recipients=[KEY.public], max_age_s=10, clock=lambda: now[0]
    ) as writer:
        for count in counts:
            for number in range(count):
                record = {"type": "alert", "time": timestamp(0), "code": "c", "severity": "info"}
                writer.append([encode(record | {"message": f"{first}.{number}"})])
            notes.append(writer.head().note)
            now[0] += 20
            writer.tick()
            notes.append(writer.head().note)
    return notes


def _killed(directory: Path) -> str:
    """A process that writes a record and is killed; its last checkpoint."""
    killed = JournalWriter(directory, identity=IDENTITY, recipients=[KEY.public])
    killed.append([encode({"type": "stop", "time": timestamp(0)})])
    os.close(killed._lock)  # as a kill would, without closing anything properly
    return killed.head().note


def shipped(directory: Path, target: Path) -> Path:
    """The segments as a store has them."""
    for number, path in enumerate(sorted(directory.rglob("*.sealed"))):
        shutil.copy(path, target / f"{number}.cja")
    return target


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Three processes one after the other, the second of which was killed, and their checkpoints."""
    directory = tmp_path_factory.mktemp("journal")
    notes = write(directory, (2, 1))
    notes.append(_killed(directory))
    notes += write(directory, (3,), 9)
    return shipped(directory, tmp_path_factory.mktemp("store")), notes


def copy(journal: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """Segments to spoil."""
    return Path(shutil.copytree(journal[0], tmp_path / "copy"))


def codes(report: Report) -> set[str]:
    """What was found."""
    return {finding.code for finding in report.findings}


def test_an_honest_journal_is_clean(journal: tuple[Path, list[str]]) -> None:
    path, notes = journal
    report = verify([path], [KEY], notes)
    assert report.findings == []
    assert (report.segments, report.records, report.opened) == (4, 7, 7)
    assert [line.seq for line in read_journal([path], [KEY])] == list(range(7))
    without = verify([path])
    assert (without.findings, without.opened) == ([], 0)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A segment of each kind, with a record each: one that ended, one that was cut by a kill."""
    directory, store = tmp_path / "journal", tmp_path / "store"
    write(directory, (1,))
    _killed(directory)
    with JournalWriter(directory, identity=IDENTITY, recipients=[KEY.public]):
        """Closes what the killed process left open."""
    store.mkdir()
    path = shipped(directory, store)
    assert verify([path], [KEY]).findings == []
    assert len(list(path.iterdir())) == 2
    return path


def test_every_flipped_byte(short: Path) -> None:
    missed = []
    for segment in sorted(short.iterdir()):
        honest = segment.read_bytes()
        for place in range(len(honest)):
            segment.write_bytes(honest[:place] + bytes([honest[place] ^ 1]) + honest[place + 1 :])
            if not verify([short], [KEY]).findings:
                missed.append((segment.name, place))
        segment.write_bytes(honest)
    assert missed == []
    assert verify([short], [KEY]).findings == []


def test_every_truncation(short: Path) -> None:
    for segment in sorted(short.iterdir()):
        honest = segment.read_bytes()
        for size in range(len(honest)):
            segment.write_bytes(honest[:size])
            assert verify([short], [KEY]).findings, (segment.name, size)
        segment.write_bytes(honest)


def _frames(path: Path) -> tuple[bytes, list[bytes]]:
    """A segment's first two lines, and its frames."""
    with path.open("rb") as file:
        reader = SegmentReader(file, path.stat().st_size)
        return reader.header_raw, [frame.raw for frame in reader.frames()]


def _whole(frame: bytes) -> bytes:
    """With the length and the checksum that a frame of these bytes has."""
    frame = (len(frame) - LENGTH_SIZE).to_bytes(LENGTH_SIZE, "big") + frame[LENGTH_SIZE:-CRC_SIZE]
    return frame + zlib.crc32(frame).to_bytes(CRC_SIZE, "big")


def test_the_end_of_a_segment_is_not_taken_for_a_cut(journal: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Its signed note stands there for anybody to copy; the tag over it is what only the writer could make."""
    path = copy(journal, tmp_path) / "3.cja"
    with path.open("rb") as file:
        frames = list(SegmentReader(file, path.stat().st_size).frames())
    header, raw = _frames(path)
    end = frames[-1]
    path.write_bytes(b"".join([header, *raw[:-1], cut_frame(end.index, end.seq, end.head, end.note)]))
    assert codes(verify([path.parent], [KEY])) == {"damaged"}


def test_a_segment_is_not_cut_where_an_anchor_was(tmp_path: Path) -> None:
    """Anchors are public: with one of them nobody can make the journal end earlier."""
    directory, store = tmp_path / "journal", tmp_path / "store"
    store.mkdir()
    with JournalWriter(directory, identity=IDENTITY, recipients=[KEY.public]) as writer:
        writer.append([encode({"type": "stop", "time": timestamp(0)})])
        anchor = writer.head().note
        writer.append([encode({"type": "stop", "time": timestamp(0)})])
    path = shipped(directory, store) / "0.cja"
    with path.open("rb") as file:
        frames = list(SegmentReader(file, path.stat().st_size).frames())
    header, raw = _frames(path)
    path.write_bytes(b"".join([header, raw[0], cut_frame(1, frames[1].seq, frames[0].head, anchor)]))
    assert codes(verify([store], [KEY])) == {"damaged"}


def test_nothing_is_added_to_the_note_of_a_cut(journal: tuple[Path, list[str]], tmp_path: Path) -> None:
    path = copy(journal, tmp_path)
    (path / "3.cja").unlink()
    header, raw = _frames(path / "2.cja")
    assert verify([path], [KEY]).findings == []
    more = "— witness AAAAAAAA\n".encode()
    (path / "2.cja").write_bytes(b"".join([header, *raw[:-1], _whole(raw[-1][:-CRC_SIZE] + more + bytes(CRC_SIZE))]))
    assert codes(verify([path], [KEY])) == {"damaged"}


def _delete(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).unlink()


def _swap(path: Path) -> None:
    one, two = (path / "1.cja").read_bytes(), (path / "2.cja").read_bytes()
    (path / "1.cja").write_bytes(one[: one.index(b"\n", 30) + 1] + two[two.index(b"\n", 30) + 1 :])


def _grow(path: Path) -> None:
    data = (path / "1.cja").read_bytes()
    (path / "1.cja").write_bytes(data + data[-200:])


@pytest.mark.parametrize(
    "spoil",
    [
        _delete("0.cja"),
        _delete("1.cja"),
        _delete("2.cja"),
        lambda path: shutil.copy(path / "1.cja", path / "9.cja"),
        _swap,
        _grow,
    ],
    ids=["first gone", "one gone", "crash gone", "twice", "frames of another", "more at the end"],
)
def test_segments_that_are_not_as_they_were(
    journal: tuple[Path, list[str]], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    path = copy(journal, tmp_path)
    spoil(path)
    assert verify([path]).findings, "even without a key"


@pytest.mark.parametrize(
    "rearrange",
    [
        lambda frames: frames[1:],
        lambda frames: [frames[0], *frames[2:]],
        lambda frames: [frames[0], frames[0], *frames[1:]],
        lambda frames: [frames[1], frames[0], *frames[2:]],
        lambda frames: [*frames[:-1], frames[0], frames[-1]],
    ],
    ids=["first gone", "one gone", "twice", "swapped", "again at the end"],
)
def test_records_that_are_not_in_their_order(
    journal: tuple[Path, list[str]], tmp_path: Path, rearrange: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Whole frames, each of them untouched: every record of this journal has one of its own."""
    path = copy(journal, tmp_path)
    segment = path / "3.cja"
    whole = segment.read_bytes()
    with segment.open("rb") as file:
        frames = [frame.raw for frame in SegmentReader(file, len(whole)).frames()]
    assert len(frames) > 3
    head = whole[: len(whole) - len(b"".join(frames))]
    assert whole == head + b"".join(frames)
    segment.write_bytes(head + b"".join(rearrange(frames)))
    assert verify([path]).findings, "even without a key"


def test_the_end_cut_off_is_seen_by_the_anchor_alone(journal: tuple[Path, list[str]], tmp_path: Path) -> None:
    path = copy(journal, tmp_path)
    (path / "3.cja").unlink()
    assert verify([path], [KEY]).findings == []
    assert codes(verify([path], [KEY], journal[1])) == {"cut"}


def test_a_rollback_that_goes_on_is_seen_by_the_anchor_alone(tmp_path: Path) -> None:
    """A thief puts back an earlier copy of the whole directory, keys and all, and writes on."""
    directory, store = tmp_path / "journal", tmp_path / "store"
    store.mkdir()
    write(directory, (2,))
    shutil.copytree(directory, tmp_path / "earlier")
    notes = write(directory, (2, 2), 1)
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "earlier", directory)
    write(directory, (2, 2, 2), 2)
    path = shipped(directory, store)
    assert verify([path], [KEY]).findings == []
    assert codes(verify([path], [KEY], notes)) == {"rewritten"}


def test_a_journal_made_anew_is_seen_by_the_anchor_alone(tmp_path: Path) -> None:
    """A thief with the signing key seals another past under the same name."""
    directory, other, store = tmp_path / "journal", tmp_path / "other", tmp_path / "store"
    store.mkdir()
    notes = write(directory, (2,))
    other.mkdir()
    shutil.copy(directory / "stream.json", other)
    (stream,) = [found for found in directory.iterdir() if found.is_dir()]
    (other / stream.name).mkdir()
    write(other, (2,), 5)
    path = shipped(other, store)
    assert verify([path], [KEY]).findings == []
    assert codes(verify([path], [KEY], notes)) == {"rewritten"}


def test_a_strangers_key_opens_nothing(journal: tuple[Path, list[str]]) -> None:
    assert codes(verify([journal[0]], [STRANGER])) == {"unreadable"}


def test_anchors_as_notes_and_as_log_lines(journal: tuple[Path, list[str]]) -> None:
    notes = journal[1]
    assert anchors_in("".join(notes)) == notes
    lines = [json.dumps({"event": "checkpoint", "checkpoint": note}) for note in notes]
    assert anchors_in("\n".join(['{"event": "serving"}', "{broken", *lines])) == notes
    assert anchors_in("nothing") == []
    hostile = ['{"a":' + "[" * 5000, '{"a":' + "1" * 5000 + "}"]
    assert anchors_in("\n".join([*hostile, *lines])) == notes


def test_an_anchor_of_a_stream_that_is_gone(journal: tuple[Path, list[str]], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert codes(verify([empty], [KEY], journal[1])) == {"missing"}


def test_a_segment_that_goes_away_meanwhile(journal: tuple[Path, list[str]], tmp_path: Path) -> None:
    """A shipper renames and deletes beside whoever verifies a live directory."""
    path = copy(journal, tmp_path)

    class Shipping(list[str]):
        """Anchors that are looked at once the headers are read."""

        def __iter__(self) -> Iterator[str]:
            (path / "3.cja").unlink()
            return super().__iter__()

    assert codes(verify([path], anchors=Shipping())) == {"damaged"}


def stored(directory: Path, target: Path, prefix: str = "bot-inference/inference") -> Path:
    """Segments as a copy of the store has them."""
    for path in directory.rglob("*.sealed"):
        place = target / prefix / object_name(path, path.read_bytes())
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return target


@pytest.mark.parametrize("below", ["", "bot-inference", "bot-inference/inference"])
def test_segments_that_lie_where_they_belong(tmp_path: Path, below: str) -> None:
    directory = tmp_path / "journal"
    notes = write(directory, (2, 1))
    assert verify([directory], [KEY], notes).findings == []
    store = stored(directory, tmp_path / "elsewhere" / "store")
    assert verify([store / below], [KEY], notes).findings == []
    assert verify(sorted(store.rglob("*.cja")), [KEY], notes).findings == []
    assert verify([store, store / below, *store.rglob("*.cja")], [KEY], notes).segments == 2


@pytest.mark.parametrize("prefix", ["bot-training/training", "bot-inference/training", "bot-training/inference"])
def test_a_stream_in_anothers_name_is_misplaced(tmp_path: Path, prefix: str) -> None:
    """Whatever a writer says in its segments, it can put them below its own prefix alone."""
    write(tmp_path / "forged", (2, 1))
    store = stored(tmp_path / "forged", tmp_path / "store", prefix)
    found = verify([store], [KEY]).findings
    assert [finding.code for finding in found] == ["misplaced"] * 2
    assert "segment 0 of cluster.local/ns/bot-inference/sa/inference/" in found[0].message


def test_a_segment_under_anothers_number_or_stream_is_misplaced(tmp_path: Path) -> None:
    write(tmp_path / "journal", (1, 1))
    last = max((tmp_path / "journal").rglob("*.sealed"))
    last.rename(last.with_stem("0000000003"))
    assert codes(verify([tmp_path / "journal"], [KEY])) == {"misplaced"}
    other = tmp_path / "other" / ("ab" * 16)
    other.mkdir(parents=True)
    shutil.copy(last.with_stem("0000000003"), other / "0000000001.sealed")
    assert "misplaced" in codes(verify([tmp_path / "other"], [KEY]))


def test_where_older_segments_are_gone_the_oldest_is_taken_at_its_word_when_asked(
    journal: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, (_, notes) = copy(journal, tmp_path), journal
    for name in ("0.cja", "1.cja"):
        (path / name).unlink()
    strict = verify([path], [KEY], notes)
    assert [finding.code for finding in strict.findings] == ["order"]
    assert "--from-oldest" in strict.findings[0].message
    report = verify([path], [KEY], notes, from_oldest=True)
    assert report.findings == []
    (extent,) = report.streams.values()
    assert (extent.segments, extent.records, extent.anchors) == (2, 4, len(notes))
    assert extent.begins
    assert extent.begins[:2] == (2, 3)
    assert 0 < extent.older < extent.anchors


def test_the_oldest_taken_at_its_word_is_no_way_around_anchors(journal: tuple[Path, list[str]], tmp_path: Path) -> None:
    path = copy(journal, tmp_path)
    for name in ("0.cja", "3.cja"):
        (path / name).unlink()
    assert codes(verify([path], [KEY], journal[1], from_oldest=True)) == {"cut"}
    (path / "1.cja").unlink()
    (path / "2.cja").unlink()
    assert codes(verify([path], [KEY], journal[1], from_oldest=True)) == {"missing"}
    shutil.copy(journal[0] / "0.cja", path)
    shutil.copy(journal[0] / "2.cja", path)
    assert "order" in codes(verify([path], [KEY], from_oldest=True)), "a gap in between stays one"


def test_what_is_held_of_a_segment_does_not_grow_with_its_header(tmp_path: Path) -> None:
    """Headers are some kilobytes each, and a year has half a million segments."""
    write(tmp_path / "journal", (1,) * 40)
    headers: list[object] = []
    parse = Header.parse

    def parsed(raw: bytes) -> Header:
        header = parse(raw)
        headers.append(weakref.ref(header))
        assert sum(one() is not None for one in headers) < 5  # type: ignore[operator]
        return header

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Header, "parse", parsed)
        assert verify([tmp_path / "journal"], [KEY]).findings == []
    assert len(headers) >= 80


def test_anchors_as_a_node_keeps_them(journal: tuple[Path, list[str]]) -> None:
    """The container runtime interface's log files, and `kubectl logs --timestamps`."""
    notes = journal[1]
    lines = [json.dumps({"event": "checkpoint", "checkpoint": note}) for note in notes]
    for before in ("2025-12-01T10:00:00.000000000Z stdout F ", "2025-12-01T10:00:00.000000000Z "):
        said = "\n".join([f"{before}Traceback of something", *(before + line for line in lines)])
        assert anchors_in(said) == notes
    assert anchors_in("\n".join(['{"event": "serving"}', *notes])) == notes
