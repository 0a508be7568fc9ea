"""The tests make room for what watches files, and put the limit back."""

from pathlib import Path

from tests.inotify import ENOUGH, make_room, shortage


def test_a_low_limit_is_raised_and_put_back(tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("128\n")
    assert "sysctl" in (shortage(limit) or "")
    put_back = make_room(limit)
    assert int(limit.read_text()) == ENOUGH
    assert shortage(limit) is None
    assert put_back
    put_back()
    assert limit.read_text() == "128\n"


def test_a_high_one_is_left_alone(tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("8192\n")
    assert make_room(limit) is None
    assert limit.read_text() == "8192\n"


def test_where_there_is_none_nothing_is_done(tmp_path: Path) -> None:
    assert make_room(tmp_path / "limit") is None
    assert shortage(tmp_path / "limit") is None
