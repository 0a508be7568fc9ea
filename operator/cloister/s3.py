"""The part of the S3 API that stores speak, as a closed list: whatever is not in it is refused.

Gate and auditor are both made from this list: the gate's rules as a coarse check of method, path and names in the
query, the auditor's as the exact one. Names are those of the Amazon S3 API reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cloister.zones import Verb


class Level(StrEnum):
    """What a request is about; path-style addressing."""

    SERVICE = "service"
    """`/`"""
    BUCKET = "bucket"
    """`/<bucket>`"""
    OBJECT = "object"
    """`/<bucket>/<key>`"""


@dataclass(frozen=True)
class Operation:
    """One operation, and the one form in which it is asked for."""

    name: str
    method: str
    level: Level
    verbs: tuple[Verb, ...]
    """Any of these in the flow table allows it."""
    required: tuple[str, ...] = ()
    """Query parameters that make it this operation."""
    optional: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Every parameter that it may have. `x-id`, which some clients add, repeats the operation's name."""
        return (*self.required, *self.optional, "x-id")


_READ, _WRITE, _ANY = (Verb.READ,), (Verb.WRITE,), (Verb.READ, Verb.WRITE)
_LISTING = ("prefix", "delimiter", "max-keys", "encoding-type")

OPERATIONS = (
    Operation("ListBuckets", "GET", Level.SERVICE, _ANY),
    Operation("HeadBucket", "HEAD", Level.BUCKET, _ANY),
    Operation(
        "ListObjectsV2",
        "GET",
        Level.BUCKET,
        _READ,
        ("list-type",),
        (*_LISTING, "continuation-token", "start-after", "fetch-owner"),
    ),
    Operation("ListObjects", "GET", Level.BUCKET, _READ, (), (*_LISTING, "marker")),
    Operation("DeleteObjects", "POST", Level.BUCKET, _WRITE, ("delete",)),
    Operation("GetObject", "GET", Level.OBJECT, _READ),
    Operation("HeadObject", "HEAD", Level.OBJECT, _READ),
    Operation("PutObject", "PUT", Level.OBJECT, (Verb.WRITE, Verb.APPEND)),
    Operation("DeleteObject", "DELETE", Level.OBJECT, _WRITE),
    Operation("CreateMultipartUpload", "POST", Level.OBJECT, _WRITE, ("uploads",)),
    Operation("UploadPart", "PUT", Level.OBJECT, _WRITE, ("partNumber", "uploadId")),
    Operation("CompleteMultipartUpload", "POST", Level.OBJECT, _WRITE, ("uploadId",)),
    Operation("AbortMultipartUpload", "DELETE", Level.OBJECT, _WRITE, ("uploadId",)),
    Operation("ListParts", "GET", Level.OBJECT, _WRITE, ("uploadId",), ("max-parts", "part-number-marker")),
)


def allowed(verbs: Iterable[Verb], level: Level) -> tuple[Operation, ...]:
    """The operations of a level that these verbs allow."""
    given = set(verbs)
    return tuple(operation for operation in OPERATIONS if operation.level is level and given & set(operation.verbs))
