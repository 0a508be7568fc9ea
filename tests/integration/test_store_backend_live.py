"""A store over an object store of the user's: real rclone as rendered, over another one that asks for credentials."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloister import sidecar
from cloister.jobs.keeper.rclone import Rclone
from cloister.jobs.keeper.rotation import remove_leftovers
from cloister.keyring import Keyring
from cloister.zones import Component
from tests.backends import backed
from tests.edits import deployment
from tests.store.elsewhere import BUCKET, Elsewhere, elsewhere
from tests.store.pod import pod
from tests.store.running import Mounted, Store, key, mounted_store, serving, until

SECRET = b"the quick brown fox of 4711 Elm Street"
STORES = {Component.CHECKPOINTS: "checkpoints", Component.INTERACTION_LOGS: "interactionLogs"}
SUBJECT = {component: backed(field, endpoint="https://objects.example.com") for component, field in STORES.items()}


@pytest.fixture
def there() -> Iterator[Elsewhere]:
    """The object store."""
    with elsewhere() as found:
        yield found


@contextmanager
def mounted_over(there: Elsewhere, component: Component = Component.CHECKPOINTS) -> Iterator[Mounted]:
    """A store's pod that finds it."""
    with mounted_store(component, deployment(SUBJECT[component])) as mounted:
        there.reach(mounted)
        yield mounted


def refused(mounted: Mounted) -> str:
    """What the store's container says when it does not start."""
    found = subprocess.run(
        mounted.command(), env=mounted.environment(), capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 1
    assert not mounted.socket.exists()
    return found.stderr.strip().splitlines()[-1]


def test_objects_are_kept_there_and_nothing_of_them_can_be_read(there: Elsewhere) -> None:
    name = "/checkpoints/corpora/customers/fox-street.jsonl"
    big = b"0123456789abcdef" * (1 << 20)
    with mounted_over(there) as mounted:
        with serving(mounted) as store:
            assert store.ask("PUT", name, body=SECRET * 4000).status == 200
            assert store.ask("PUT", "/checkpoints/corpora/big", body=big).status == 200
            assert store.ask("PUT", "/checkpoints/corpora/gone", body=SECRET).status == 200
            assert store.ask("DELETE", "/checkpoints/corpora/gone").status == 204
            assert store.ask("GET", name, {"Range": "bytes=100-199"}).body == (SECRET * 4000)[100:200]
            once = {"If-None-Match": "*"}
            assert store.ask("PUT", name, once, body=b"second").status == 412
        with serving(mounted) as store:  # all of it is there, and none of it here
            assert store.ask("GET", name).body == SECRET * 4000
            assert store.ask("GET", "/checkpoints/corpora/big").body == big
            listing = store.ask("GET", "/checkpoints?list-type=2").body
            assert listing.count(b"<Key>") == 2
        assert not list(mounted.data.rglob("*"))
    paths = there.files()
    assert len(paths) == 3  # the third is the mark
    for path in paths:
        assert str(path.relative_to(there.folder)).startswith(f"{BUCKET}/support-bot/1/")
        assert SECRET not in path.read_bytes()
        assert b"0123456789abcdef" not in path.read_bytes()
        for word in ("fox", "customers", "corpora", "checkpoints", "big"):
            assert word not in str(path.relative_to(there.folder / BUCKET / "support-bot"))


def test_half_an_upload_is_nothing(there: Elsewhere) -> None:
    with mounted_over(there) as mounted, serving(mounted) as store:
        store.ask("PUT", "/checkpoints/a", body=b"before")
        for name in ("a", "new"):
            connection = store.connection()
            connection.putrequest("PUT", f"/checkpoints/{name}")
            connection.putheader("Content-Length", str(10 << 20))
            connection.endheaders()
            connection.send(b"x" * (1 << 20))
            connection.close()
        until(lambda: store.ask("GET", "/checkpoints/new").status == 404, "the upload's end")
        assert store.ask("GET", "/checkpoints/a").body == b"before"
    assert len(there.files()) == 2


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [({"secret_access_key": "another"}, "403"), ({"access_key_id": "nobody"}, "403"), ({"ca.crt": ""}, "certificate")],
)
def test_credentials_that_do_not_fit_are_told(there: Elsewhere, credentials: dict[str, str], reason: str) -> None:
    with mounted_over(there) as mounted:
        there.reach(mounted, there.credentials(**credentials))
        said = refused(mounted)
        assert said.startswith("the backend backend:llm-data/support-bot can't be used: ")
        assert reason in said
        assert "its-secret" not in said


def test_a_bucket_that_is_not_there_is_told(there: Elsewhere) -> None:
    subject = deployment(backed(bucket="another", endpoint="https://objects.example.com"))
    with mounted_store(Component.CHECKPOINTS, subject) as mounted:
        there.reach(mounted)
        assert "backend:another/support-bot can't be used" in refused(mounted)


def test_an_object_store_that_is_away_is_told(there: Elsewhere) -> None:
    with mounted_over(there) as mounted:
        mounted.replaced["RCLONE_CONFIG_BACKEND_ENDPOINT"] = "https://localhost:1"
        assert "connection refused" in refused(mounted)


def test_credentials_that_change_start_the_container_anew(there: Elsewhere) -> None:
    with mounted_over(there) as mounted, serving(mounted):
        probe = mounted.container["livenessProbe"]["exec"]["command"]

        def fails() -> bool:
            return subprocess.run(probe, env=mounted.environment(), check=False).returncode != 0

        assert not fails()
        mounted.give({"secret_access_key": "the next one"})
        assert fails()


def test_nothing_is_served_that_the_keyring_does_not_open(there: Elsewhere) -> None:
    with mounted_over(there) as mounted:
        with serving(mounted) as store:
            store.ask("PUT", "/checkpoints/a", body=SECRET)
        mounted.turn(Keyring(current=2, keys=(key(2),)))
        mounted.configure()
        assert "under key 1, which the keyring does not have: restore it" in refused(mounted)
        mounted.turn(Keyring(current=1, keys=(key(3).model_copy(update={"id": 1}),)))
        mounted.configure()
        assert "under key 1 was not written with this keyring" in refused(mounted)


def test_a_key_of_a_keyring_of_the_users_is_for_new_objects(there: Elsewhere) -> None:
    """Nothing is moved; and when nothing lies under the old key any more, that is said."""
    with mounted_over(there) as mounted, pod(mounted) as running:
        running.store.ask("PUT", "/checkpoints/a", body=b"before")
        both = mounted.keys.with_new(key(2))
        mounted.turn(both)
        until(lambda: len(under(there, 2)) == 1, "the mark of the new key")
        until(lambda: _puts(running.store, "/checkpoints/b"), "the store")
        assert len(under(there, 2)) == 2
        assert running.store.ask("GET", "/checkpoints/a").body == b"before"
        assert running.report() is None
        assert running.store.ask("DELETE", "/checkpoints/a").status == 204
        running.kill_keeper()  # it looks when it starts, and then once an hour
        until(lambda: running.report() is not None, "the report")
        assert running.report() == sidecar.KeeperReport(store="checkpoints", current=2, emptied=(1,))
        mounted.turn(both.without(frozenset({1})))
        until(lambda: "old=()" in running.log().splitlines()[-1], "the new keyring")
        until(lambda: running.store.ask("GET", "/checkpoints/b").body == SECRET, "the store")
        assert not under(there, 1)


def under(there: Elsewhere, key_id: int) -> list[str]:
    """What lies under a key: its objects, and its mark."""
    return [str(path) for path in there.files() if f"/support-bot/{key_id}/" in str(path)]


def _puts(store: Store, name: str) -> bool:
    try:
        return store.ask("PUT", name, body=SECRET).status == 200
    except OSError:
        return False


def test_segments_are_removed_after_their_retention_and_the_bucket_stays(there: Elsewhere) -> None:
    bucket = f"/{Component.INTERACTION_LOGS}"
    with mounted_over(there, Component.INTERACTION_LOGS) as mounted:
        with serving(mounted) as before:
            # As the server's clock would have said then: auditors pass on no time of a writer's.
            assert before.ask("PUT", f"{bucket}/old", {"X-Amz-Meta-Mtime": "1000000000"}, body=b"old").status == 200
            assert before.ask("PUT", f"{bucket}/young", body=b"young").status == 200
        with pod(mounted, retention_seconds=90 * 86400) as running:
            until(lambda: running.store.ask("HEAD", f"{bucket}/old").status == 404, "the removal")
            assert running.store.ask("GET", f"{bucket}/young").body == b"young"
            running.store.ask("DELETE", f"{bucket}/young")
            remove_leftovers(Rclone(mounted.root / sidecar.CONTROL_SOCKET.lstrip("/")), mounted.keys, "0s")
        with serving(mounted) as after:
            assert after.ask("GET", f"{bucket}?list-type=2").status == 200
            assert after.ask("PUT", f"{bucket}/new", body=b"new").status == 200
    assert len(there.files()) == 2
