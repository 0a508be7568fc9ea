"""`cloister data`, as far as it needs no store."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cloister import cli
from cloister.cli import data
from cloister.cli.data import download, listing
from cloister.cli.data.listing import Entry
from cloister.cli.data.places import Place, place
from cloister.cli.data.sinks import partial
from cloister.cli.errors import UserError

LONG = "a" * 300


@pytest.mark.parametrize("name", [LONG, f"{LONG}/b"])
def test_a_name_that_is_too_long_is_an_error_of_a_line(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["data", "put", str(tmp_path / name), "checkpoints/x", "--deployment", "d"])
    assert (result.exit_code, result.stderr) == (2, f"error: {tmp_path / name}: File name too long\n")
    with pytest.raises(UserError, match="File name too long"), partial(tmp_path / name, "host/store/key"):
        pass
    assert list(tmp_path.iterdir()) == []


class Store:
    """A store with three objects, and a line that is interrupted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.etags: dict[str, str | None] = {key: f"{key[-1]}1" for key in ("m/a", "m/b", "m/c")}
        self.asked: list[str] = []
        self.breaks_at: str | None = None
        monkeypatch.setattr(listing, "entries", self._entries)
        monkeypatch.setattr(download, "_attempt", self._attempt)

    def get(self, folder: Path) -> list[str]:
        """Keys of what is asked for."""
        self.asked.clear()
        store: Any = SimpleNamespace(host="h")
        try:
            data._get_all(store, place("checkpoints/m/"), folder, quiet=True)
        except KeyboardInterrupt:
            assert self.asked[-1] == self.breaks_at
        return list(self.asked)

    def _entries(self, *_: object, **__: object) -> Iterator[Entry]:
        yield from (Entry(key, 5, None, etag) for key, etag in self.etags.items())

    def _attempt(self, _: object, there: Place, sink: Any, __: object) -> None:
        self.asked.append(there.key)
        etag = self.etags[there.key]
        sink.begin(f'"{etag}"' if etag else None)
        sink.write(b"12345")
        if there.key == self.breaks_at:
            raise KeyboardInterrupt


def rewritten(folder: Path, _: Store) -> None:
    (folder / "a").write_bytes(b"54321")
    os.utime(folder / "a", ns=(1, 1))


def unlinked(folder: Path, _: Store) -> None:
    (folder / "a").unlink()


def replaced(_: Path, store: Store) -> None:
    store.etags["m/a"] = "a2"


def nameless(_: Path, store: Store) -> None:
    store.etags["m/a"] = None


def cut(folder: Path, _: Store) -> None:
    (index,) = folder.glob(".cloister-*.finished")
    index.write_bytes(index.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (None, ["m/b", "m/c"]),
        (rewritten, ["m/a", "m/b", "m/c"]),
        (unlinked, ["m/a", "m/b", "m/c"]),
        (replaced, ["m/a", "m/b", "m/c"]),
        (nameless, ["m/a", "m/b", "m/c"]),
        (cut, ["m/a", "m/b", "m/c"]),
    ],
)
def test_an_interrupted_folder_goes_on_where_it_was(
    change: Callable[[Path, Store], None] | None,
    again: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is not exactly as it was left is fetched again."""
    store = Store(monkeypatch)
    store.breaks_at = "m/b"
    assert store.get(tmp_path) == ["m/a", "m/b"]
    store.breaks_at = None
    if change:
        change(tmp_path, store)
    capsys.readouterr()
    assert store.get(tmp_path) == again
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in "abc"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert {(tmp_path / name).read_bytes() for name in "abc"} == {b"12345"}
    # Said again, it is a new run.
    assert store.get(tmp_path) == ["m/a", "m/b", "m/c"]


def test_a_store_that_names_no_versions_is_asked_for_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(monkeypatch)
    store.etags = dict.fromkeys(store.etags)
    store.breaks_at = "m/c"
    store.get(tmp_path)
    store.breaks_at = None
    assert store.get(tmp_path) == ["m/a", "m/b", "m/c"]
