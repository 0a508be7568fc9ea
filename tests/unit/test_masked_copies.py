"""Masked copies of Parquet: made once, whoever waits for them, and by a process with bounds (ZT-14)."""

import asyncio
import io
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloister.auditor.refusal import Refusal
from cloister.auditor.s3 import copies as module
from cloister.auditor.s3 import parquet
from cloister.auditor.s3.copies import Copies, Fetch
from cloister.masking import Kind, Unmaskable

ALL = frozenset(Kind)
MAIL = "ada.lovelace@example.com"


def file(rows: int = 3) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"mail": [MAIL] * rows}), buffer)
    return buffer.getvalue()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class Object:
    """What a store gives, once it may."""

    def __init__(self, data: bytes, *, at_once: bool = True) -> None:
        self.data, self.asked = data, 0
        self.may, self.begun = asyncio.Event(), asyncio.Event()
        if at_once:
            self.may.set()

    async def fetch(self) -> AsyncGenerator[bytes, None]:
        self.asked += 1
        self.begun.set()
        await self.may.wait()
        yield self.data


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path, 8 << 20)


async def read(copies: Copies, name: str, found: Object) -> bytes:
    async with copies.masked(name, len(found.data), ALL, found.fetch) as copy:
        return await copy.read(0, copy.size)


async def test_a_copy_is_made_once_and_tells_what_was_masked(copies: Copies) -> None:
    found = Object(file(5))
    first, second = await asyncio.gather(*(read(copies, "a", found) for _ in range(2)))
    assert first == second == await read(copies, "a", found)
    assert pq.read_table(io.BytesIO(first))["mail"].to_pylist() == ["*" * len(MAIL)] * 5
    assert found.asked == 1
    async with copies.masked("a", 0, ALL, found.fetch) as copy:
        assert copy.found == {"email": 5}


async def test_a_reader_who_leaves_does_not_end_it(copies: Copies) -> None:
    found = Object(file(), at_once=False)
    reader = asyncio.create_task(read(copies, "a", found))
    await found.begun.wait()
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    found.may.set()
    assert MAIL.encode() not in await read(copies, "a", found)
    assert found.asked == 1


async def test_what_is_there_waits_for_nothing_else(copies: Copies) -> None:
    kept, slow = Object(file()), Object(file(4), at_once=False)
    before = await read(copies, "kept", kept)
    waiting = asyncio.create_task(read(copies, "slow", slow))
    await slow.begun.wait()
    assert await read(copies, "kept", kept) == before
    assert not waiting.done()
    slow.may.set()
    assert await waiting


async def test_who_would_wait_long_is_asked_to_come_again(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Object(file(), at_once=False)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(Refusal) as caught:
        await read(copies, "a", found)
    assert (caught.value.status, caught.value.code) == (503, "SlowDown")
    assert dict(caught.value.headers)["retry-after"].isdigit()
    monkeypatch.undo()
    found.may.set()
    assert await read(copies, "a", found)
    assert found.asked == 1


async def test_not_everything_is_made_at_the_same_time(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MAKING", 1)
    slow, other = Object(file(), at_once=False), Object(file())
    waiting = asyncio.create_task(read(copies, "slow", slow))
    await slow.begun.wait()
    with pytest.raises(Refusal, match="ask again"):
        await read(copies, "other", other)
    assert other.asked == 0
    slow.may.set()
    assert await waiting
    assert await read(copies, "other", other)


async def test_what_can_not_be_masked_is_found_out_once(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 1)
    bad, worse = Object(b"PAR1 and no more"), Object(b"PAR1 and even less")
    for _ in range(2):
        with pytest.raises(Unmaskable, match="read as Parquet"):
            await read(copies, "bad", bad)
    assert bad.asked == 1
    for found, name in ((worse, "worse"), (bad, "bad")):
        with pytest.raises(Unmaskable):
            await read(copies, name, found)
    assert bad.asked == 2, "only so many are remembered"


async def test_a_fault_is_not_remembered(copies: Copies) -> None:
    found = Object(file())
    away = iter([OSError("no space")])

    async def fetch() -> AsyncGenerator[bytes, None]:
        for error in away:
            raise error
        async for data in found.fetch():
            yield data

    with pytest.raises(OSError, match="no space"):
        async with copies.masked("a", len(found.data), ALL, fetch):
            pass
    async with copies.masked("a", len(found.data), ALL, fetch) as copy:
        assert copy.size


async def test_copies_stay_within_their_room(tmp_path: Path) -> None:
    """The one that was not used for longest goes."""
    size = len(file())
    copies = Copies(tmp_path, (1 << 20) + 5 * size)
    objects = {name: Object(file()) for name in "abcd"}
    for name in "abacada":
        await read(copies, name, objects[name])
    assert objects["a"].asked == 1
    assert names(tmp_path) == ["a", "c", "d"]
    fetch: Fetch = objects["a"].fetch
    with pytest.raises(Refusal, match="larger"):
        async with copies.masked("large", 1 << 20, ALL, fetch):
            pass


def worker(tmp_path: Path, data: bytes, room: int, prepare: str = "") -> subprocess.CompletedProcess[str]:
    source = tmp_path / "source"
    source.write_bytes(data)
    program = f"""
import sys
from cloister.auditor.s3 import parquet
{prepare}
sys.exit(parquet.main({[str(source), str(tmp_path / "target"), str(room), "email"]!r}))
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_the_process_writes_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    """A little that stands for much."""
    data = file(3_000_000)
    ended = worker(tmp_path, data, 3000)
    assert ended.returncode == parquet.UNMASKABLE
    assert "3000 bytes" in ended.stderr
    assert (tmp_path / "target").stat().st_size <= 3000


def test_the_process_ends_when_its_time_is_over(tmp_path: Path) -> None:
    endless = """
import cloister.masking.parquet
parquet.CPU_SECONDS = 1
def mask_parquet(*_):
    while True:
        pass
cloister.masking.parquet.mask_parquet = mask_parquet
"""
    assert worker(tmp_path, file(), 1 << 20, endless).returncode == -signal.SIGXCPU


async def test_what_took_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nkill -XCPU $$\n")
    script.chmod(0o700)
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(Unmaskable, match="too long"):
        await read(Copies(tmp_path / "copies", 8 << 20), "a", Object(file()))
