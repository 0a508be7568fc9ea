"""A store's own program: real rclone, as rendered."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cloister import sidecar
from cloister.keyring import Keyring
from cloister.zones import STORES, Component
from tests.store.pod import Pod, pod
from tests.store.running import Mounted, Store, key, mounted_store, serving, until

SECRET = b"the quick brown fox of 4711 Elm Street"


@pytest.fixture(params=STORES, ids=str)
def component(request: pytest.FixtureRequest) -> Component:
    """Each of the three."""
    found: Component = request.param
    return found


@pytest.fixture
def mounted(component: Component) -> Iterator[Mounted]:
    """Volumes of a store."""
    with mounted_store(component) as volumes:
        yield volumes


@pytest.fixture
def store(mounted: Mounted) -> Iterator[Store]:
    """A store that runs."""
    with serving(mounted) as running:
        yield running


def test_it_keeps_objects_in_the_bucket_of_its_name(store: Store, component: Component) -> None:
    assert store.ask("PUT", f"/{component}/a/b.txt", body=SECRET).status == 200
    assert store.ask("GET", f"/{component}/a/b.txt").body == SECRET
    assert store.ask("PUT", "/another/a", body=b"x").status == 404


def test_only_its_group_may_dial_its_socket(store: Store) -> None:
    mode = stat.S_IMODE(store.socket.stat().st_mode)
    assert mode & 0o060 == 0o060
    assert mode & 0o007 == 0


def test_nothing_on_the_volume_can_be_read(store: Store, component: Component) -> None:
    key = f"/{component}/corpora/customers/fox-street.jsonl"
    assert store.ask("PUT", key, body=SECRET * 4000).status == 200
    paths = [path for path in store.mounted.data.rglob("*") if path.is_file()]
    assert len(paths) == 1
    assert SECRET not in paths[0].read_bytes()
    for word in ("fox", "customers", "corpora", str(component)):
        assert word not in str(paths[0].relative_to(store.mounted.data))


def test_a_killed_server_comes_back_with_everything(mounted: Mounted, store: Store, component: Component) -> None:
    assert store.ask("PUT", f"/{component}/a", body=SECRET).status == 200
    store.kill()
    assert store.socket.exists()
    store.start()
    assert store.ask("GET", f"/{component}/a").body == SECRET


MIB = 1 << 20


@pytest.fixture
def checkpoints() -> Iterator[Store]:
    """One store, where the three do not differ."""
    with mounted_store(Component.CHECKPOINTS) as volumes, serving(volumes) as running:
        yield running


@pytest.mark.parametrize(("asked", "start", "end"), [("0-0", 0, 1), ("65530-65560", 65530, 65561), ("-7", -7, None)])
def test_ranges_cross_the_blocks_of_the_cipher(checkpoints: Store, asked: str, start: int, end: int | None) -> None:
    body = bytes(range(256)) * 1024
    assert checkpoints.ask("PUT", "/checkpoints/a", body=body).status == 200
    reply = checkpoints.ask("GET", "/checkpoints/a", {"Range": f"bytes={asked}"})
    assert (reply.status, reply.body) == (206, body[start:end])


def test_what_must_be_new_is_never_overwritten(checkpoints: Store) -> None:
    once = {"If-None-Match": "*"}
    assert checkpoints.ask("PUT", "/checkpoints/a", once, body=b"first").status == 200
    assert checkpoints.ask("PUT", "/checkpoints/a", once, body=b"second").status == 412
    checkpoints.kill()
    checkpoints.start()
    assert checkpoints.ask("PUT", "/checkpoints/a", once, body=b"third").status == 412
    assert checkpoints.ask("GET", "/checkpoints/a").body == b"first"


def test_an_etag_is_the_md5_until_a_restart_and_empty_after_it(checkpoints: Store) -> None:
    """What the auditor must know: behind crypt there is no hash, and rclone remembers one only while it runs."""
    checkpoints.ask("PUT", "/checkpoints/a", body=SECRET)
    md5 = hashlib.md5(SECRET, usedforsecurity=False).hexdigest()
    assert checkpoints.ask("HEAD", "/checkpoints/a").headers["etag"] == f'"{md5}"'
    checkpoints.kill()
    checkpoints.start()
    assert checkpoints.ask("HEAD", "/checkpoints/a").headers["etag"] == '""'


def test_times_are_kept(checkpoints: Store) -> None:
    checkpoints.ask("PUT", "/checkpoints/a", body=SECRET)
    before = checkpoints.ask("HEAD", "/checkpoints/a").headers["last-modified"]
    checkpoints.kill()
    checkpoints.start()
    assert checkpoints.ask("HEAD", "/checkpoints/a").headers["last-modified"] == before


def test_a_large_upload_in_parts_takes_little_memory(checkpoints: Store) -> None:
    """1 GiB: were parts kept, it would show; a part is streamed to the volume as it comes."""
    started = checkpoints.ask("POST", "/checkpoints/big?uploads").body.decode()
    upload = started.split("<UploadId>")[1].split("</UploadId>")[0]
    part, etags = b"\x5a" * (64 * MIB), []
    for number in range(1, 17):
        reply = checkpoints.ask("PUT", f"/checkpoints/big?partNumber={number}&uploadId={upload}", body=part)
        assert reply.status == 200
        etags.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{reply.headers['etag']}</ETag></Part>")
    listing = f"<CompleteMultipartUpload>{''.join(etags)}</CompleteMultipartUpload>"
    assert checkpoints.ask("POST", f"/checkpoints/big?uploadId={upload}", body=listing.encode()).status == 200
    assert psutil.Process(checkpoints.pid).memory_info().rss < 200 * MIB
    head = checkpoints.ask("HEAD", "/checkpoints/big")
    assert int(head.headers["content-length"]) == 1024 * MIB
    tail = checkpoints.ask("GET", "/checkpoints/big", {"Range": "bytes=-5"})
    assert tail.body == b"\x5a" * 5


def test_half_an_upload_is_nothing(checkpoints: Store) -> None:
    checkpoints.ask("PUT", "/checkpoints/a", body=b"before")
    for name in ("a", "new"):
        connection = checkpoints.connection()
        connection.putrequest("PUT", f"/checkpoints/{name}")
        connection.putheader("Content-Length", str(10 * MIB))
        connection.endheaders()
        connection.send(b"x" * MIB)
        connection.close()
    until(lambda: checkpoints.ask("GET", "/checkpoints/new").status == 404, "the upload's end")
    assert checkpoints.ask("GET", "/checkpoints/a").body == b"before"
    assert b"<Key>a</Key>" in (listing := checkpoints.ask("GET", "/checkpoints?list-type=2").body)
    assert listing.count(b"<Key>") == 1


def test_a_full_volume_refuses_and_loses_nothing(checkpoints: Store) -> None:
    """The limit on the size of a file (RLIMIT_FSIZE) fails a write as a full disk does."""
    checkpoints.ask("PUT", "/checkpoints/a", body=b"before")
    psutil.Process(checkpoints.pid).rlimit(psutil.RLIMIT_FSIZE, (MIB, MIB))
    for name in ("a", "new"):
        # rclone may answer and close before it has read everything: then the rest can't be sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            assert checkpoints.ask("PUT", f"/checkpoints/{name}", body=b"x" * (4 * MIB)).status >= 500
    assert checkpoints.ask("GET", "/checkpoints/a").body == b"before"
    assert checkpoints.ask("GET", "/checkpoints/new").status == 404
    assert checkpoints.ask("PUT", "/checkpoints/b", body=b"small").status == 200


# The keeper


def test_segments_are_removed_after_their_retention_and_never_earlier() -> None:
    bucket = f"/{Component.INTERACTION_LOGS}"
    with mounted_store(Component.INTERACTION_LOGS) as volumes, serving(volumes) as before:
        for name in ("old", "young", "claims-to-be-old"):
            mtime = {"X-Amz-Meta-Mtime": "1000000000"} if name == "claims-to-be-old" else {}
            assert before.ask("PUT", f"{bucket}/{name}", mtime, body=name.encode()).status == 200
        before.stop()
        for file in volumes.data.rglob("*"):
            if file.is_file() and file.stat().st_size == 48 + len("old"):  # rclone documentation, "File formats"
                os.setxattr(file, "user.cloister.since", str(time.time() - 91 * 86400).encode())
        with pod(volumes, retention_seconds=90 * 86400) as running:
            until(lambda: running.store.ask("HEAD", f"{bucket}/old").status == 404, "the removal")
            assert running.store.ask("GET", f"{bucket}/young").body == b"young"
            assert running.store.ask("GET", f"{bucket}/claims-to-be-old").body == b"claims-to-be-old"


def test_a_store_whose_keyring_lacks_a_key_is_not_served() -> None:
    with mounted_store(Component.CHECKPOINTS) as volumes, serving(volumes) as before:
        before.ask("PUT", "/checkpoints/a", body=SECRET)
        before.stop()
        volumes.turn(Keyring(current=2, keys=(key(2),)))
        Path(volumes.path(sidecar.RCLONE_CONF)).unlink()  # a new pod's memory is empty
        broken = Pod(volumes)
        try:
            broken.start_keeper()
            until(lambda: "keyring does not have: [1]" in broken.log(), "the complaint")
            assert not Path(broken.config.keys, "rclone.conf").exists()
        finally:
            broken.end()


def test_keys_are_in_no_log() -> None:
    with mounted_store(Component.CHECKPOINTS) as volumes, pod(volumes) as running:
        volumes.turn(volumes.keys.with_new(key(2)))
        until(lambda: running.report() is not None, "the report")
        volumes.turn(Keyring(current=2, keys=(key(2),)))
        until(lambda: "old=()" in running.log().splitlines()[-1], "the new keyring")
        assert "password" not in running.log() + running.store.log()
        assert "salt" not in running.log() + running.store.log()
