"""Processes are found again, ended, and never confused with another that has taken their pid."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster import ports, progress
from tests.cluster.processes import Identity, ProcessError, ProcessTable, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path)
    yield table
    table.stop_all()


def test_a_process_is_found_by_another_reader_of_the_directory(table: ProcessTable) -> None:
    started = table.start("sleeper", SLEEP)
    assert ProcessTable(table.directory).running() == {"sleeper": started}


def test_a_stopped_process_is_gone_and_forgotten(table: ProcessTable) -> None:
    started = table.start("sleeper", SLEEP)
    table.stop("sleeper")
    assert Identity.of(started.pid) is None
    assert table.running() == {}
    assert not list(table.directory.glob("run/*"))


def test_stopping_twice_is_harmless(table: ProcessTable) -> None:
    table.start("sleeper", SLEEP)
    table.stop("sleeper")
    table.stop("sleeper")
    assert table.find("sleeper") is None


def test_a_name_is_not_started_twice(table: ProcessTable) -> None:
    table.start("sleeper", SLEEP)
    with pytest.raises(ProcessError, match="already runs"):
        table.start("sleeper", SLEEP)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot": "another"}])
def test_a_process_that_took_over_the_pid_is_left_alone(
    table: ProcessTable, tmp_path: Path, change: dict[str, int | str]
) -> None:
    bystander = table.start("bystander", SLEEP)
    stale = {"pid": bystander.pid, "start_ticks": bystander.start_ticks, "boot": bystander.boot, **change}
    (tmp_path / "other" / "run").mkdir(parents=True)
    (tmp_path / "other" / "run" / "etcd.json").write_text(json.dumps(stale))

    other = ProcessTable(tmp_path / "other")
    assert other.find("etcd") is None
    other.stop("etcd")
    other.stop_all()
    assert bystander.alive()


def test_a_signal_goes_only_to_the_very_process(table: ProcessTable) -> None:
    started = table.start("sleeper", SLEEP)
    replace(started, start_ticks=started.start_ticks + 1).signal(signal.SIGKILL)
    assert started.alive()
    started.signal(signal.SIGKILL)
    assert wait_until(lambda: not started.alive(), 30)


def test_what_a_process_started_ends_with_it(table: ProcessTable, tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    script = (
        "import subprocess, sys, pathlib, time;"
        f"child = subprocess.Popen({SLEEP!r});"
        f"pathlib.Path({str(child_file)!r}).write_text(str(child.pid) + ' ');"
        "time.sleep(600)"
    )
    table.start("parent", [sys.executable, "-c", script])
    assert wait_until(lambda: child_file.exists() and child_file.read_text().endswith(" "), 30)
    child = Identity.of(int(child_file.read_text()))
    assert child is not None
    table.stop("parent")
    assert wait_until(lambda: not child.alive(), 30)


def test_a_zombie_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        assert wait_until(lambda: "Z" in _state(child.pid), 30)
        assert Identity.of(child.pid) is None


def test_a_name_with_spaces_and_parentheses_is_read_right() -> None:
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R (b', 0, 0, 0)"
    script = f"{rename}; print(flush=True); import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        plain = Identity.of(child.pid)
        assert child.stdout is not None
        child.stdout.readline()
        assert Path(f"/proc/{child.pid}/comm").read_text() == "a) R (b\n"
        assert Identity.of(child.pid) == plain
        child.kill()


def test_a_paused_process_still_ends_in_good_order(table: ProcessTable, tmp_path: Path) -> None:
    mark, ready = tmp_path / "ended", tmp_path / "ready"
    script = (
        "import signal, sys, pathlib, time;"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(mark)!r}).touch(), sys.exit()));"
        f"pathlib.Path({str(ready)!r}).touch();"
        "time.sleep(600)"
    )
    started = table.start("paused", [sys.executable, "-c", script])
    assert wait_until(ready.exists, 30)
    started.signal(signal.SIGSTOP)
    table.stop("paused", grace=30)
    assert mark.exists()


def test_a_failure_shows_the_end_of_the_log(table: ProcessTable) -> None:
    def start() -> None:
        """On a busy machine it has ended before it is looked at, which start() says itself."""
        table.start("broken", [sys.executable, "-c", "print('flag --x: not a port'); raise SystemExit(3)"])
        table.wait_ready("broken", lambda: False)

    with pytest.raises(ProcessError, match=r"(?s)broken ended.*flag --x: not a port"):
        start()


def test_a_process_that_never_becomes_ready_is_reported(table: ProcessTable) -> None:
    table.start("slow", SLEEP)
    with pytest.raises(ProcessError, match="slow was not ready after 0 s"):
        table.wait_ready("slow", lambda: False, timeout=0.2)


def test_the_start_from_a_thread_outlives_the_thread(table: ProcessTable) -> None:
    thread = threading.Thread(target=table.start, args=("sleeper", SLEEP))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert list(table.running()) == ["sleeper"]


def test_ports_are_free_and_different() -> None:
    with ports.choosing():
        chosen = ports.free(["one", "two", "three"])
    assert len(set(chosen.values())) == 3
    assert not any(ports.answers(port) for port in chosen.values())


def test_progress_returns_the_exit_code_and_says_what_happened(capfd: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(4)"])
    assert progress.watch(process, "[1/2] etcd v3", expected_seconds=35) == 4
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("[1/2] etcd v3: building, up to ")
    assert said[1].startswith("[1/2] etcd v3: failed after ")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
