"""Reads of those who may not see every value: text block by block as it passes, Parquet by way of a masked copy.

What is not known to be maskable is refused, never passed. Sizes and ranges stay true; the ETag is another, so that no
cache mixes the two, and so that it tells nothing of what is masked.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.sax.saxutils import unescape

from cloister.auditor.http.messages import Head, Headers
from cloister.auditor.http.streamed import StreamedDownstream
from cloister.auditor.http.upstream import MAX_BUFFERED, Connection, Pool, UpstreamError
from cloister.auditor.s3 import wire
from cloister.auditor.s3.copies import Copies
from cloister.auditor.s3.errors import denied, no_such_key, refusal, slow_down
from cloister.auditor.s3.queries import Query
from cloister.auditor.s3.trail import Trail
from cloister.masking import BLOCK, Format, Kind, Masker, Unmaskable, around, format_of
from cloister.masking.formats import SNIFFED

_ETAG = re.compile(rb"<ETag>([^<]*)</ETag>")
_CHECKSUM = re.compile(rb"<Checksum(Algorithm|Type)>[^<]*</Checksum(?:Algorithm|Type)>")
_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")
_TAIL = 1 << 10
"""Bytes of a text that wait until the outcome is on record: with less nobody takes what was sent for the whole."""
_THREADS = 2
"""That mask: few, since each has a block in memory."""
_KEPT = (b"last-modified", b"retry-after", b"x-amz-request-id")
_MEDIA = re.compile(rb"[A-Za-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,64}(?:[ \t]*;[ \t]*charset=[A-Za-z0-9-]{1,32})?")
"""A content type without room for anything else."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object, and which part of it is asked for."""

    query: Query
    head: Head
    size: int
    start: int
    stop: int
    etag: bytes
    """Of the masked form."""

    @property
    def partial(self) -> bool:
        """Whether it is a part."""
        return self.query.header(b"range") is not None

    @property
    def status(self) -> int:
        """Of the answer."""
        return 206 if self.partial else 200


class MaskedReads:
    """Masks what leaves, or refuses what it can't mask."""

    def __init__(self, key: bytes, pool: Pool, copies: Copies | None) -> None:
        self._key, self._pool, self._copies = key, pool, copies
        # Of their own, so that no record waits behind what is masked.
        self._threads = ThreadPoolExecutor(_THREADS, "masking")

    async def serve(self, trail: Trail, query: Query, kinds: tuple[str, ...], reply: StreamedDownstream) -> None:
        """Answers GetObject or HeadObject."""
        wanted = frozenset(map(Kind, kinds))
        head = await self._head(query)
        if head.header(b"content-encoding") not in (None, b"", b"identity"):
            raise denied("It has a content encoding, so it can't be masked; it is for readers of raw data only.")
        size = wire.length_of(head)
        if size is None:
            raise UpstreamError("it told no size")
        form = format_of(query.key, await self._bytes(query, 0, min(size, SNIFFED)))
        etag = self._etag(_version(query, head), kinds)
        if _unchanged(query, head, etag):
            await trail.end(304)
            reply.answer(304, _described(trail, head, etag), b"")
            return
        try:
            if form is Format.PARQUET:
                await self._copy(trail, query, head, size, etag, wanted, reply)
            elif form:
                await self._text(trail, _part(query, head, size, etag), form, wanted, reply)
            else:
                raise denied("Objects of this type can't be masked, so they are for readers of raw data only.")
        except Unmaskable as error:
            raise denied(f"It can't be masked: {error}. It is for readers of raw data only.") from None

    def listing(self, answer: bytes, kinds: tuple[str, ...]) -> bytes:
        """A listing without the digests of what is masked."""
        answer = _CHECKSUM.sub(b"", answer)
        return _ETAG.sub(lambda found: b"<ETag>%b</ETag>" % self._listed(found[1], kinds), answer)

    def _listed(self, etag: bytes, kinds: tuple[str, ...]) -> bytes:
        plain = unescape(etag.decode("latin-1"), {"&quot;": '"', "&#34;": '"'}).strip('"')
        return self._etag(plain, kinds) if plain else etag

    def _etag(self, version: str, kinds: tuple[str, ...]) -> bytes:
        """Names the masked form of an object. The object's own would be the MD5 of what is masked: with it, a short
        value is found by trying."""
        text = f"{version}|{','.join(sorted(kinds))}".encode("latin-1")
        return b'"m-%b"' % hmac.digest(self._key, text, hashlib.sha256).hex()[:32].encode()

    # --- text

    async def _text(
        self, trail: Trail, wanted: Wanted, form: Format, kinds: frozenset[Kind], reply: StreamedDownstream
    ) -> None:
        """Block by block. The last piece leaves when the outcome is on record."""
        query = wanted.query
        if query.operation.method == "HEAD" or wanted.start == wanted.stop:
            await _finish(trail, wanted, b"", reply)
            return
        block = wanted.start - wanted.start % BLOCK
        first, last = around(wanted.start, wanted.stop)
        masker, loop = Masker(form, kinds, lead=block - first), asyncio.get_running_loop()
        left, skip, held = wanted.stop - wanted.start, wanted.start - block, b""
        connection = await self._pool.acquire()
        try:
            found = await connection.send(_ranged(query, first, min(last, wanted.size)), b"")
            if found.status not in (200, 206) or not _same(found, wanted.head):
                raise slow_down("The object has just changed: ask again.", 1)
            ended = False
            while not ended and left:
                pieces, ended = await _several(connection, masker.missing)
                # A block takes a good part of a millisecond: others are served meanwhile.
                out = await loop.run_in_executor(self._threads, masker.finish if ended else masker.feed, *pieces)
                out, skip = out[skip:], max(0, skip - len(out))
                out = out[:left]
                left -= len(out)
                if len(out) > _TAIL:
                    await _send(trail, wanted, b"".join((held, memoryview(out)[:-_TAIL])), reply)
                    held = out[-_TAIL:]
                else:
                    held += out
        finally:
            connection.release()
        if left:
            raise UpstreamError("an object was shorter than it said")
        trail.found = masker.found
        await _finish(trail, wanted, held, reply)

    # --- Parquet

    async def _copy(
        self,
        trail: Trail,
        query: Query,
        head: Head,
        size: int,
        etag: bytes,
        kinds: frozenset[Kind],
        reply: StreamedDownstream,
    ) -> None:
        if self._copies is None:
            raise denied("This store has no room for masked copies, so this is for readers of raw data only.")
        name = hashlib.sha256(b"|".join((query.bucket.encode(), query.key.encode(), etag))).hexdigest()
        async with self._copies.masked(name, size, kinds, lambda: self._fetched(query, head, size)) as file:
            wanted = _part(query, head, file.size, etag)
            if query.operation.method == "HEAD" or wanted.start == wanted.stop:
                await _finish(trail, wanted, b"", reply)
                return
            at, held = wanted.start, b""
            while at < wanted.stop:
                data = await file.read(at, min(BLOCK, wanted.stop - at))
                at += len(data)
                if held:
                    await _send(trail, wanted, held, reply)
                held = data
            trail.found = file.found
        await _finish(trail, wanted, held, reply)

    async def _fetched(self, query: Query, head: Head, size: int) -> AsyncGenerator[bytes, None]:
        connection = await self._pool.acquire()
        try:
            found = await connection.send(_ranged(query, 0, size), b"")
            if found.status not in (200, 206) or not _same(found, head):
                raise slow_down("The object has just changed: ask again.", 1)
            ended = False
            while not ended:
                data, ended = await connection.read()
                yield data
        finally:
            connection.release()

    # --- both

    async def _head(self, query: Query) -> Head:
        connection = await self._pool.acquire()
        try:
            lines = f"HEAD {query.target} HTTP/1.1\r\nhost: localhost\r\n\r\n"
            head = await connection.send(lines.encode(), b"", head_only=True)
        finally:
            connection.release()
        if head.status == 404:
            raise no_such_key()
        if head.status != 200:
            raise UpstreamError(f"it answers {head.status}")
        return head

    async def _bytes(self, query: Query, start: int, stop: int) -> bytes:
        if start == stop:
            return b""
        connection = await self._pool.acquire()
        try:
            found = await connection.send(_ranged(query, start, stop), b"")
            if found.status not in (200, 206):
                raise UpstreamError(f"it answers {found.status}")
            return (await wire.whole(connection))[: stop - start]
        finally:
            connection.release()


async def _several(connection: Connection, size: int) -> tuple[list[bytes], bool]:
    """The next pieces of an object, so many bytes at least, since each change of thread takes time; or its last."""
    found: list[bytes] = []
    ended = False
    while not ended and (missing := size - sum(map(len, found))) > 0:
        more, ended = await connection.pieces(min(missing, MAX_BUFFERED))
        found += more
    return found, ended


def _begin(trail: Trail, wanted: Wanted, reply: StreamedDownstream) -> None:
    if not reply.begun:
        reply.begin(wanted.status, _headers(trail, wanted), wanted.stop - wanted.start)


async def _send(trail: Trail, wanted: Wanted, data: bytes, reply: StreamedDownstream) -> None:
    """A piece that others follow."""
    _begin(trail, wanted, reply)
    await reply.ready()
    reply.hand_over(data)
    trail.moved += len(data)


async def _finish(trail: Trail, wanted: Wanted, data: bytes, reply: StreamedDownstream) -> None:
    """The last piece, which may be the only one; to HEAD it is empty, whatever length is announced."""
    _begin(trail, wanted, reply)
    trail.moved += len(data)
    await trail.end(wanted.status)
    reply.end(data)


def _part(query: Query, head: Head, size: int, etag: bytes) -> Wanted:
    """Which bytes are asked for (RFC 9110, section 14.1.2)."""
    asked = query.header(b"range")
    if asked is None:
        return Wanted(query, head, size, 0, size, etag)
    found = _RANGE.fullmatch(asked)
    assert found, "queries.parse lets no other form through"
    first, last = found[1], found[2]
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise refusal(416, "InvalidRange", "The requested range is not satisfiable.")
    return Wanted(query, head, size, start, stop, etag)


def _version(query: Query, head: Head) -> str:
    """What tells two versions of an object apart. A store that was started anew knows no ETag of what it has."""
    if plain := (head.header(b"etag") or b"").decode("latin-1").strip('"'):
        return plain
    told = b"|".join(head.header(name) or b"" for name in (b"last-modified", b"content-length"))
    return f"{query.target}|{told.decode('latin-1')}"


def _same(found: Head, head: Head) -> bool:
    """Whether an answer is about the version that was asked about before."""
    return all(found.header(name) == head.header(name) for name in (b"etag", b"last-modified"))


def _unchanged(query: Query, head: Head, etag: bytes) -> bool:
    """Whether the caller has the masked form already; a Refusal if it wants another (RFC 9110, section 13.2.2)."""
    modified = _time(head.header(b"last-modified"))

    def after(condition: bytes) -> bool | None:
        """Whether it was modified after the time that a condition names; None where that can't be told."""
        since = _time(query.header(condition))
        return modified > since if since and modified else None

    match, none = query.header(b"if-match"), query.header(b"if-none-match")
    another = not _named(match, etag) if match else after(b"if-unmodified-since")
    if another:
        raise refusal(412, "PreconditionFailed", "The object is another by now.")
    return _named(none, etag) if none is not None else after(b"if-modified-since") is False


def _time(header: bytes | None) -> datetime | None:
    """An HTTP date; None for what is none, which counts as if it were not there (RFC 9110, section 13.1.4)."""
    try:
        found = parsedate_to_datetime(header.decode("latin-1")) if header else None
    except ValueError:
        return None
    # Two of the three forms name no zone, or none that says more than that it is UTC (RFC 9110, section 5.6.7).
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def _named(condition: bytes, etag: bytes) -> bool:
    return condition.strip() == b"*" or etag in {one.strip().removeprefix(b"W/") for one in condition.split(b",")}


def _ranged(query: Query, start: int, stop: int) -> bytes:
    """A GET of these bytes of the object as it is."""
    lines = f"GET {query.target} HTTP/1.1\r\nhost: localhost\r\nrange: bytes={start}-{stop - 1}\r\n\r\n"
    return lines.encode()


def _headers(trail: Trail, wanted: Wanted) -> Headers:
    described = _described(trail, wanted.head, wanted.etag)
    if wanted.partial:
        described.append((b"content-range", b"bytes %d-%d/%d" % (wanted.start, wanted.stop - 1, wanted.size)))
    return described


def _described(trail: Trail, head: Head, etag: bytes) -> Headers:
    """Of the object: neither a digest of what is masked, nor words of whoever wrote it, such as user metadata."""
    kept = [(name, value) for name, value in wire.back(head, trail.id) if name in _KEPT]
    kind = head.header(b"content-type") or b""
    kept.append((b"content-type", kind if _MEDIA.fullmatch(kind) else b"application/octet-stream"))
    return [*kept, (b"etag", etag), (b"accept-ranges", b"bytes")]
