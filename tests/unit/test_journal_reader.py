"""Reading goes on behind what can't be read, and says so (ZT-30)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from cloister.journal import JournalError, JournalWriter, encode, timestamp
from cloister.journal.errors import UnopenedError
from cloister.journal.follower import Follower
from cloister.journal.header import Header
from cloister.journal.reader import opened, read_journal, read_raw
from cloister.journal.verify import verify
from cloister.sealing import Kind, PublicKey, generate

KEY, OTHER = generate(Kind.X25519), generate(Kind.X25519)
ALERT = {"type": "alert", "time": timestamp(0), "code": "c", "severity": "info"}


def written(directory: Path, *batches: list[bytes], to: PublicKey = KEY.public) -> list[Path]:
    """The segments of a journal with one for each of these."""
    with JournalWriter(directory, identity="spiffe://a/ns/b/sa/c", recipients=[to], max_age_s=0) as writer:
        for batch in batches:
            writer.append(batch)
            writer.tick()
    return sorted(directory.rglob("*.sealed"))


def say(*messages: str) -> list[bytes]:
    return [encode(ALERT | {"message": message}) for message in messages]


def read(path: Path) -> tuple[list[str], list[str]]:
    """What the records say, and what was amiss."""
    amiss: list[JournalError] = []
    said = [line.record.message for line in read_journal([path], [KEY], amiss.append)]  # type: ignore[union-attr]
    return said, [str(error) for error in amiss]


def _flip(path: Path) -> None:
    with opened(path) as reader:
        place = len(reader.header_raw) + 90
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    with opened(path) as reader:
        path.write_bytes(reader.header_raw)


def _end(path: Path) -> None:
    with opened(path) as reader:
        last = list(reader.frames())[-1]
    path.write_bytes(path.read_bytes()[: last.offset])


@pytest.mark.parametrize(
    ("spoil", "said", "what"),
    [
        (_flip, "1256", "a frame is damaged"),
        (_cut, "1256", "it is not closed"),
        (_end, "123456", "it is not closed"),
        (lambda path: path.write_bytes(b"nothing"), "1256", "not a journal segment"),
        (lambda path: path.unlink(), "1256", "records 2 to 3 of its stream are not here"),
        (lambda path: shutil.copy(path, path.with_suffix(".cja")), "12343456", "record 2 of its stream comes again"),
    ],
    ids=["flipped", "only a header", "end cut off", "no segment", "gone", "twice"],
)
def test_what_lies_behind_is_read_and_what_is_wrong_is_said(
    tmp_path: Path, spoil: Callable[[Path], object], said: str, what: str
) -> None:
    path = written(tmp_path, say("1", "2"), say("3", "4"), say("5", "6"))[1]
    assert read(tmp_path) == (list("123456"), [])
    spoil(path)
    found, amiss = read(tmp_path)
    assert "".join(found) == said
    assert any(what in error for error in amiss)
    assert all(str(tmp_path) in error for error in amiss)
    with pytest.raises(JournalError) as refused:
        list(read_journal([tmp_path], [KEY]))
    assert str(refused.value) == amiss[0], "told once, by name"


def test_what_is_being_written_is_no_damage(tmp_path: Path) -> None:
    """A frame may be half there at that moment."""
    with JournalWriter(tmp_path, identity="spiffe://a/b", recipients=[KEY.public]) as writer:
        writer.append(say("1"))
        writer.append(say("2"))
        (path,) = tmp_path.rglob("*.open")
        path.write_bytes(path.read_bytes()[:-9])
        assert read(tmp_path) == (["1"], [])


def test_records_of_a_newer_version_stand_in_no_ones_way(tmp_path: Path) -> None:
    newer = encode({"type": "dream", "time": timestamp(0), "of": "sheep"})
    written(tmp_path, [*say("1"), newer, *say("2")], say("3"))
    found, amiss = read(tmp_path)
    assert found == ["1", "2", "3"]
    (error,) = amiss
    assert "record 1 is of a form that this version does not know" in error
    raw = [entry.raw for entry in read_raw([tmp_path], [KEY], lambda _: None)]
    assert [orjson.loads(line)["record"].get("of") for line in raw] == [None, "sheep", None, None]
    report = verify([tmp_path], [KEY])
    assert [finding.code for finding in report.findings] == ["malformed"]
    assert report.opened == 4
    told: list[JournalError] = []
    assert len(Follower(tmp_path, [KEY], told.append).read()) == 3
    assert len(told) == 1


def test_what_is_sealed_for_others_is_said_and_an_error_where_that_is_all(tmp_path: Path) -> None:
    written(tmp_path / "a", say("1"))
    written(tmp_path / "b", say("2"), to=OTHER.public)
    found, amiss = read(tmp_path)
    assert found == ["1"]
    assert ["none of the given keys opens it" in error for error in amiss] == [True]
    with pytest.raises(UnopenedError, match="opens any segment"):
        read(tmp_path / "b")


def test_of_a_segment_that_is_read_little_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, *(say(str(number)) for number in range(40)))
    alive: list[int] = [0]
    parse = Header.parse

    class Counted(Header):
        def __del__(self) -> None:
            alive[0] -= 1

    def parsed(raw: bytes) -> Header:
        alive[0] += 1
        assert alive[0] < 6
        return Counted.model_construct(**dict(parse(raw)))

    monkeypatch.setattr(Header, "parse", parsed)
    assert read(tmp_path) == ([str(number) for number in range(40)], [])


class Synced:
    """A folder into which segments are copied one by one, and who follows it."""

    def __init__(self, tmp_path: Path) -> None:
        batches = (say(f"{number}a", f"{number}b") for number in range(5))
        self.segments = written(tmp_path / "journal", *batches)
        self.folder = tmp_path / "copies" / "ab"
        self.folder.mkdir(parents=True)
        self.now = 0.0
        self.amiss: list[JournalError] = []
        self.follower = Follower(self.folder, [KEY], self.amiss.append, 60, lambda: self.now)

    def come(self, *numbers: int, size: int | None = None) -> str:
        """What is told once these are there, as far as this size."""
        for number in numbers:
            target = self.folder / f"{self.segments[number].stem}.cja"
            target.write_bytes(self.segments[number].read_bytes()[:size])
        return " ".join(line.record.message for line in self.follower.read())  # type: ignore[union-attr]


def test_what_comes_out_of_order_is_told_in_order(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    assert synced.come(0) == "0a 0b"
    assert synced.come(2, 4) == ""
    assert synced.come(1) == "1a 1b 2a 2b"
    assert synced.come(3) == "3a 3b 4a 4b"
    assert synced.come() == ""
    assert synced.amiss == []


def test_what_comes_in_parts_is_waited_for(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    assert synced.come(0, size=100) == ""
    assert synced.come(0) == "0a 0b"
    size = synced.segments[1].stat().st_size - 100
    assert synced.come(1, size=size) == "1a 1b"
    assert synced.come(2) == ""
    synced.now = 30
    assert synced.come(1) == "2a 2b"
    assert synced.amiss == []


def test_what_does_not_come_is_said_and_not_waited_for_any_longer(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    synced.come(0)
    assert synced.come(3) == ""
    synced.now = 61
    assert synced.come() == "3a 3b"
    assert ["1 to 2 have not come" in str(error) for error in synced.amiss] == [True]
    assert synced.come(4) == "4a 4b"
    assert synced.come(1) == "1a 1b", "late is better than never"
    assert synced.come(2) == "2a 2b"
    assert synced.come() == ""
    assert len(synced.amiss) == 1


def test_what_stays_damaged_is_said_once(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    assert synced.come(0, 1, size=100) == ""
    assert synced.come(2) == "2a 2b"
    synced.now = 61
    for _ in range(3):
        synced.come(3)
    assert len(synced.amiss) == 2


def test_who_does_not_wait_is_told_at_once(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    synced.follower = Follower(synced.folder, [KEY], synced.amiss.append)
    assert synced.come(0, 3) == "0a 0b 3a 3b"
    assert len(synced.amiss) == 1
