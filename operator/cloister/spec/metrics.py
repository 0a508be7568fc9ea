"""`spec.metrics`: who may read the counts of gates and auditors."""

from typing import Annotated

from pydantic import Field

from cloister.spec.fields import DnsLabel, Labels, Model


class Scraper(Model):
    """A Prometheus. It shows no certificate, so the network policy alone says who it is; counts name nobody."""

    namespace: DnsLabel = Field(description="Namespace of its pods.")
    pod_selector: Labels = Field(
        default_factory=dict, description="Labels of its pods; empty, every pod of the namespace may read the counts."
    )


class Metrics(Model):
    """Counts of every gate and auditor, in Prometheus' text format."""

    scrapers: Annotated[tuple[Scraper, ...], Field(max_length=8)] = Field(
        (), description="Who may read them, at ports 9090 (auditor) and 9091 (gate) of every pod: nobody if left out."
    )
