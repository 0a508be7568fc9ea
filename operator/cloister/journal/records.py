"""What is recorded: the schema, version 1, and its one serialisation (RFC 8785).

Writers make plain dicts, which :func:`encode` writes fast; readers get them checked by these models. Names are those of
OpenTelemetry's GenAI attributes where it has them. A field that does not apply is absent. docs/journal.md is the table.
"""

from typing import Annotated, Any, Literal, NamedTuple, TypeGuard

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from cloister.journal.errors import JournalError

SCHEMA_VERSION = 1
MAX_INTEGER = 2**53 - 1

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)

Time = Annotated[str, StringConstraints(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z$")]
Integer = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Size = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Hex32 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Strings = tuple[str, ...]
Content = Literal["None", "Hash", "Redacted", "Full"]


_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
"""Built when a record is read: those who write records read none, and are to start fast."""


class _Model(BaseModel):
    model_config = _STRICT

    type: Any
    time: Time
    """RFC 3339, UTC, microseconds."""


class Verdict(BaseModel):
    """Something that was found, and what was done about it. The text in which it was found is no part of it."""

    model_config = _STRICT

    kind: str
    """`prompt-injection`, `system-prompt-leak`, `sensitive-output`, `extraction`, ..."""
    rule: str
    """Id of the rule or classifier that found it."""
    score: Annotated[int, Field(ge=0, le=1000)]
    """How sure it is, in thousandths."""
    where: str
    """Place in the document: `messages[2].content`."""
    action: Literal["Block", "Mask", "Flag"]


class Reason(BaseModel):
    """One part of a score."""

    model_config = _STRICT

    signal: str
    """`rate`, `volume`, `new-country`, ... (docs/detection.md)"""
    points: Size
    why: str


class Risk(BaseModel):
    """How much of a caller's recent behaviour is unusual for this caller."""

    model_config = _STRICT

    score: Size
    """The sum, of what is left of each signal by now."""
    reasons: tuple[Reason, ...]
    """The largest first."""


class _Risk(_Model):
    risk: Risk | None = None
    """Absent below 10 points."""


class _Verdicts(_Model):
    verdicts: tuple[Verdict, ...] | None = None
    """At most 32, the surest first."""


class _Content(_Model):
    """What was said, as `cloister.content` of the last `start` has it."""

    bytes: Size | None = None
    """Of the content as it was sent, whatever is kept of it."""
    content: str | None = None
    """Full: the text as it was sent. Redacted: with marks in place of what identifies people and opens doors."""
    content_encoding: Literal["base64"] | None = None
    """Where the bytes are not UTF-8 text."""
    content_hmac: Hex32 | None = None
    """Hash: HMAC-SHA256 of the bytes under the `cloister.content_key` of the last `start`."""


class _Who(_Model):
    """Who asks, by what right, for what."""

    exchange: str
    """One request and all that follows from it; unique in the stream."""
    request_id: str | None = None
    """`x-request-id`, which the gate's log has too."""
    peer: str | None = None
    """SPIFFE ID of the machine."""
    user_id: str | None = Field(None, alias="user.id")
    """`sub`."""
    session_id: str | None = Field(None, alias="session.id")
    """`sid`."""
    token_id: str | None = Field(None, alias="token.id")
    """`jti`."""
    roles: Strings | None = None
    country: str | None = None
    device: Literal["managed", "unmanaged"] | None = None
    device_id: str | None = Field(None, alias="device.id")
    """As the token's claim for it says."""
    acr: str | None = None
    amr: Strings | None = None
    auth_time: Integer | None = None
    """Seconds since 1970."""
    api: str | None = None
    method: str | None = None
    path: str | None = None


class _GenAi(_Model):
    operation_name: str | None = Field(None, alias="gen_ai.operation.name")
    request_model: str | None = Field(None, alias="gen_ai.request.model")
    request_max_tokens: Integer | None = Field(None, alias="gen_ai.request.max_tokens")
    request_stream: bool | None = Field(None, alias="gen_ai.request.stream")


class _GenAiReply(_Model):
    response_id: str | None = Field(None, alias="gen_ai.response.id")
    response_model: str | None = Field(None, alias="gen_ai.response.model")
    finish_reasons: Strings | None = Field(None, alias="gen_ai.response.finish_reasons")
    input_tokens: Size | None = Field(None, alias="gen_ai.usage.input_tokens")
    output_tokens: Size | None = Field(None, alias="gen_ai.usage.output_tokens")


class Start(_Model):
    """A process begins to record."""

    type: Literal["start"]
    schema_version: Literal[1] = Field(alias="cloister.schema")
    version: str = Field(alias="cloister.version")
    deployment: str = Field(alias="cloister.deployment")
    component: str = Field(alias="cloister.component")
    identity: str = Field(alias="cloister.identity")
    """SPIFFE ID of the pod."""
    content: Content = Field(alias="cloister.content")
    content_key: Hex32 | None = Field(None, alias="cloister.content_key")
    """Key of `content_hmac`, for those who may open the journal."""
    recipients: Strings = Field(alias="cloister.recipients")
    """Ids of the keys that can open it."""
    incident: str | None = Field(None, alias="cloister.incident")
    """Why the stream before this one was given up."""


class Stop(_Model):
    """A process has ended in good order."""

    type: Literal["stop"]


class Request(_Who, _GenAi, _Risk, _Verdicts, _Content):
    """A request that was let through; recorded before the model sees it."""

    type: Literal["request"]
    problems: Strings | None = None
    """What was flagged in it."""


class _What(_Model):
    """What is asked of a store."""

    operation: str | None = None
    """Name in the Amazon S3 API reference."""
    bucket: str | None = None
    key: str | None = None


class Refusal(_Who, _GenAi, _What, _Risk, _Verdicts, _Content):
    """A request that was refused; the model or the store never saw it."""

    type: Literal["refusal"]
    status: Size
    """HTTP status of the answer."""
    code: str
    """Which rule refused it."""
    reason: str | None = None
    """The answer's own words."""


class ReplyPart(_Verdicts, _Content):
    """A piece of a streamed reply; recorded before the caller sees it."""

    type: Literal["reply.part"]
    exchange: str
    part: Size
    """From 0 in its exchange."""


class Reply(_GenAiReply, _Risk, _Verdicts, _Content):
    """A reply, whole, or the end of a streamed one; recorded before its last byte leaves."""

    type: Literal["reply"]
    exchange: str
    status: Size | None = None
    """HTTP status; absent where the model never answered."""
    outcome: Literal["complete", "cancelled", "cut", "failed"]
    """cancelled: the caller left. cut: ended by us. failed: the model did not answer, or broke off."""
    code: str | None = None
    """Of the error that the caller was given."""
    reason: str | None = None
    duration_us: Size | None = None
    """From the request's last byte to the reply's."""
    parts: Size | None = None
    """Number of `reply.part` records."""


class Query(_Who, _What):
    """A query that was let through; recorded before the store sees it."""

    type: Literal["query"]
    keys: Strings | None = None
    """Of an operation on several objects."""
    prefix: str | None = None
    """Of a listing."""
    range: str | None = None
    """As it was asked for."""
    upload: str | None = None
    """Which multipart upload it belongs to."""
    part: Size | None = None
    """Number of the part."""
    bytes: Size | None = None
    """Of the object or part that is put."""
    masked: Strings | None = None
    """Kinds of values that the caller sees masked."""


class Result(_Model):
    """What became of a query; recorded before the last byte of the answer."""

    type: Literal["result"]
    exchange: str
    status: Size | None = None
    """HTTP status of the answer."""
    outcome: Literal["complete", "cancelled", "cut", "failed"]
    """cancelled: the caller left. cut: ended by us, in the middle. failed: not done."""
    code: str | None = None
    """Of the error that the caller was given."""
    reason: str | None = None
    bytes: Size | None = None
    """Of the object or list that the caller was given, or of the object or part that the store took."""
    duration_us: Size | None = None
    masked: dict[str, Size] | None = None
    """How many values of each kind were masked in what the caller was given."""


class Alert(_Model):
    """Something that a person should look at."""

    type: Literal["alert"]
    code: str
    severity: Literal["info", "warning", "critical"]
    message: str
    exchange: str | None = None
    peer: str | None = None
    user_id: str | None = Field(None, alias="user.id")
    session_id: str | None = Field(None, alias="session.id")
    api: str | None = None


Record = Start | Stop | Request | Refusal | ReplyPart | Reply | Query | Result | Alert
"""Any of them, told apart by `type`."""


class Line(BaseModel):
    """A line of the journal."""

    model_config = _STRICT

    prev: Hex32
    """SHA-256 of the line before; zeros in the first."""
    record: Annotated[Record, Field(discriminator="type")]
    seq: Size
    """From 0, over the whole stream."""


_RECORD: TypeAdapter[Record] = TypeAdapter(
    Annotated[Record, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)

TYPES = ("start", "stop", "request", "refusal", "reply.part", "reply", "query", "result", "alert")


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value from outside can be recorded as an integer. JSON's `true` is none, whatever Python says."""
    return type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER


def encode(record: dict[str, Any]) -> bytes:
    """Canonical JSON (RFC 8785) of a record; fields that are None are left out.

    Values are strings, integers within 2^53, booleans, and lists and dicts of those; keys are ASCII. JournalError for
    anything else, floats and text that is not Unicode (a lone surrogate) among it.
    """
    if None in record.values():
        record = {key: value for key, value in record.items() if value is not None}
    _check(record)
    try:
        return orjson.dumps(record, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise JournalError(f"a {record.get('type', '')!s} record can't be written: {error}") from None


def parse(raw: bytes) -> Record:
    """The typed record of what :func:`encode` wrote; JournalError names the field that is wrong."""
    try:
        return _RECORD.validate_json(raw)
    except ValidationError as error:
        raise _malformed(error) from None


class Envelope(NamedTuple):
    """Where a line says that it belongs."""

    prev: str
    seq: int


def parse_envelope(raw: bytes) -> Envelope:
    """What a line says around its record, of whatever type that is; JournalError where it is none, or is not in its one
    canonical form."""
    try:
        line = orjson.loads(raw)
        canonical = orjson.dumps(line, option=_OPTIONS) == raw
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise JournalError("the line is not JSON") from None
    if not canonical:
        raise JournalError("the line is not in canonical form")
    match line:
        case {"prev": str(prev), "record": {"type": str()}, "seq": int(seq)} if len(line) == 3:
            return Envelope(prev, seq)
    raise JournalError("the line is not a record with prev and seq")


def typed(raw: bytes) -> Line:
    """The typed line; JournalError names the field that is wrong, or that this version does not know."""
    try:
        return Line.model_validate_json(raw)
    except ValidationError as error:
        raise _malformed(error) from None


def parse_line(raw: bytes) -> Line:
    """The typed line; JournalError names the field that is wrong, or that it is not in its one canonical form."""
    parse_envelope(raw)
    return typed(raw)


def _malformed(error: ValidationError) -> JournalError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "record"
    return JournalError(f"{where}: {first['msg']}")


_PLAIN = frozenset({str, int, bool})


def _check(value: dict[str, Any]) -> None:
    for key, item in value.items():
        if type(key) is not str or not key.isascii():
            raise JournalError(f"field {key!r}: names are ASCII")
        if type(item) not in _PLAIN:
            _check_nested(key, item)


def _check_nested(key: str, item: object) -> None:
    if type(item) is dict:
        _check(item)
    elif type(item) in {list, tuple}:
        for inner in item:  # type: ignore[attr-defined]  # what type() tells, mypy does not follow
            if type(inner) not in _PLAIN:
                _check_nested(key, inner)
    else:
        raise JournalError(f"field {key}: a {type(item).__name__} can't be recorded")
