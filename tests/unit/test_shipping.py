"""Segments go on being shipped after whatever goes wrong on the journal's own volume (ZT-30)."""

import errno
import os
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cloister import sidecar
from cloister.auditor.shipping import KEEP_SECONDS, Shipper, tidy
from cloister.auditor.stats import Stats
from cloister.journal import JournalError, JournalWriter, encode
from cloister.journal.reader import read_journal
from cloister.journal.verify import verify
from cloister.sealing import Kind, generate
from tests.auditor.store import storing

KEY = generate(Kind.X25519)
RENAME = Path.rename


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Errors of the next renames."""
    errors: list[int] = []

    def rename(path: Path, target: Path) -> Path:
        if errors:
            raise OSError(errors.pop(0), "injected")
        return RENAME(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    return errors


def written(directory: Path, *messages: str) -> Shipper:
    """Ships the segments of a journal that has got one for each message."""
    alert = {"type": "alert", "time": "2026-01-01T00:00:00.000000Z", "code": "c", "severity": "info"}
    identity = "spiffe://a/ns/b/sa/c"
    with JournalWriter(directory, identity=identity, recipients=[KEY.public], max_age_s=0) as writer:
        for message in messages:
            writer.append([encode(alert | {"message": message})])
            writer.tick()
    journal = sidecar.Journal(
        directory=str(directory),
        recipients=(str(KEY.public),),
        upstream=f"unix:{directory.parent / 'store.sock'}",
        path="/interaction-logs/b/c/",
    )
    return Shipper(journal, Stats())


async def shipped(shipper: Shipper) -> bool:
    """One round; whether nothing is left behind."""
    with closing(shipper._store()) as store:
        return await shipper.ship(store)


async def test_what_a_volume_put_back_writes_anew_is_not_taken_for_what_it_had_shipped(tmp_path: Path) -> None:
    """The numbers are the same: neither keeps the other from the store, and a verifier sees both."""
    volume, copies = tmp_path / "journal", tmp_path / "copies"
    with storing(tmp_path / "store.sock") as store:
        assert await shipped(written(volume, "one"))
        shutil.copytree(volume, tmp_path / "snapshot")
        assert await shipped(written(volume, "two", "three"))
        shutil.rmtree(volume)
        shutil.copytree(tmp_path / "snapshot", volume)
        assert await shipped(written(volume, "after", "and after that"))
        assert not list(volume.rglob("*.sealed"))
    for name, data in store.objects.items():
        (path := copies / name.removeprefix("/interaction-logs/")).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    amiss: list[JournalError] = []
    said = [line.record.message for line in read_journal([copies], [KEY], amiss.append)]  # type: ignore[union-attr]
    assert sorted(said) == ["after", "and after that", "one", "three", "two"]
    assert any("comes again" in str(error) for error in amiss)
    found = verify([copies], [KEY]).findings
    assert {"order"} <= {finding.code for finding in found}
    assert any("comes twice" in finding.message for finding in found)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_segment_that_the_store_will_not_have_holds_up_no_other(tmp_path: Path, status: int) -> None:
    shipper = written(tmp_path / "journal", "one", "two", "three")
    with storing(tmp_path / "store.sock") as store:
        store.fails, store.which = str(status), "/0000000000."
        for _ in range(2):
            assert not await shipped(shipper), "it is tried again"
        assert sorted(Path(name).name[:10] for name in store.objects) == ["0000000001", "0000000002"]
        assert shipper._stats.unshipped == 1
        store.fails = ""
        assert await shipped(shipper)
        assert len(store.objects) == 3


@pytest.mark.parametrize("fails", ["401", "403", "408", "429", "500", "503", "cut"])
async def test_a_store_that_takes_nothing_is_asked_once_a_round(tmp_path: Path, fails: str) -> None:
    shipper = written(tmp_path / "journal", "one", "two", "three")
    with storing(tmp_path / "store.sock") as store:
        store.fails = fails
        assert not await shipped(shipper)
        assert store.tries < 3, "though the client may try again over a new connection"
        assert shipper._stats.unshipped == 3


async def test_a_segment_that_can_t_be_read_holds_up_no_other_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipper = written(tmp_path / "journal", "one", "two")
    bad = min((tmp_path / "journal").rglob("*.sealed"))
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    with storing(tmp_path / "store.sock") as store, capture_logs() as logs:
        monkeypatch.setattr(Path, "read_bytes", failing)
        assert not await shipped(shipper)
        assert (len(store.objects), shipper._stats.unshipped) == (1, 1)
    assert str(bad) in logs[0]["error"]


async def test_the_second_copy_stays_for_an_hour_from_when_the_store_had_the_first(tmp_path: Path) -> None:
    """However long the segment had waited for it."""
    shipper = written(tmp_path / "journal", "one", "two", "three")
    for path in (tmp_path / "journal").rglob("*.sealed"):
        os.utime(path, (time.time() - 2 * KEEP_SECONDS,) * 2)
    with storing(tmp_path / "store.sock"):
        assert await shipped(shipper)
    assert len(list((tmp_path / "journal").rglob("*.shipped"))) == 3
    tidy(tmp_path / "journal", time.time() + KEEP_SECONDS + 60)
    assert len(list((tmp_path / "journal").rglob("*.shipped"))) == 1, "the chain goes on from the newest"


async def test_a_full_disk_delays_it_and_no_more(tmp_path: Path, failing: list[int]) -> None:
    shipper = written(tmp_path / "journal", "one")
    stats = shipper._stats
    with storing(tmp_path / "store.sock") as store:
        failing.append(errno.ENOSPC)
        assert not await shipped(shipper)
        assert (stats.shipping_failures, stats.unshipped) == (1, 1)
        assert await shipped(shipper)
        assert (stats.shipping_failures, stats.unshipped, stats.segments_shipped) == (1, 0, 1)
        assert len(store.objects) == 1
