"""Segments go on being shipped after whatever goes wrong on the journal's own volume (ZT-30)."""

import errno
from pathlib import Path

import aiohttp
import pytest

from cloister import sidecar
from cloister.auditor.shipping import Shipper
from cloister.auditor.stats import Stats
from cloister.journal import JournalWriter, encode
from cloister.sealing import Kind, generate
from tests.auditor.store import storing

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


async def test_a_full_disk_delays_it_and_no_more(tmp_path: Path, failing: list[int]) -> None:
    recipients = [generate(Kind.X25519).public]
    writer = JournalWriter(tmp_path / "journal", identity="spiffe://a/ns/b/sa/c", recipients=recipients, max_age_s=0)
    writer.append([encode({"type": "stop", "time": "2026-01-01T00:00:00.000000Z"})])
    writer.tick()
    with storing(tmp_path / "store.sock") as store:
        journal = sidecar.Journal(
            directory=str(tmp_path / "journal"),
            recipients=(str(recipients[0]),),
            upstream=f"unix:{tmp_path / 'store.sock'}",
            path="/interaction-logs/ns/sa/",
        )
        stats = Stats()
        shipper = Shipper(journal, stats)
        connector = aiohttp.UnixConnector(str(tmp_path / "store.sock"))
        async with aiohttp.ClientSession(connector=connector) as session:
            failing.append(errno.ENOSPC)
            assert not await shipper.ship(session)
            assert (stats.shipping_failures, stats.unshipped) == (1, 1)
            assert await shipper.ship(session)
        assert (stats.shipping_failures, stats.unshipped, stats.segments_shipped) == (1, 0, 1)
        assert len(store.objects) == 1
