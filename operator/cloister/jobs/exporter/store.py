"""The interaction-logs store, through the gate of this pod: which segments there are, and each as a file."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, ParseError, XMLParser

import aiohttp
from yarl import URL

from cloister.journal.files import OBJECT_NAME, STREAM
from cloister.journal.place import Place

MAX_SEGMENT = 64 << 20
"""Bytes. A writer closes a segment at 8 MiB, or after one record that is longer."""
MAX_LISTING = 4 << 20
PAGE = 1000
"""Keys of one listing: as many as S3 gives."""
KEPT_SEGMENTS = 4
"""Files that lie here at once: the sinks are mostly at the same one."""
NEW_STREAMS_SECONDS = 120.0
"""How often it looks for streams that are new; each look is a query for each writer."""
MOST_STREAMS = 256
"""Of one writer: a stream a pod is usual, and one more after a damaged volume."""
MOST_NUMBER = 10**10


class StoreError(Exception):
    """The store does not answer as it should; it is asked again."""


class TooLargeError(Exception):
    """An object that no honest writer has put there."""


class Stream(NamedTuple):
    """One stream of one writer."""

    component: str
    prefix: str
    """Of its segments' keys: `<namespace>/<service account>/<stream id>/`."""

    @property
    def id(self) -> str:
        """Its random id."""
        return self.prefix.rstrip("/").rpartition("/")[2]

    def before(self, number: int) -> str:
        """What sorts before the key of a segment of this number, and after those of all lower ones."""
        return f"{self.prefix}{number:010d}"

    def place(self, number: int) -> Place:
        """What a segment in it must say that it is."""
        namespace, account, stream, _ = self.prefix.split("/")
        return Place(f"ns/{namespace}/sa/{account}/{stream}", number)


class Listed(NamedTuple):
    """One segment of a stream, as a listing has it."""

    number: int
    key: str
    others: tuple[str, ...] = ()
    """Keys of other segments of the same number: an honest writer has one, unless its volume was put back."""


class Listing(NamedTuple):
    """A page of a stream's segments, ascending."""

    segments: list[Listed]
    more: bool
    """Whether others follow at once."""


class Store:
    """Answers several sinks at once: what one has just asked is not asked again for another."""

    def __init__(self, upstream: str, bucket: str, writers: dict[str, str], scratch: Path, fresh: float) -> None:
        """``fresh``: seconds for which a listing is believed."""
        self._path, self._bucket, self._writers = upstream.removeprefix("unix:"), bucket, writers
        self._scratch, self._fresh = scratch, fresh
        self._session: aiohttp.ClientSession | None = None
        self._streams: list[Stream] = []
        self._looked: float | None = None
        self._listings: dict[tuple[str, int], tuple[float, Listing]] = {}
        self._files: dict[str, Path] = {}
        self._fetching = asyncio.Lock()
        """Sinks look at the same moment, and mostly for the same segment: one of them fetches it."""
        self.crowded: set[str] = set()
        """Writers with more streams than are followed."""

    async def streams(self) -> list[Stream]:
        """Every stream that is followed."""
        now = time.monotonic()
        if self._looked is None or now - self._looked >= NEW_STREAMS_SECONDS:
            self._streams = [stream for component in self._writers for stream in await self._streams_of(component)]
            self._looked = now
        return self._streams

    async def _streams_of(self, component: str) -> list[Stream]:
        prefix, token = self._writers[component], ""
        found: list[Stream] = []
        while len(found) <= MOST_STREAMS:
            page = await self._page(
                {"prefix": prefix, "delimiter": "/"} | ({"continuation-token": token} if token else {})
            )
            names = (element.findtext("{*}Prefix") or "" for element in page.iterfind("{*}CommonPrefixes"))
            found += [
                Stream(component, name)
                for name in names
                if name.startswith(prefix) and STREAM.fullmatch(name.removeprefix(prefix).rstrip("/"))
            ]
            token = page.findtext("{*}NextContinuationToken") or ""
            if not token or page.findtext("{*}IsTruncated") != "true":
                return found[:MOST_STREAMS]
        self.crowded.add(component)
        return found[:MOST_STREAMS]

    async def since(self, stream: Stream, number: int) -> Listing:
        """The stream's segments from ``number`` on; at most a page of them."""
        asked, now = (stream.prefix, number), time.monotonic()
        if asked not in self._listings or now - self._listings[asked][0] >= self._fresh:
            fresh = {key: listing for key, listing in self._listings.items() if now - listing[0] < self._fresh}
            self._listings = fresh | {asked: (now, await self._listing(stream, number, PAGE))}
        return self._listings[asked][1]

    async def last(self, stream: Stream) -> int:
        """Number of its newest segment, -1 without one: found in few questions, however many there are."""
        low, high = -1, MOST_NUMBER
        step = 1
        while high - low > 1:
            middle = min(low + step, high - 1) if high == MOST_NUMBER else (low + high) // 2
            found = (await self._listing(stream, middle, 1)).segments
            low, high = (found[0].number, high) if found else (low, middle)
            step *= 2
        return low

    async def _listing(self, stream: Stream, number: int, most: int) -> Listing:
        asked = {"prefix": stream.prefix, "max-keys": str(most), "start-after": stream.before(number)}
        page = await self._page(asked)
        keys = sorted(element.findtext("{*}Key") or "" for element in page.iterfind("{*}Contents"))
        numbered = [(found, key) for key in keys if (found := _number(stream, key)) is not None and found >= number]
        segments = []
        for found, same in itertools.groupby(numbered, key=lambda one: one[0]):
            first, *others = (key for _, key in same)
            segments.append(Listed(found, first, tuple(others)))
        more = len(keys) == most
        if more and len(segments) > 1:
            segments.pop()  # the next page may begin with another one of its number
        return Listing(segments, more)

    async def segment(self, stream: Stream, listed: Listed) -> Path:
        """The segment's file, which lies here for a while; TooLargeError, StoreError."""
        key = listed.key
        async with self._fetching:
            known = self._files.get(key)
            if known is None or not known.exists():
                known = self._scratch / f"{stream.id}-{key.removeprefix(stream.prefix)}"
                await self._download(key, known)
                self._files[key] = known
                while len(self._files) > KEPT_SEGMENTS:
                    self._files.pop(next(iter(self._files))).unlink(missing_ok=True)
            return known

    async def _download(self, key: str, target: Path) -> None:
        partial, size = target.with_suffix(".partial"), 0
        try:
            async with self._asking().get(self._url(f"/{self._bucket}/{quote(key)}")) as answer:
                if answer.status != 200:
                    raise StoreError(f"it answers {answer.status} for a segment")
                with partial.open("wb") as file:
                    async for piece in answer.content.iter_chunked(1 << 18):
                        size += len(piece)
                        if size > MAX_SEGMENT:
                            raise TooLargeError(f"it has more than {MAX_SEGMENT} bytes")
                        file.write(piece)
            partial.rename(target)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from None

    async def _page(self, query: dict[str, str]) -> Element:
        """One page of a listing (ListObjectsV2)."""
        try:
            url = self._url(f"/{self._bucket}?{urlencode({'list-type': '2', **query})}")
            async with self._asking().get(url) as answer:
                if answer.status != 200:
                    raise StoreError(f"it answers {answer.status} for a listing")
                parser, size = XMLParser(), 0  # noqa: S314 - of our own store; and expat bounds what entities become
                async for piece in answer.content.iter_chunked(1 << 16):
                    size += len(piece)
                    if size > MAX_LISTING:
                        raise StoreError("its listing is too long")
                    parser.feed(piece)
                page: Element = parser.close()
                return page
        except (aiohttp.ClientError, TimeoutError, ParseError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from None

    @staticmethod
    def _url(path: str) -> URL:
        return URL(f"http://cloister{path}", encoded=True)

    def _asking(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._path, limit=4),
                timeout=aiohttp.ClientTimeout(total=120, connect=5),
                auto_decompress=False,
                skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"],
            )
        return self._session

    async def close(self) -> None:
        """Ends its connections."""
        if self._session:
            await self._session.close()


def _number(stream: Stream, key: str) -> int | None:
    """Of the segment that has this key; None for what no writer of segments puts there."""
    match = OBJECT_NAME.fullmatch(key.removeprefix(stream.prefix)) if key.startswith(stream.prefix) else None
    return int(match[1]) if match else None
