"""What lies below a prefix."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cloister.cli.data.client import Store
from cloister.cli.data.explain import LIST, explained
from cloister.cli.data.places import Place


@dataclass(frozen=True)
class Entry:
    """An object; or a folder, which has neither size nor time."""

    key: str
    size: int | None = None
    modified: dt.datetime | None = None
    etag: str | None = None


def entries(store: Store, place: Place, *, recursive: bool) -> Iterator[Entry]:
    """Folders and objects of each page, in the store's order."""
    asked = {"Bucket": place.bucket, "Prefix": place.key} | ({} if recursive else {"Delimiter": "/"})
    with explained(store, place, LIST):
        for page in store.client.get_paginator("list_objects_v2").paginate(**asked):
            for folder in page.get("CommonPrefixes", ()):
                yield Entry(folder["Prefix"])
            yield from map(_entry, page.get("Contents", ()))


def _entry(found: dict[str, Any]) -> Entry:
    modified = found["LastModified"].astimezone(dt.UTC)
    return Entry(found["Key"], found["Size"], modified, found.get("ETag", "").strip('"') or None)
