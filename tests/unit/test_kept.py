"""What is known after a restart: a whole file, of its owner alone, whoever writes at the same time."""

import threading
from pathlib import Path

import pytest

from cloister.kept import KeptFile


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    file = KeptFile(tmp_path / "known.json")
    with pytest.raises(FileNotFoundError):
        file.read()
    file.replace(b"first")
    file.replace(b"second")
    assert file.read() == b"second"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["known.json"]


def test_two_at_once_leave_what_one_of_them_wrote(tmp_path: Path) -> None:
    file = KeptFile(tmp_path / "known.json")
    contents = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]
    failed: list[OSError] = []

    def replace(content: bytes) -> None:
        try:
            for _ in range(10):
                file.replace(content)
        except OSError as error:
            failed.append(error)

    writers = [threading.Thread(target=replace, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    assert file.read() in contents


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"untouched")
    (tmp_path / "known.new").symlink_to(other)
    with pytest.raises(OSError, match=r"[Ll]ink|level"):
        KeptFile(tmp_path / "known.json").replace(b"content")
    assert other.read_bytes() == b"untouched"
