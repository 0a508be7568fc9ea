"""What the keeper does when rclone refuses or hangs (ZT-25)."""

import json
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloister import keyring
from cloister.jobs.keeper import program, rclone
from cloister.jobs.keeper.bucket import Bucket
from cloister.jobs.keeper.program import Program
from cloister.jobs.keeper.rclone import Rclone, RcloneAwayError, RcloneError
from cloister.jobs.keeper.rotation import Rotation
from cloister.keyring import Keyring
from cloister.sidecar import Keeper
from tests.store.running import key

KEYS = Keyring(current=3, keys=(key(1), key(2), key(3)))
Call = tuple[str, str]
"""A command, and the remote that it is about."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Stands for rclone: it knows its commands, and fails or hangs where it is told to."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.calls: list[Call] = []
        self.fails: Callable[[Call], bool] = lambda _: False
        self.answers = threading.Event()
        self.answers.set()

    def deleted(self) -> list[str]:
        return [remote for method, remote in self.calls if method == "operations/delete"]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        parameters = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = (self.path[1:], parameters.get("fs", ""))
        self.server.calls.append(call)
        self.server.answers.wait(30)
        failed = self.server.fails(call)
        answer: dict[str, Any] = {"vfses": [f"{keyring.served(KEYS)}:"], "count": 1}
        body = json.dumps({"error": f"no {call[1]}"} if failed else answer).encode()
        self.send_response(500 if failed else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "control") as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.answers.set()
        found.shutdown()


@pytest.fixture
def control(server: Server) -> Rclone:
    return Rclone(Path(str(server.server_address)))


def test_a_key_that_fails_keeps_no_other_from_its_turn(server: Server, control: Rclone) -> None:
    server.fails = lambda call: call == ("operations/delete", "sealed-1:")
    with pytest.raises(RcloneError, match="no sealed-1"):
        Bucket(control).remove_expired(KEYS, 10)
    assert server.deleted() == ["sealed-1:", "sealed-2:", "sealed-3:"]
    assert server.calls[-1][0] == "vfs/forget", "what was removed is not listed any more"


def test_who_hangs_is_away(server: Server, control: Rclone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rclone, "_SECONDS", 0.05)
    server.answers.clear()
    with pytest.raises(RcloneAwayError, match="vfs/forget: TimeoutError"):
        control.forget_everything()
    assert control.serves() == []


@pytest.mark.parametrize(
    "work",
    [
        lambda control: control.copy("sealed-1", "a", "sealed-2", "b"),
        lambda control: control.delete(["sealed-1"], {}),
        lambda control: control.count("sealed-1", {}),
    ],
    ids=["copy", "delete", "count"],
)
def test_what_takes_long_may(
    server: Server, control: Rclone, monkeypatch: pytest.MonkeyPatch, work: Callable[[Rclone], None]
) -> None:
    monkeypatch.setattr(rclone, "_SECONDS", 0.01)
    server.answers.clear()
    threading.Timer(0.2, server.answers.set).start()
    work(control)
    assert len(server.calls) == 1


def test_what_failed_is_tried_again_soon(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else waits for it."""
    clock = [1000.0]
    monkeypatch.setattr(program, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    (tmp_path / "keyring.json").write_text(KEYS.model_dump_json())
    (tmp_path / "data").mkdir()
    keeper = Program(
        Keeper(
            store="checkpoints",
            keyring=str(tmp_path / "keyring.json"),
            data=str(tmp_path / "data"),
            backend="backend:llm-data",
            keys=str(tmp_path),
            control=str(tmp_path / "control"),
            termination_log=str(tmp_path / "log"),
        )
    )

    def done(seconds: float) -> set[str]:
        """Commands in the round that many seconds later."""
        clock[0] += seconds
        server.calls.clear()
        assert not keeper._round()
        return {method for method, _ in server.calls} - {"vfs/list"}

    server.fails = lambda call: call[0] == "operations/delete"
    assert done(0) == {"operations/delete"}
    assert done(1) == {"operations/size"}
    assert done(1) == set()
    server.fails = lambda _: False
    assert done(program._FAILED_SECONDS) == {"operations/delete"}
    assert done(program._FAILED_SECONDS) == set()
    assert done(program._BUCKET_SECONDS) == {"operations/size"}
    assert done(program._LEFTOVER_SECONDS) == {"operations/delete", "operations/size"}


@pytest.fixture
def emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str | None]:
    """A keeper that begins, and finds nothing under the old keys: the report that it leaves, None without one."""
    monkeypatch.setattr(Rotation, "run", lambda *_: True)
    for name in ("data", "keys"):
        (tmp_path / name).mkdir()

    def left() -> str | None:
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        config = Keeper(
            store="checkpoints",
            keyring=str(tmp_path / "keyring.json"),
            data=str(tmp_path / "data"),
            keys=str(tmp_path / "keys"),
            control=str(tmp_path / "control"),
            termination_log=str(log),
        )
        reported = Program(config)._rotate(KEYS)
        assert reported == log.exists()
        return log.read_text() if reported else None

    return left


def test_a_report_that_nobody_acted_on_is_left_again(emptied: Callable[[], str | None], tmp_path: Path) -> None:
    """Another end may have taken its place before the operator looked."""
    reported = tmp_path / "keys" / "reported.json"
    first = emptied()
    assert first
    assert emptied() is None, "not at once: it would end again and again"
    past = time.time() - program._REPORT_SECONDS - 1
    os.utime(reported, (past, past))
    assert emptied() == first
    assert emptied() is None
    future = time.time() + 3600
    os.utime(reported, (future, future))
    assert emptied() == first, "a clock that was set back keeps nothing from being told"
