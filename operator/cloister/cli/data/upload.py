"""From this machine into a store."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from s3transfer.subscribers import BaseSubscriber

from cloister.cli.data.client import CONNECTIONS, Store
from cloister.cli.data.explain import WRITE, explained
from cloister.cli.data.places import Place, is_folder, whole
from cloister.cli.data.progress import Bar
from cloister.cli.errors import UserError
from cloister.cli.printable import printable

STDIN = "-"
PART_BYTES = 32 << 20
"""An upload has 10,000 parts at most: 312 GiB of standard input. Files of a known size get larger parts if needed."""


@dataclass(frozen=True)
class Upload:
    """One object to be."""

    source: Path | None
    """None: standard input."""
    place: Place
    size: int | None


def plan(sources: Sequence[str], target: Place, *, recursive: bool) -> list[Upload]:
    """Every object, before the first is sent; a UserError if one of them can't be."""
    if STDIN in sources:
        if len(sources) > 1:
            raise UserError("standard input (-) goes into one object, and nothing else beside it")
        return [Upload(None, whole(target), None)]
    folder = not target.key or target.key.endswith("/")
    found: list[Upload] = []
    for source in sources:
        path = Path(source)
        if not is_folder(path):
            found.append(_upload(path, target.below(path.name) if folder else target, follow=True))
        elif not recursive:
            raise UserError(f"{source}: is a folder: add -r")
        elif not folder:
            raise UserError(f"{target}: several objects go below a prefix that ends in '/'")
        else:
            # As `cp -r`: the folder's own name is part of the keys, unless only its contents are named.
            inner = source.rstrip("/").rpartition("/")[2] in (".", "..")
            found += _tree(path, target if inner else target.below(f"{path.name}/"))
    if len(found) > 1 and not folder:
        raise UserError(f"{target}: several objects go below a prefix that ends in '/'")
    _check_distinct(found)
    return found


def send(store: Store, uploads: Iterable[Upload], bar: Bar) -> Iterator[Upload]:
    """Puts one object after the other, each in parts where it is large, and yields those that are there."""
    config = TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_concurrency=CONNECTIONS,
        preferred_transfer_client="classic",  # the other one has its own TLS, without our checks
    )
    config.max_in_memory_upload_chunks = CONNECTIONS
    with create_transfer_manager(store.client, config) as manager:
        for upload in uploads:
            bar.name(str(upload.place))
            source: IO[bytes] | str = sys.stdin.buffer if upload.source is None else str(upload.source)
            with explained(store, upload.place, WRITE):
                future = manager.upload(source, upload.place.bucket, upload.place.key, subscribers=[_Counter(bar)])
                try:
                    future.result()
                except OSError as error:
                    raise UserError(f"{upload.source or 'standard input'}: {error.strerror or error}") from error
            yield upload


class _Counter(BaseSubscriber):  # type: ignore[misc] # s3transfer has no types
    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def on_progress(self, bytes_transferred: int, **_: Any) -> None:
        self._bar.more(bytes_transferred)


def _tree(folder: Path, target: Place) -> Iterator[Upload]:
    def fail(error: OSError) -> None:
        raise UserError(f"{printable(str(error.filename))}: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        for name in folders:
            if (linked := Path(parent, name)).is_symlink():
                raise _link(linked)
        for name in sorted(files):
            path = Path(parent, name)
            yield _upload(path, target.below(path.relative_to(folder).as_posix()), follow=False)


def _upload(path: Path, place: Place, *, follow: bool) -> Upload:
    try:
        found = path.stat(follow_symlinks=follow)
    except OSError as error:
        raise UserError(f"{printable(str(path))}: {error.strerror}") from None
    if stat.S_ISLNK(found.st_mode):
        raise _link(path)
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{printable(str(path))}: is no file; what a pipe or device gives comes by standard input (-)")
    if not os.access(path, os.R_OK):
        raise UserError(f"{printable(str(path))}: may not be read")
    return Upload(path, whole(place), found.st_size)


def _link(path: Path) -> UserError:
    return UserError(f"{printable(str(path))}: is a link, which may lead out of the folder: name its target itself")


def _check_distinct(uploads: Iterable[Upload]) -> None:
    found: dict[str, Upload] = {}
    for upload in uploads:
        other = found.setdefault(upload.place.key, upload)
        if other is not upload:
            raise UserError(f"{upload.place}: would be made of {other.source} and of {upload.source}")
