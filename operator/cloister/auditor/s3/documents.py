"""The XML that queries and answers carry: read strictly, and written anew, so that nobody else reads it otherwise."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from cloister.auditor.s3 import keys
from cloister.auditor.s3.errors import invalid

MAX_BYTES = 4 << 20
"""Of a document in a query: 10,000 parts with their checksums."""
MAX_KEYS = 1000
MAX_PARTS = 10_000
MAX_DEPTH = 4
MAX_NODES = 100_000
"""More than 10,000 parts with their checksums; many small ones take the time that others wait."""
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_ETAG = re.compile(r'"?[A-Za-z0-9+/=_-]{1,128}"?')


@dataclass(slots=True)
class _Node:
    name: str
    text: str = ""
    children: list["_Node"] = field(default_factory=list)

    def texts(self) -> dict[str, str]:
        """The leaves; each once."""
        found = {child.name: child.text for child in self.children}
        if len(found) != len(self.children) or any(child.children for child in self.children):
            raise _malformed()
        return found


@dataclass(frozen=True, slots=True)
class Deletion:
    """DeleteObjects."""

    keys: tuple[str, ...]
    quiet: bool

    def document(self) -> bytes:
        """As the store gets it."""
        objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in self.keys)
        quiet = "<Quiet>true</Quiet>" if self.quiet else ""
        return f'{_HEAD}<Delete xmlns="{_NAMESPACE}">{objects}{quiet}</Delete>'.encode()


def deletion(body: bytes) -> Deletion:
    """Reads the body of DeleteObjects. Versions and conditions are refused: the store has neither."""
    root = _parsed(body, "Delete")
    found: list[str] = []
    quiet = False
    for child in root.children:
        if child.name == "Quiet" and not child.children and child.text in ("true", "false"):
            quiet = child.text == "true"
        elif child.name == "Object" and set(fields := child.texts()) == {"Key"}:
            found.append(keys.checked(fields["Key"]))
        else:
            raise _malformed()
    if not 1 <= len(found) <= MAX_KEYS or len(set(found)) != len(found):
        raise _malformed()
    return Deletion(tuple(found), quiet)


def completion(body: bytes) -> bytes:
    """Reads the body of CompleteMultipartUpload, and writes it anew: parts and their ETags. Checksums of parts were
    verified as the parts came."""
    parts = []
    for child in _parsed(body, "CompleteMultipartUpload").children:
        fields = child.texts() if child.name == "Part" else {}
        number, etag = fields.get("PartNumber", ""), fields.get("ETag", "")
        if not re.fullmatch("[1-9][0-9]{0,4}", number) or not _ETAG.fullmatch(etag):
            raise _malformed()
        parts.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>")
    if not 1 <= len(parts) <= MAX_PARTS:
        raise _malformed()
    inner = "".join(parts)
    return f'{_HEAD}<CompleteMultipartUpload xmlns="{_NAMESPACE}">{inner}</CompleteMultipartUpload>'.encode()


def buckets(names: Iterable[str]) -> bytes:
    """The answer to ListBuckets."""
    created = "<CreationDate>1970-01-01T00:00:00.000Z</CreationDate>"
    inner = "".join(f"<Bucket><Name>{escape(name)}</Name>{created}</Bucket>" for name in names)
    owner = "<Owner><ID>cloister</ID></Owner>"
    root = "ListAllMyBucketsResult"
    return f'{_HEAD}<{root} xmlns="{_NAMESPACE}">{owner}<Buckets>{inner}</Buckets></{root}>'.encode()


def folders(bucket: str, prefix: str, common: Sequence[str], *, version: int, encoded: bool) -> bytes:
    """The answer to a listing above what the caller may read: only the way down, and nothing of what is there."""

    def shown(text: str) -> str:
        return escape(keys.escaped(text) if encoded else text)

    inner = "".join(f"<CommonPrefixes><Prefix>{shown(one)}</Prefix></CommonPrefixes>" for one in common)
    count = f"<KeyCount>{len(common)}</KeyCount>" if version == 2 else "<Marker></Marker>"
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return (
        f'{_HEAD}<ListBucketResult xmlns="{_NAMESPACE}"><Name>{escape(bucket)}</Name><Prefix>{shown(prefix)}</Prefix>'
        f"<Delimiter>/</Delimiter><MaxKeys>1000</MaxKeys>{encoding}{count}<IsTruncated>false</IsTruncated>{inner}"
        "</ListBucketResult>"
    ).encode()


def listed(body: bytes, *, encoded: bool) -> list[str]:
    """Every key and common prefix in the answer to a listing."""
    texts = re.findall(rb"<Key>([^<]*)</Key>|<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>", body)
    found = [html.unescape((key or prefix).decode()) for key, prefix in texts]
    return [keys.decoded(text) for text in found] if encoded else found


def _parsed(body: bytes, root: str) -> _Node:
    """The document as a tree; no DTD, no entities but XML's own, no processing instructions, no comments."""
    if len(body) > MAX_BYTES:
        raise invalid(f"The document is larger than {MAX_BYTES} bytes.", "MaxMessageLengthExceeded")
    top = _Node("")
    stack = [top]
    nodes = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal nodes
        nodes += 1
        plain = name.removeprefix(f"{_NAMESPACE} ")
        if attributes or len(stack) > MAX_DEPTH or nodes > MAX_NODES or " " in plain:
            raise _malformed()
        node = _Node(plain)
        stack[-1].children.append(node)
        stack.append(node)

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise _malformed()

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = parser.ProcessingInstructionHandler = refuse
    parser.CommentHandler = parser.StartCdataSectionHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        raise _malformed() from None
    found = top.children[0]
    if found.name != root or _stray(found):
        raise _malformed()
    return found


def _stray(node: _Node) -> bool:
    """Whether there is text beside elements."""
    return bool(node.children and node.text.strip()) or any(map(_stray, node.children))


def _malformed() -> Exception:
    return invalid("The document is not what this operation asks for.", "MalformedXML")
