"""Reads of those who may not see every value."""

import hashlib
import hmac
import re

from cloister.auditor.http.streamed import StreamedDownstream
from cloister.auditor.s3.errors import denied
from cloister.auditor.s3.queries import Query
from cloister.auditor.s3.trail import Trail

_ETAG = re.compile(rb"<ETag>([^<]*)</ETag>")
_CHECKSUM = re.compile(rb"<Checksum(Algorithm|Type)>[^<]*</Checksum(?:Algorithm|Type)>")


class MaskedReads:
    """Masks what leaves, or refuses what it can't mask."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    async def serve(self, trail: Trail, query: Query, kinds: tuple[str, ...], reply: StreamedDownstream) -> None:
        """Answers GetObject or HeadObject."""
        raise denied("Objects of this type can't be masked, so they are for readers of raw data only.")

    def listing(self, answer: bytes, kinds: tuple[str, ...]) -> bytes:
        """A listing without the digests of what is masked."""
        answer = _CHECKSUM.sub(b"", answer)
        return _ETAG.sub(lambda found: b"<ETag>%b</ETag>" % self.etag(found[1], kinds), answer)

    def etag(self, etag: bytes, kinds: tuple[str, ...]) -> bytes:
        """Names the masked form of an object. The object's own would be the MD5 of what is masked: with it, a short
        value is found by trying."""
        text = b"%b|%b" % (etag.replace(b"&quot;", b"").strip(b'"'), ",".join(kinds).encode())
        return b'"m-%b"' % hmac.digest(self._key, text, hashlib.sha256).hex()[:32].encode()
