"""A store's own program: real rclone, as rendered."""

import stat
from collections.abc import Iterator

import pytest

from cloister.zones import STORES, Component
from tests.store.running import Mounted, Store, mounted_store, serving

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
