"""The scalar types of the custom resource: every one bounded, so that CEL's cost limit holds, and documented once."""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base of every part of the resource: frozen, camelCase outside, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True)


def cel(rule: str, message: str) -> dict[str, str]:
    """One CEL rule of the schema (``x-kubernetes-validations``), evaluated by the API server on every write."""
    return {"rule": rule, "message": message}


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    """JSON schema extras that carry CEL rules."""
    return {"x-kubernetes-validations": list(validations)}


DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DURATION_PATTERN = r"^[1-9][0-9]{0,5}(s|m|h|d)$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]{1,3})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL_PATTERN)]
"""RFC 1123 label, as names of namespaces must be."""

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_DNS_NAME_PATTERN = rf"^{_SUBDOMAIN}$"
DnsName = Annotated[str, Field(min_length=1, max_length=253, pattern=_DNS_NAME_PATTERN)]
"""RFC 1123 subdomain, as names of most objects must be."""
ServiceAccount = Annotated[str, Field(min_length=1, max_length=200, pattern=_DNS_NAME_PATTERN)]
"""A service account whose name, after that of the deployment, still fits the name of its certificate."""

_TRUST_DOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9_]*[a-z0-9])?)*$"
TrustDomain = Annotated[str, Field(min_length=1, max_length=253, pattern=_TRUST_DOMAIN_PATTERN)]
"""SPIFFE trust domain (SPIFFE-ID standard, section 2.1)."""

Text = Annotated[str, Field(min_length=1, max_length=1024)]
Word = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\x00-\x1f\x7f]+$")]

LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
LABEL_KEY_PATTERN = rf"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
"""A qualified name: a DNS subdomain and a slash, or neither, and a name."""
LabelKey = Annotated[
    str,
    Field(min_length=1, max_length=317, pattern=LABEL_KEY_PATTERN),
]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=16)]

HttpsUrl = Annotated[str, Field(max_length=512, pattern=r"^https://[a-z0-9.-]+(:[0-9]{1,5})?(/[!\"$->@-~]*)?$")]
HttpPath = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^(/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)$")]
"""An HTTP path as it is after normalisation: no empty segment, none that begins with a dot, nothing encoded."""
AbsolutePath = Annotated[str, Field(min_length=2, max_length=256, pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$")]

Prefix = Annotated[
    str,
    Field(
        min_length=2,
        max_length=256,
        # What a segment is sealed under is longer than itself, and a file's name has 255 bytes (keyring.py).
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,174}/)+$",
        description="A key prefix: path segments that end in '/', none of them beginning with a dot.",
    ),
]
ObjectKey = Annotated[
    str,
    Field(min_length=1, max_length=512, pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*$"),
]

Duration = Annotated[
    str,
    Field(max_length=16, pattern=DURATION_PATTERN, description="A number and one of s, m, h, d."),
]

Image = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$")]
DIGEST_SUFFIX = "@sha256:[0-9a-f]{64}"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
ControlId = Annotated[str, Field(pattern=r"^ZT-[0-9]{2}$", max_length=5)]
CronSchedule = Annotated[
    str, Field(min_length=9, max_length=100, pattern=r"^([0-9A-Za-z*/,?-]+ ){4}[0-9A-Za-z*/,?-]+$")
]


def _quantity(value: object) -> object:
    """Kubernetes takes a bare number as a quantity; booleans are numbers to Python only."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    Field(
        max_length=32,
        pattern=QUANTITY_PATTERN,
        json_schema_extra={
            "type": None,
            "maxLength": None,
            "pattern": QUANTITY_PATTERN,  # pydantic keeps it to itself, after a validator of ours
            "minimum": 0,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
        },
    ),
]
"""A Kubernetes quantity, such as 100Gi or 500m."""


def _at_least_a_byte(quantity: str) -> str:
    if milli(quantity) < 1000:
        raise ValueError("a size is at least one byte: 0 would mean no limit")
    return quantity


Size = Annotated[Quantity, AfterValidator(_at_least_a_byte)]
"""A quantity of bytes."""


class Role(StrEnum):
    """What people with kubectl may do in a zone; each is a ClusterRole of the chart."""

    VIEW = "view"
    LOGS = "logs"


class MaskKind(StrEnum):
    """A kind of sensitive value."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    SSN = "ssn"
    IP = "ip"
    SECRET = "secret"  # noqa: S105 - the name of a kind


class DeletionPolicy(StrEnum):
    """What becomes of the storage zone when the resource goes."""

    RETAIN = "Retain"
    DELETE = "Delete"


class UserToken(StrEnum):
    """Whether a client must present the token of the person it speaks for."""

    REQUIRED = "Required"
    NOT_REQUIRED = "NotRequired"


class Verdict(StrEnum):
    """What happens on a finding."""

    BLOCK = "Block"
    MASK = "Mask"
    FLAG = "Flag"
    OFF = "Off"


class InputVerdict(StrEnum):
    """What happens to a request that should not be asked. There is nothing in it that could be masked."""

    BLOCK = "Block"
    FLAG = "Flag"
    OFF = "Off"


class Content(StrEnum):
    """How much of a prompt and a reply the journal keeps."""

    NONE = "None"
    HASH = "Hash"
    REDACTED = "Redacted"
    FULL = "Full"


class Method(StrEnum):
    """HTTP methods that an API may allow."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Length of a :data:`Duration` in seconds."""
    return int(duration[:-1]) * _UNIT_SECONDS[duration[-1]]


def is_pinned(image: str) -> bool:
    """Whether an image is named by digest, so that it can't change under its name."""
    return re.search(f"{DIGEST_SUFFIX}\\Z", image) is not None


_BINARY = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"m": 1, "k": 10**6, "M": 10**9, "G": 10**12, "T": 10**15, "P": 10**18, "E": 10**21}


def milli(quantity: str) -> int:
    """A quantity in thousandths of its unit, for comparison (Kubernetes API conventions, "Quantities")."""
    number = quantity.rstrip("mkKMGTPEi")
    suffix = quantity[len(number) :]
    scale = _DECIMAL[suffix] if suffix in _DECIMAL else _BINARY[suffix] * 1000
    whole, _, fraction = number.partition(".")
    return (int(whole) * 1000 + int(fraction.ljust(3, "0") or 0)) * scale // 1000
