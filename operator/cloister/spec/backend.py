"""`spec.storage.*.backend`: an existing object store, in place of a volume. What reaches it is sealed already."""

import ipaddress
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from cloister.addresses import METADATA, unwrapped
from cloister.spec.fields import DnsName, HttpsUrl, Model, Prefix, cel, rules
from cloister.zones import HTTPS_PORT

WIDEST = {4: 8, 6: 19}
"""IP version -> the shortest prefix that still names somebody's network. Registries hand out none larger."""
_NOWHERE = map(ipaddress.ip_network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "ff00::/8"))
_FORBIDDEN = (*_NOWHERE, *METADATA)
OPEN_PORT = f"^https://[^:/]+(:{HTTPS_PORT})?(/.*)?$"
ANOTHER_PORT = (
    f"has a port other than {HTTPS_PORT}, and no other is open: leave it out, and let it answer at {HTTPS_PORT}"
)

Address = Annotated[
    str,
    Field(
        min_length=4,
        max_length=43,
        pattern=r"^[0-9a-f.:]+/[0-9]{1,3}$",
        description="A network in CIDR notation, such as 203.0.113.0/24.",
    ),
]
Bucket = Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9._-]*[a-z0-9]$")]
Account = Annotated[str, Field(min_length=3, max_length=24, pattern=r"^[a-z0-9]+$")]
Region = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9-]+$")]


class Provider(StrEnum):
    """Whose protocol the object store speaks."""

    S3 = "S3"
    GCS = "GCS"
    AZURE = "Azure"


class SecretRef(Model):
    """A Secret in the storage zone."""

    name: DnsName = Field(description="Name of the Secret; not one of Cloister's own.")


class Backend(Model):
    """An existing object store instead of the volume. Contents and names are encrypted before they leave the pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.type == oldSelf.type && self.bucket == oldSelf.bucket"
                " && has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix)"
                " && has(self.account) == has(oldSelf.account)"
                " && (!has(self.account) || self.account == oldSelf.account)",
                "type, bucket, prefix and account can't change: the data would stay behind",
            ),
            cel("has(self.account) == (self.type == 'Azure')", "account is for type Azure, which needs it"),
            cel("!has(self.region) || self.type == 'S3'", "region is for type S3"),
            cel(f"!has(self.endpoint) || self.endpoint.matches('{OPEN_PORT}')", f"endpoint {ANOTHER_PORT}"),
        )
    )

    type: Provider = Field(description="S3 (and whatever speaks it), GCS or Azure.")
    bucket: Bucket = Field(description="Bucket, or container of Azure. It must exist.")
    prefix: Prefix | None = Field(None, description="Where in the bucket; nothing else may be there.")
    region: Region | None = Field(None, description="Region of AWS.")
    endpoint: HttpsUrl | None = Field(None, description="Where it answers, if not where its provider's clouds do.")
    account: Account | None = Field(None, description="Storage account of Azure.")
    secret_ref: SecretRef = Field(
        description="Its credentials: `access_key_id` and `secret_access_key` (S3), `service_account_credentials`"
        " (GCS), `key` or `sas_url` (Azure); perhaps `ca.crt`, whom to trust instead of the public authorities."
    )
    addresses: Annotated[tuple[Address, ...], Field(min_length=1, max_length=32)] = Field(
        description="Where it is, port 443. Nothing else outside the cluster can be reached."
    )

    def problems(self, field: str) -> Iterator[tuple[str, str]]:
        """Field and message of each: the rules of CEL above, and what CEL can't say about addresses."""
        if (self.account is None) is (self.type is Provider.AZURE):
            wanted = "needs it" if self.account is None else f"has none: {self.account!r} is for type Azure"
            yield f"{field}.account", f"type {self.type} {wanted}"
        if self.region and self.type is not Provider.S3:
            yield f"{field}.region", f"type {self.type} has none: {self.region!r} is for type S3"
        if self.endpoint and not re.match(OPEN_PORT, self.endpoint):
            yield f"{field}.endpoint", f"{self.endpoint!r} {ANOTHER_PORT}"
        for index, address in enumerate(self.addresses):
            if why := refusal(address, "object store"):
                yield f"{field}.addresses[{index}]", f"{address!r} {why}"


def refusal(address: str, whose: str) -> str | None:
    """Why nobody's ``whose`` can be at a network; None where it can."""
    try:
        network = ipaddress.ip_network(address)
    except ValueError as error:
        return f"is no network: {error}"
    meant = unwrapped(network)
    widest = WIDEST[meant.version] + network.max_prefixlen - meant.max_prefixlen
    if network.prefixlen < widest:
        return f"is more than anybody's network: name those of the {whose}, /{widest} at most"
    for other in _FORBIDDEN:
        if meant.version == other.version and meant.overlaps(other):
            return f"has addresses of {other}, where no {whose} is: name those of the {whose}"
    return None
