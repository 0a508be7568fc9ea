"""From a store to this machine: continued where the last attempt stopped, never of two versions of an object."""

import random
import re
import time
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import (
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)
from urllib3.exceptions import HTTPError

from cloister.cli.data.client import ATTEMPTS, Store
from cloister.cli.data.explain import READ, explained
from cloister.cli.data.places import Place
from cloister.cli.data.progress import Bar
from cloister.cli.data.sinks import Output, Sink, partial
from cloister.cli.errors import UserError

CHUNK = 1 << 20
MAX_PAUSE_SECONDS = 20.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_CUT = (HTTPClientError, HTTPError, IncompleteReadError, ResponseStreamingError)
_GONE = {"PreconditionFailed", "412", "InvalidRange", "416"}
"""The version that was begun is there no more, or has no more bytes than are here."""
_LEFT = {True: "nothing is kept", False: "what was printed is worthless"}


def fetch(store: Store, place: Place, target: Path, bar: Bar) -> str | None:
    """Write an object to a file, which appears when the object is whole; returns the version's ETag, if it has one."""
    with partial(target, f"{store.host}/{place.store}/{place.key}") as sink:
        try:
            _receive(store, place, sink, bar)
        except UserError as error:
            raise _resumable(error, sink) from error
        sink.finish()
        return sink.etag


def stream(store: Store, place: Place, file: IO[bytes], bar: Bar) -> int:
    """Write an object to standard output and return its size."""
    sink = Output(file)
    try:
        _receive(store, place, sink, bar)
        file.flush()
    except BrokenPipeError:
        raise  # whoever reads has had enough
    except OSError as error:
        raise UserError(f"standard output: {error.strerror or error}") from error
    return sink.size


def _receive(store: Store, place: Place, sink: Sink, bar: Bar) -> None:
    bar.name(str(place))
    bar.more(sink.size if sink.etag else 0)
    failures = 0
    while True:
        before = sink.size
        try:
            with explained(store, place, READ):
                _attempt(store, place, sink, bar)
        except _Interrupted as error:
            # What moved on is no failure: a big object over a bad line takes as long as it takes.
            failures = 1 if sink.size > before else failures + 1
            if failures >= ATTEMPTS:
                raise UserError(f"{place}: was interrupted: {error}") from error
            time.sleep(random.uniform(0, min(MAX_PAUSE_SECONDS, 2.0**failures)))  # noqa: S311 - no secret
        else:
            return


class _Interrupted(Exception):  # noqa: N818 - not the end of it
    """The connection ended before the object."""


def _attempt(store: Store, place: Place, sink: Sink, bar: Bar) -> None:
    reply = _ask(store, place, sink, bar)
    start, total = _extent(reply)
    etag = _named(reply.get("ETag"))
    if not sink.etag or start != sink.size or etag != sink.etag:
        # Nothing was asked for but the whole, or the store can't give a part.
        if start:
            raise UserError(f"{place}: the store gave another part of the object than was asked for")
        _restart(sink, bar, etag)
    bar.expect(total)
    try:
        for chunk in reply["Body"].iter_chunks(CHUNK):
            sink.write(chunk)
            bar.more(len(chunk))
    except FlexibleChecksumError as error:
        what = f"{place}: arrived with another checksum than it was stored with"
        raise UserError(f"{what}; {_LEFT[_discarded(sink, bar)]}") from error
    except _CUT as error:
        if not sink.etag and not _discarded(sink, bar):
            what = f"{place}: was interrupted, and the store names no version to go on with"
            raise UserError(f"{what}: {error}; {_LEFT[False]}") from error
        raise _Interrupted(str(error)) from error
    if total is not None and sink.size != total:
        what = f"{place}: came with {sink.size} bytes, and has {total}"
        raise UserError(f"{what}; {_LEFT[_discarded(sink, bar)]}")


def _ask(store: Store, place: Place, sink: Sink, bar: Bar) -> dict[str, Any]:
    """GetObject, of the rest if there is a beginning (RFC 9110, sections 13.1.1 and 14.2)."""
    if (etag := _named(sink.etag)) and sink.size:
        rest = {"Range": f"bytes={sink.size}-", "IfMatch": etag}
        try:
            return _get(store, place, rest)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            _restart(sink, bar, None)
    return _get(store, place, {})


def _named(etag: str | None) -> str | None:
    """An empty ETag names no version."""
    return etag if etag and etag.strip('"') else None


def _get(store: Store, place: Place, more: dict[str, str]) -> dict[str, Any]:
    reply: dict[str, Any] = store.client.get_object(Bucket=place.bucket, Key=place.key, **more)
    return reply


def _extent(reply: dict[str, Any]) -> tuple[int, int | None]:
    """The first byte that comes, and the size of the whole object."""
    if found := _CONTENT_RANGE.fullmatch(reply.get("ContentRange", "")):
        return int(found[1]), int(found[2])
    return 0, reply.get("ContentLength")


def _restart(sink: Sink, bar: Bar, etag: str | None) -> None:
    bar.more(-sink.size)
    sink.begin(etag)


def _discarded(sink: Sink, bar: Bar) -> bool:
    """Forgets what is here, and says whether that is possible."""
    size = sink.size
    if forgotten := sink.discard():
        bar.more(-size)
    return forgotten


def _resumable(error: UserError, sink: Sink) -> UserError:
    if not (sink.size and sink.etag):
        return error
    return UserError(f"{error}. {sink.size} bytes are here: the same command goes on from there")
