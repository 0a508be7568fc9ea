"""`spec.audit.export`: alerts and the metadata of records, told to systems outside the cluster."""

import ipaddress
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from cloister.spec.backend import ANOTHER_PORT, OPEN_PORT, SecretRef, refusal
from cloister.spec.fields import HttpsUrl, Model, cel, rules
from cloister.spec.recipient import Recipient

_ADDRESS_IN_URL = r"^https://[0-9.]+(:|/|$)"
_OWN = ("cloister-", "keyring-")
"""How names of Cloister's own Secrets in the storage zone begin (cloister.names)."""
_OWN_SECRET = "names a Secret of Cloister's own: choose another name"  # noqa: S105

Address = Annotated[
    str,
    Field(
        min_length=2,
        max_length=39,
        pattern=r"^[0-9a-f.:]+$",
        description="One address, such as 203.0.113.7: the exporter asks no DNS.",
    ),
]


class ExportedRecord(StrEnum):
    """Types of records (docs/journal.md)."""

    ALERT = "alert"
    REFUSAL = "refusal"
    REQUEST = "request"
    REPLY = "reply"
    QUERY = "query"
    RESULT = "result"
    START = "start"
    STOP = "stop"


class Sink(Model):
    """A system that takes records. It is dialled at its addresses, and must prove that it is the host of its URL."""

    model_config = ConfigDict(
        json_schema_extra=rules(cel(f"self.url.matches('{OPEN_PORT}')", f"url {ANOTHER_PORT}")),
    )

    url: HttpsUrl = Field(description="Where records are posted, whole: nothing is added to it.")
    addresses: Annotated[tuple[Address, ...], Field(min_length=1, max_length=8)] = Field(
        description="Where its host is, port 443: nothing else outside the cluster can be reached."
    )

    @property
    def networks(self) -> tuple[str, ...]:
        """Its addresses as networks, for policies."""
        return tuple(str(ipaddress.ip_network(address)) for address in self.addresses)

    def problems(self, field: str) -> Iterator[tuple[str, str]]:
        """Field and message of each: the rule of CEL above, and what CEL can't say about addresses."""
        if not re.match(OPEN_PORT, self.url):
            yield f"{field}.url", f"{self.url!r} {ANOTHER_PORT}"
        if re.match(_ADDRESS_IN_URL, self.url):
            yield f"{field}.url", f"{self.url!r} is an address, and a certificate is for a name: give the host's"
        for index, address in enumerate(self.addresses):
            if why := refusal(address, "collector"):
                yield f"{field}.addresses[{index}]", f"{address!r} {why}"


class Otlp(Sink):
    """OTLP/HTTP, logs as JSON (OpenTelemetry Protocol Specification 1)."""

    url: HttpsUrl = Field(description="Where logs are posted, whole, such as https://collector.example.com/v1/logs.")


class Webhook(Sink):
    """Batches as JSON, signed (https://www.standardwebhooks.com)."""


class Export(Model):
    """What is told besides being kept, and to whom. It never holds what people or models have said.

    Serious alerts become Kubernetes Events, with or without a sink: codes and counts.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!self.secretRef.name.startsWith('{_OWN[0]}') && !self.secretRef.name.startsWith('{_OWN[1]}')",
                f"secretRef.name {_OWN_SECRET}",
            )
        )
    )

    public_key: Recipient = Field(
        description="The exporter's own, as `cloister keys generate` prints it: whatever is recorded is sealed for it,"
        " too, so whoever has its private half can open the journal. List it nowhere else."
    )
    secret_ref: SecretRef = Field(
        description="A Secret in the storage zone, put there by a writer that the chart allows: `key` (the file of"
        " `cloister keys generate`), with a webhook `webhook` (its secret, `whsec_...`), perhaps `authorization` (the"
        " header of that name, for OTLP) and `ca.crt` (whom to trust instead of the public authorities)."
    )
    records: Annotated[tuple[ExportedRecord, ...], Field(min_length=1, max_length=8)] = Field(
        (ExportedRecord.ALERT, ExportedRecord.REFUSAL), description="Types of records whose metadata sinks are told."
    )
    records_per_minute: Annotated[int, Field(ge=1, le=5000)] = Field(
        600,
        description="Of each writer and minute, so many of each kind (critical alerts, others, all else) are told. What"
        " is left out is counted, and stays in the journal.",
    )
    otlp: Otlp | None = Field(None, description="A collector of OpenTelemetry.")
    webhook: Webhook | None = Field(None, description="A webhook.")

    def sinks(self) -> dict[str, Sink]:
        """Those that are declared, by the names of their fields."""
        declared: dict[str, Sink | None] = {"otlp": self.otlp, "webhook": self.webhook}
        return {name: sink for name, sink in declared.items() if sink}

    def problems(self, field: str, recipients: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Field and message of each: the rules of CEL, and what CEL can't say."""
        if self.secret_ref.name.startswith(_OWN):
            yield f"{field}.secretRef.name", f"{self.secret_ref.name!r} {_OWN_SECRET}"
        if self.public_key in recipients:
            yield f"{field}.publicKey", ONE_HOLDER
        for name, sink in self.sinks().items():
            yield from sink.problems(f"{field}.{name}")


ONE_HOLDER = (
    "is also one of spec.audit.recipients, and a key has one holder: make the exporter a pair of its own by"
    " `cloister keys generate`"
)
