"""How segments are found in the store: by names that carry a digest, each number once (ZT-30)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import pytest

from cloister.jobs.exporter import store as module
from cloister.jobs.exporter.figures import Figures
from cloister.jobs.exporter.keys import Keys
from cloister.jobs.exporter.pipeline import Memory, Pipeline, Source, Wanted
from cloister.jobs.exporter.store import Listed, Listing, Store, Stream
from cloister.jobs.exporter.told import Told
from cloister.journal import JournalWriter, encode, object_name, sealed_segments, timestamp
from cloister.journal.reader import segment_paths
from cloister.kept import KeptFile
from cloister.sealing import Kind, generate

PREFIX = "bot-inference/inference/"
STREAM = Stream("inference", f"{PREFIX}{'ab' * 16}/")


def key(number: int, digest: str = "0") -> str:
    return f"{STREAM.prefix}{number:010d}.{digest * 16}.cja"


class Listings(Store):
    """A store that has these keys, and lists them as S3 does."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__("unix:/nowhere", "interaction-logs", {"inference": PREFIX}, Path("/nowhere"), 0)
        self.keys, self.asked = keys, 0

    async def _page(self, query: dict[str, str]) -> Element:
        self.asked += 1
        page = Element("ListBucketResult")
        found = sorted(key for key in self.keys if key.startswith(query["prefix"]))
        if "delimiter" in query:
            for prefix in sorted({key.rpartition("/")[0] + "/" for key in found}):
                SubElement(SubElement(page, "CommonPrefixes"), "Prefix").text = prefix
            return page
        for key in [key for key in found if key > query["start-after"]][: int(query["max-keys"])]:
            SubElement(SubElement(page, "Contents"), "Key").text = key
        return page


async def test_numbers_and_keys_come_from_the_listing() -> None:
    junk = [f"{STREAM.prefix}{name}" for name in ("0000000001.cja", "1.cja", "0000000001.zz.cja", "x", "9/a.cja")]
    store = Listings([key(0), key(1, "f"), key(2), key(10), *junk])
    assert await store.since(STREAM, 0) == Listing(
        [Listed(n, key(n, "f" if n == 1 else "0")) for n in (0, 1, 2, 10)], False
    )
    assert [one.number for one in (await store.since(STREAM, 2)).segments] == [2, 10]
    assert (await store.since(STREAM, 11)).segments == []


async def test_two_of_one_number_are_one_with_another() -> None:
    store = Listings([key(0), key(1, "b"), key(1, "a"), key(2)])
    found = (await store.since(STREAM, 0)).segments
    assert found == [Listed(0, key(0)), Listed(1, key(1, "a"), (key(1, "b"),)), Listed(2, key(2))]


async def test_those_of_one_number_are_not_parted_by_the_end_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    store = Listings([key(0), key(1), key(2, "a"), key(2, "b"), key(3)])
    first = await store.since(STREAM, 0)
    assert ([one.number for one in first.segments], first.more) == ([0, 1], True)
    second = await store.since(STREAM, 2)
    assert (second.segments, second.more) == ([Listed(2, key(2, "a"), (key(2, "b"),))], True)
    assert await store.since(STREAM, 3) == Listing([Listed(3, key(3))], False)


@pytest.mark.parametrize("last", [-1, 0, 1, 2, 3, 100, 12345])
async def test_the_last_is_found_in_few_questions(last: int) -> None:
    store = Listings([key(number) for number in range(last + 1)])
    assert await store.last(STREAM) == last
    assert store.asked < 64


class _Taker:
    def __init__(self) -> None:
        self.told: list[Told] = []

    async def take(self, batch: Sequence[Told], memory: Memory) -> None:
        self.told += batch

    def kept(self, memory: Memory) -> None:
        pass


class _Volume(Listings):
    """The same, with what lies under the keys."""

    def __init__(self, objects: dict[str, bytes], scratch: Path) -> None:
        super().__init__(list(objects))
        self._scratch, self._objects = scratch, objects

    async def _download(self, key: str, target: Path) -> None:
        target.write_bytes(self._objects[key])  # noqa: ASYNC240 - a small one


async def test_a_fork_beside_what_it_forked_from_is_told(tmp_path: Path) -> None:
    """Of a volume that was put back from a snapshot, after others had been shipped."""
    secret = generate(Kind.X25519)
    alert = {"type": "alert", "time": timestamp(0), "code": "c", "severity": "critical"}
    objects: dict[str, bytes] = {}

    def write(directory: Path, *messages: str) -> None:
        identity = "spiffe://a/ns/bot-inference/sa/inference"
        with JournalWriter(directory, identity=identity, recipients=[secret.public], max_age_s=0) as writer:
            for message in messages:
                writer.append([encode(alert | {"message": message})])
                writer.tick()
        for path in sealed_segments(directory):
            data = path.read_bytes()
            objects[PREFIX + object_name(path, data)] = data

    volume = tmp_path / "volume"
    write(volume, "one")
    shutil.copytree(volume, tmp_path / "snapshot")
    write(volume, "two")
    shutil.rmtree(volume)
    shutil.copytree(tmp_path / "snapshot", volume)
    write(volume, "two again")
    assert len(objects) == 3
    assert len(segment_paths([volume])) == 2

    (tmp_path / "scratch").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text(secret.text)
    taker = _Taker()
    source = Source(_Volume(objects, tmp_path / "scratch"), Keys(tmp_path / "secrets", str(secret.public)))
    kept = KeptFile(tmp_path / "kept.json")
    pipeline = Pipeline("events", taker, Wanted(frozenset({"alert"}), None), source, kept, Figures())
    assert not await pipeline.round(adopt=False)
    codes = [one.fields["code"] for one in taker.told]
    assert codes == ["c", "c", "journal.order"]
    assert "comes twice" in taker.told[-1].fields["message"]
