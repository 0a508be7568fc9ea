"""The tests make room for what watches files, and put the limit back."""

from pathlib import Path

from tests.inotify import ENOUGH, make_room, shortage


def test_a_low_limit_is_raised_and_put_back(tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("128\n")
    assert "sysctl" in (shortage(limit) or "")
    put_back = make_room(limit, tmp_path / "memory")
    assert int(limit.read_text()) == ENOUGH
    assert shortage(limit) is None
    assert put_back
    put_back()
    assert limit.read_text() == "128\n"


def test_of_runs_at_the_same_time_the_last_one_puts_it_back(tmp_path: Path) -> None:
    limit, memory = tmp_path / "limit", tmp_path / "memory"
    limit.write_text("128\n")
    first, second = make_room(limit, memory), make_room(limit, memory)
    assert first
    assert second
    first()
    assert int(limit.read_text()) == ENOUGH
    second()
    assert limit.read_text() == "128\n"
    again = make_room(limit, memory)
    assert again, "and it can be raised again"
    again()


def test_a_high_one_is_left_alone(tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("8192\n")
    assert make_room(limit, tmp_path / "memory") is None
    assert limit.read_text() == "8192\n"


def test_where_there_is_none_nothing_is_done(tmp_path: Path) -> None:
    assert make_room(tmp_path / "limit", tmp_path / "memory") is None
    assert shortage(tmp_path / "limit") is None
