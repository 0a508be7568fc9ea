"""The fetch job against a real HTTP server on a unix socket: the declared weights or none at all (ZT-26)."""

import hashlib
import json
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from cloister.jobs import fetch as job
from cloister.jobs.download import ATTEMPTS
from cloister.jobs.errors import FetchError
from cloister.sealing import Kind, generate, generate_signing, write_secret
from cloister.sidecar import Fetch, Signed
from cloister.weights import detached, seal_file

WEIGHTS = b"weights " * 400_000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
MODEL = "/checkpoints/m/model.gguf"
SIGNATURE = f"{MODEL}.sig"
KEY = generate(Kind.X25519)
SIGNING = generate_signing()


@dataclass
class Object:
    """What the store has under a path, and what goes wrong with it."""

    body: bytes = b""
    status: int = 200
    etag: str | None = '"v1"'
    ranges: bool = True
    length: bool = True
    """Whether it is told before the body."""
    breaks: list[int] = field(default_factory=list)
    """After how many bytes of the body each of the next replies ends."""
    refusals: list[int] = field(default_factory=list)
    """Status of each of the next replies."""
    becomes: "Object | None" = None
    """What it is replaced by after the next reply."""


@dataclass
class Store:
    socket: str
    objects: dict[str, Object] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range) of every request."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path, wanted))
        found = self.objects.get(handler.path, Object(status=404))
        status = found.refusals.pop(0) if found.refusals else found.status
        begin = 0
        if status == 200 and wanted and found.ranges:
            condition = handler.headers.get("If-Match")
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            status = 412 if condition not in (None, found.etag) else 206
        body = found.body[begin:] if status in (200, 206) else b""
        handler.send_response(status)
        if found.length:
            handler.send_header("Content-Length", str(len(body)))
        if found.etag:
            handler.send_header("ETag", found.etag)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {begin}-{len(found.body) - 1}/{len(found.body)}")
        handler.end_headers()
        with suppress(BrokenPipeError):  # it has seen enough
            handler.wfile.write(body[: found.breaks.pop(0)] if found.breaks else body)
        if found.becomes:
            self.objects[handler.path] = found.becomes


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    served = Store(str(tmp_path / "fetch.sock"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    with socketserver.ThreadingUnixStreamServer(served.socket, Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture(autouse=True)
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@dataclass
class Pod:
    """One run of the job."""

    store: Store
    target: Path
    pauses: list[float] = field(default_factory=list)

    def wanted(self, sha256: str = DIGEST, **more: object) -> Fetch:
        return Fetch.model_validate(
            {
                "socket": self.store.socket,
                "path": MODEL,
                "sha256": sha256,
                "target": str(self.target),
                "size": len(WEIGHTS),
            }
            | more
        )

    def fetch(self, sha256: str = DIGEST, **more: object) -> int:
        return job.fetch(self.wanted(sha256, **more), self.pauses.append)

    def refused(self, sha256: str = DIGEST, **more: object) -> FetchError:
        """The error; nothing is left where the server looks."""
        with pytest.raises(FetchError) as refused:
            self.fetch(sha256, **more)
        assert list(self.target.parent.iterdir()) == []
        return refused.value


@pytest.fixture
def pod(store: Store, models: Path) -> Pod:
    return Pod(store, models / "model.gguf")


def test_the_declared_weights_are_put_in_place_read_only(store: Store, pod: Pod) -> None:
    store.objects[MODEL] = Object(WEIGHTS)
    assert pod.fetch() == len(WEIGHTS)
    assert pod.target.read_bytes() == WEIGHTS
    assert pod.target.stat().st_mode & 0o777 == 0o444
    assert list(pod.target.parent.iterdir()) == [pod.target]
    assert pod.pauses == []


@pytest.mark.parametrize(
    ("found", "reason", "said"),
    [
        (Object(WEIGHTS[:-1] + b"!"), "DigestMismatch", "has SHA-256"),
        (Object(b""), "DigestMismatch", "has SHA-256"),
        (Object(status=403), "StoreRefused", "answered 403"),
        (Object(status=404), "ObjectMissing", "answered 404"),
        (Object(status=503), "StoreUnreachable", f"answered 503 .*, {ATTEMPTS} times"),
        (Object(status=206), "StoreRefused", "answered 206"),
        (Object(status=302), "StoreRefused", "answered 302"),
        (Object(WEIGHTS, breaks=[5_000] + [0] * 20), "StoreUnreachable", "3195000 bytes too early"),
        (Object(WEIGHTS, breaks=[5_000] * 20, ranges=False), "StoreUnreachable", "too early"),
    ],
)
def test_anything_else_leaves_nothing(store: Store, pod: Pod, found: Object, reason: str, said: str) -> None:
    store.objects[MODEL] = found
    error = pod.refused()
    assert error.reason == reason
    assert MODEL in str(error)
    assert re.search(said, str(error))


def test_no_gate_is_an_error_that_names_the_object(pod: Pod, tmp_path: Path) -> None:
    error = pod.refused(socket=str(tmp_path / "none.sock"))
    assert (error.reason, MODEL in str(error)) == ("StoreUnreachable", True)
    assert pod.pauses == sorted(pod.pauses)
    assert len(pod.pauses) == ATTEMPTS - 1
    assert pod.pauses[0] < pod.pauses[-1] <= 30


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etag", ['"v1"', None, 'W/"v1"'])
def test_a_broken_transfer_goes_on_where_it_broke(store: Store, pod: Pod, etag: str | None, ranges: bool) -> None:
    """However often, as long as it gets on."""
    steps = [100_000] * (3 * ATTEMPTS) if ranges else [100_000 * step for step in range(1, 3 * ATTEMPTS)]
    store.objects[MODEL] = Object(WEIGHTS, etag=etag, ranges=ranges, breaks=steps)
    assert pod.fetch() == len(WEIGHTS)
    assert pod.target.read_bytes() == WEIGHTS
    assert store.asked[:3] == [(MODEL, None), (MODEL, "bytes=100000-"), (MODEL, "bytes=200000-")]
    assert set(pod.pauses) == {1.0}


def test_a_store_that_comes_back_is_waited_for(store: Store, pod: Pod) -> None:
    store.objects[MODEL] = Object(WEIGHTS, refusals=[503, 502, 429, 500])
    assert pod.fetch() == len(WEIGHTS)
    assert pod.pauses == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("ranges", [True, False])
def test_two_versions_are_never_put_together(store: Store, pod: Pod, ranges: bool) -> None:
    other = Object(WEIGHTS[::-1], etag='"v2"', ranges=ranges)
    store.objects[MODEL] = Object(WEIGHTS, breaks=[100_000], becomes=other)
    assert pod.refused().reason == "ObjectChanged"
    # Without ETags, the length or the digest tells.
    store.objects[MODEL] = Object(WEIGHTS, etag=None, breaks=[100_000], becomes=Object(WEIGHTS[:-5], etag=None))
    assert pod.refused().reason == "ObjectChanged"
    store.objects[MODEL] = Object(WEIGHTS, etag=None, breaks=[100_000], becomes=Object(WEIGHTS[::-1], etag=None))
    assert pod.refused().reason == "DigestMismatch"


class TestSigned:
    """With a public key, a missing or wrong signature stops the pod before anything is downloaded."""

    SIGNED = Signed(path=SIGNATURE, public_key=str(SIGNING.public)).model_dump()

    def test_signed(self, store: Store, pod: Pod) -> None:
        store.objects |= {MODEL: Object(WEIGHTS), SIGNATURE: Object(detached(SIGNING, DIGEST), breaks=[20])}
        assert pod.fetch(signed=self.SIGNED) == len(WEIGHTS)
        assert [path for path, _ in store.asked] == [SIGNATURE, SIGNATURE, MODEL]

    @pytest.mark.parametrize(
        ("signature", "reason", "said"),
        [
            (Object(status=404), "SignatureMissing", "publicKey asks for it"),
            (Object(status=403), "StoreRefused", "answered 403"),
            (Object(detached(generate_signing(), DIGEST)), "SignatureInvalid", "is signed by key"),
            (Object(detached(SIGNING, "0" * 64)), "SignatureInvalid", "is over SHA-256"),
            (Object(b"junk"), "SignatureInvalid", "is none of"),
            (Object(bytes(17 << 20)), "SignatureInvalid", "larger than"),
        ],
    )
    def test_not_signed(self, store: Store, pod: Pod, signature: Object, reason: str, said: str) -> None:
        store.objects |= {MODEL: Object(WEIGHTS), SIGNATURE: signature}
        error = pod.refused(signed=self.SIGNED)
        assert (error.reason, said in str(error)) == (reason, True)
        assert MODEL not in [path for path, _ in store.asked]

    def test_other_weights_than_those_signed(self, store: Store, pod: Pod) -> None:
        store.objects |= {MODEL: Object(b"others"), SIGNATURE: Object(detached(SIGNING, DIGEST))}
        assert pod.refused(signed=self.SIGNED).reason == "DigestMismatch"

    def test_a_key_of_no_use(self, store: Store, pod: Pod) -> None:
        store.objects |= {MODEL: Object(WEIGHTS), SIGNATURE: Object(b"")}
        assert pod.refused(signed=self.SIGNED | {"public_key": "x"}).reason == "SignatureInvalid"


class TestSealed:
    """A sealed object is opened on its way into the volume."""

    @pytest.fixture
    def sealed(self, tmp_path: Path) -> bytes:
        plain, target = tmp_path / "plain", tmp_path / "sealed"
        plain.write_bytes(WEIGHTS)
        seal_file(plain, target, [KEY.public], lambda _: None)
        return target.read_bytes()

    @pytest.fixture
    def key(self, tmp_path: Path) -> str:
        path = tmp_path / "key"
        write_secret(path, KEY)
        return str(path)

    def test_opened(self, store: Store, pod: Pod, sealed: bytes, key: str) -> None:
        store.objects[MODEL] = Object(sealed, breaks=[1_500_000])
        assert pod.fetch(hashlib.sha256(sealed).hexdigest(), unseal_key=key) == len(WEIGHTS)
        assert pod.target.read_bytes() == WEIGHTS

    def test_its_size_is_that_of_what_comes_out(self, store: Store, pod: Pod, sealed: bytes, key: str) -> None:
        store.objects[MODEL] = Object(sealed)
        digest = hashlib.sha256(sealed).hexdigest()
        assert pod.fetch(digest, unseal_key=key, size=len(WEIGHTS)) == len(WEIGHTS)
        assert pod.refused(digest, unseal_key=key, size=len(WEIGHTS) - 1).reason == "VolumeUnusable"
        # Far too large, it is refused before any of it comes.
        assert "it has" in str(pod.refused(digest, unseal_key=key, size=len(WEIGHTS) // 2))

    def test_the_digest_is_that_of_the_stored_object(self, store: Store, pod: Pod, sealed: bytes, key: str) -> None:
        store.objects[MODEL] = Object(sealed)
        assert pod.refused(DIGEST, unseal_key=key).reason == "DigestMismatch"

    @pytest.mark.parametrize("at", [5, 100, 1_000_000, -1])
    def test_a_changed_object_is_not_opened(self, store: Store, pod: Pod, sealed: bytes, key: str, at: int) -> None:
        """Although its digest is declared."""
        changed = bytearray(sealed)
        changed[at] ^= 1
        store.objects[MODEL] = Object(bytes(changed))
        error = pod.refused(hashlib.sha256(changed).hexdigest(), unseal_key=key)
        assert error.reason in ("SealBroken", "NotSealed", "UnsealKeyWrong")
        assert MODEL in str(error)

    def test_an_object_that_is_not_sealed(self, store: Store, pod: Pod, key: str) -> None:
        store.objects[MODEL] = Object(WEIGHTS)
        assert pod.refused(unseal_key=key).reason == "NotSealed"

    def test_sealed_and_not_declared_so(self, store: Store, pod: Pod, sealed: bytes) -> None:
        store.objects[MODEL] = Object(sealed)
        error = pod.refused(hashlib.sha256(sealed).hexdigest(), size=len(sealed))
        assert error.reason == "SealedUnexpectedly"
        assert "spec.inference.model.sealed" in str(error)

    def test_the_wrong_key_and_none(self, store: Store, pod: Pod, sealed: bytes, tmp_path: Path) -> None:
        store.objects[MODEL] = Object(sealed)
        other = tmp_path / "other"
        write_secret(other, generate(Kind.X25519))
        digest = hashlib.sha256(sealed).hexdigest()
        assert pod.refused(digest, unseal_key=str(other)).reason == "UnsealKeyWrong"
        missing = pod.refused(digest, unseal_key=str(tmp_path / "none"))
        assert (missing.reason, "unsealKeyRef" in str(missing)) == ("UnsealKeyUnusable", True)


def test_a_full_volume_says_what_to_do(store: Store, pod: Pod, models: Path) -> None:
    (models / ".model.gguf.partial").symlink_to("/dev/full")
    store.objects[MODEL] = Object(WEIGHTS)
    error = pod.refused()
    assert (error.reason, "spec.inference.model.size" in str(error)) == ("VolumeUnusable", True)


@pytest.mark.parametrize("length", [True, False])
def test_no_more_is_written_than_the_volume_may_hold(store: Store, pod: Pod, length: bool) -> None:
    """On a disk nothing else would stop it: the pod would be evicted, and the next one would fetch it all again."""
    store.objects[MODEL] = Object(WEIGHTS, length=length)
    assert pod.fetch(size=len(WEIGHTS)) == len(WEIGHTS)
    error = pod.refused(size=len(WEIGHTS) - 1)
    assert error.reason == "VolumeUnusable"
    assert re.search(f"{MODEL}: .*room for {len(WEIGHTS) - 1}: raise spec.inference.model.size", str(error))


def test_a_run_after_another_in_the_same_pod_holds_the_weights_once(store: Store, pod: Pod) -> None:
    store.objects[MODEL] = Object(WEIGHTS)
    pod.fetch()
    there: list[bool] = []

    class Watching(bytes):
        """The weights, as they are asked for."""

        def __getitem__(self, wanted: Any) -> Any:
            there.append(pod.target.exists())
            return super().__getitem__(wanted)

    store.objects[MODEL] = Object(Watching(WEIGHTS))
    pod.fetch()
    assert there == [False]
    assert pod.target.read_bytes() == WEIGHTS


def test_what_a_former_run_brought_is_not_served_when_this_one_refuses(store: Store, pod: Pod) -> None:
    store.objects[MODEL] = Object(WEIGHTS)
    pod.fetch()
    signed = Signed(path=SIGNATURE, public_key=str(SIGNING.public)).model_dump()
    assert pod.refused(signed=signed).reason == "SignatureMissing"


def test_a_pod_that_ends_meanwhile_ends_it_at_once(store: Store, pod: Pod) -> None:
    """It is the first process of its container, which a signal that it does not handle never ends."""
    store.objects[MODEL] = Object(WEIGHTS, breaks=[100_000], becomes=Object(status=503))
    command = [sys.executable, "-m", "cloister.jobs.fetch", pod.wanted().model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while len(store.asked) < 2:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (143, b"")
    assert list(pod.target.parent.iterdir()) == []


def test_exit_code_and_message(
    store: Store, pod: Pod, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(job, "TERMINATION_LOG", log)
    assert job.main([pod.wanted().model_dump_json()]) == 1
    assert "answered 404" in capsys.readouterr().err
    told = json.loads(log.read_text())
    assert told["reason"] == "ObjectMissing"
    assert "answered 404" in told["message"]
    store.objects[MODEL] = Object(WEIGHTS)
    assert job.main([pod.wanted().model_dump_json()]) == 0
    assert DIGEST in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["{}"], ["not json"], ["a", "b"]])
def test_bad_arguments_are_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert job.main(arguments) == 1
    assert capsys.readouterr().err.startswith("fetch: ")
