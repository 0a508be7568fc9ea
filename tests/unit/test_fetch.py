"""The fetch job against a real HTTP server on a unix socket: the declared weights or none at all (ZT-26)."""

import hashlib
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from cloister.jobs import fetch as job
from cloister.sidecar import Fetch

WEIGHTS = b"weights " * 400_000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@dataclass
class Store:
    socket: str
    replies: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)
    """path -> status, Content-Length, body."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    served = Store(str(tmp_path / "fetch.sock"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, length, body = served.replies.get(self.path, (404, 0, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    with socketserver.ThreadingUnixStreamServer(served.socket, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()


def wanted(store: Store, tmp_path: Path, path: str = "/checkpoints/m/model.gguf", sha256: str = DIGEST) -> Fetch:
    return Fetch(socket=store.socket, path=path, sha256=sha256, target=str(tmp_path / "models" / "model.gguf"))


@pytest.fixture(autouse=True)
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def test_the_declared_weights_are_put_in_place_read_only(store: Store, tmp_path: Path, models: Path) -> None:
    store.replies["/checkpoints/m/model.gguf"] = (200, len(WEIGHTS), WEIGHTS)
    assert job.fetch(wanted(store, tmp_path)) == len(WEIGHTS)
    assert (models / "model.gguf").read_bytes() == WEIGHTS
    assert (models / "model.gguf").stat().st_mode & 0o777 == 0o444
    assert [path.name for path in models.iterdir()] == ["model.gguf"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((200, len(WEIGHTS), WEIGHTS[:-1] + b"!"), "has SHA-256"),
        ((200, len(WEIGHTS), WEIGHTS[:-1]), "too early|IncompleteRead"),
        ((200, 0, b""), "has SHA-256"),
        ((403, 0, b""), "answered 403"),
        ((404, 0, b""), "answered 404"),
    ],
    ids=["changed", "truncated", "empty", "forbidden", "missing"],
)
def test_anything_else_leaves_nothing(
    store: Store, tmp_path: Path, models: Path, reply: tuple[int, int, bytes], said: str
) -> None:
    store.replies["/checkpoints/m/model.gguf"] = reply
    with pytest.raises(job.FetchError, match=said):
        job.fetch(wanted(store, tmp_path))
    assert list(models.iterdir()) == []


def test_no_gate_is_an_error_that_names_the_object(store: Store, tmp_path: Path) -> None:
    missing = wanted(store, tmp_path).model_copy(update={"socket": str(tmp_path / "none.sock")})
    with pytest.raises(job.FetchError, match=r"/checkpoints/m/model\.gguf"):
        job.fetch(missing)


def test_exit_code_and_message(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(job, "TERMINATION_LOG", log)
    assert job.main([wanted(store, tmp_path).model_dump_json()]) == 1
    assert "answered 404" in capsys.readouterr().err
    assert "answered 404" in log.read_text()
    store.replies["/checkpoints/m/model.gguf"] = (200, len(WEIGHTS), WEIGHTS)
    assert job.main([wanted(store, tmp_path).model_dump_json()]) == 0
    assert DIGEST in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["{}"], ["not json"], ["a", "b"]])
def test_bad_arguments_are_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main(arguments) == 1
    assert capsys.readouterr().err.startswith("fetch: ")
