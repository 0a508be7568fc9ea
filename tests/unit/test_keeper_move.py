"""A move of one object, cut off after any of its steps."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloister.jobs.keeper import move as module
from cloister.jobs.keeper.move import Move, since

SOURCE, TARGET = "1/dir/sealed", "2/other/sealed"
OLD, COPY, NEWER = b"under the old key", b"under the new key", b"a client's newer object"
STEPS = 40
"""More than a move has."""


class Cut(BaseException):
    """The program is gone: nothing catches it."""


class Volume:
    """A volume with one object, and the scissors."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.left = root, STEPS
        (root / "1/dir").mkdir(parents=True)
        (root / "2").mkdir()
        (root / SOURCE).write_bytes(OLD)
        (root / "2/copy").write_bytes(COPY)
        for name in ("rename", "unlink", "mkdir", "rmdir", "write_text"):
            monkeypatch.setattr(Path, name, self._counted(getattr(Path, name)))
        monkeypatch.setattr(module, "_rename_if_free", self._counted(module._rename_if_free))

    def _counted(self, step: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            if self.left == 0:
                raise Cut
            self.left -= 1
            return step(*arguments, **options)

        return counted

    def prepare(self) -> Move:
        return Move.prepare(self.root / ".rotation/1", self.root, SOURCE, TARGET, self.root / "2/copy")

    def recover(self) -> None:
        self.left = STEPS * 10
        for directory in (self.root / ".rotation").glob("*"):
            Move(directory, self.root).recover()

    def unlinked(self, path: str) -> None:
        """Remove as rclone does, beside all counting."""
        os.remove(self.root / path)  # noqa: PTH107 - Path.unlink is counted

    def objects(self) -> list[bytes]:
        """What clients see: the new key's directory hides the old one's."""
        return [path.read_bytes() for path in (self.root / TARGET, self.root / SOURCE) if path.exists()]

    def leftovers(self) -> list[Path]:
        return list((self.root / ".rotation").rglob("*"))


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    """A volume with one object."""
    return Volume(tmp_path, monkeypatch)


@pytest.mark.parametrize("steps", range(STEPS))
def test_an_interrupted_move_keeps_the_object(volume: Volume, steps: int) -> None:
    volume.left = steps
    try:
        move = volume.prepare()
        assert move.carry_out()
        move.finish()
    except Cut:
        volume.recover()
    assert volume.objects() in ([OLD], [COPY])
    assert volume.leftovers() == []


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_client_that_deletes_while_the_copy_is_ready_has_deleted(volume: Volume, steps: int) -> None:
    move = volume.prepare()
    volume.unlinked(SOURCE)
    volume.left = steps
    try:
        assert not move.carry_out()
    except Cut:
        volume.recover()
    assert volume.objects() == []
    assert volume.leftovers() == []


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_client_that_overwrites_wins(volume: Volume, steps: int) -> None:
    move = volume.prepare()
    volume.unlinked(SOURCE)  # as rclone's union does, before it renames the new object into place
    os.makedirs(volume.root / "2/other")  # noqa: PTH103 - Path.mkdir is counted
    (volume.root / TARGET).write_bytes(NEWER)
    volume.left = steps
    try:
        assert not move.carry_out()
    except Cut:
        volume.recover()
    assert volume.objects() == [NEWER]


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_client_that_deletes_after_an_interruption_has_deleted(volume: Volume, steps: int) -> None:
    volume.left = steps
    try:
        move = volume.prepare()
        move.carry_out()
        move.finish()
    except Cut:
        pass
    there = volume.objects()
    for path in (SOURCE, TARGET):
        if (volume.root / path).exists():
            volume.unlinked(path)
    volume.recover()
    assert volume.objects() == ([] if there else [COPY])  # what was nowhere when the client looked, it can't delete


def test_an_overwrite_in_the_instant_between_wins(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    move, publish = volume.prepare(), module._rename_if_free

    def late(source: Path, target: Path) -> None:
        target.write_bytes(NEWER)
        publish(source, target)

    monkeypatch.setattr(module, "_rename_if_free", late)
    assert move.carry_out()
    move.finish()
    assert volume.objects() == [NEWER]
    assert volume.leftovers() == []


def test_file_systems_without_renameat2_work_as_well(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_renameat2", lambda *_: _fail())
    move = volume.prepare()
    assert move.carry_out()
    move.finish()
    assert volume.objects() == [COPY]


def test_a_copy_is_as_old_as_its_original(volume: Volume) -> None:
    os.setxattr(volume.root / SOURCE, "user.cloister.since", b"1000.5")
    move = volume.prepare()
    move.carry_out()
    move.finish()
    assert since(volume.root / TARGET) == 1000.5


def test_age_is_not_what_a_client_says(volume: Volume) -> None:
    before = since(volume.root / SOURCE)
    os.utime(volume.root / SOURCE, (0, 0))
    assert since(volume.root / SOURCE) >= before


def _fail() -> int:
    import ctypes  # noqa: PLC0415

    ctypes.set_errno(errno.EINVAL)
    return -1
