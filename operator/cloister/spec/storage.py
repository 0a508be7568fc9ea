"""`spec.storage`: three stores, each with its own volume, identity, policy and keys."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from cloister.spec.fields import (
    DnsLabel,
    DnsName,
    Duration,
    Labels,
    Model,
    Prefix,
    Quantity,
    ServiceAccount,
    Word,
    cel,
    rules,
)
from cloister.zones import STORES, Component

StoreName = Literal["training-data", "checkpoints", "interaction-logs"]


class Principal(Model):
    """A machine outside the zones that may use a store. It gets a client certificate in its own namespace."""

    namespace: DnsLabel = Field(description="Namespace of the machine.")
    service_account: ServiceAccount = Field(description="Its service account; part of its identity.")
    pod_selector: Labels = Field(default_factory=dict, description="Narrows the network policy to these pods.")


class Writer(Principal):
    """May put and delete objects below its prefixes."""

    prefixes: Annotated[tuple[Prefix, ...], Field(min_length=1, max_length=32)] = Field(
        description="Key prefixes; there is no way to say all."
    )


class Reader(Principal):
    """May get objects below its prefixes."""

    prefixes: Annotated[tuple[Prefix, ...], Field(min_length=1, max_length=32)] = Field(
        description="Key prefixes; there is no way to say all."
    )
    raw: bool | None = Field(
        None,
        description="Whether it sees values unmasked. Without it, types that can't be masked, weights among them, are"
        " refused.",
    )


class LogReader(Principal):
    """May read the interaction logs: it sees sealed segments, and opens them with its own key."""


class SecretRef(Model):
    """A Secret in the storage zone."""

    name: DnsName = Field(description="Name of the Secret.")


class Encryption(Model):
    """The keys under which a store keeps its objects."""

    key_ref: SecretRef | None = Field(None, description="A keyring that something else fills.")
    rotate_every: Duration | None = Field(None, description="How often a new key is made and objects re-encrypted.")


class Backend(Model):
    """An existing object store instead of the volume."""

    remote: Word = Field(description="The rclone remote.")
    secret_ref: SecretRef | None = Field(None, description="Its credentials.")
    addresses: Annotated[tuple[Word, ...], Field(max_length=32)] = Field((), description="Where it is reached.")


class Store(Model):
    """One store."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.storageClassName) == has(oldSelf.storageClassName)"
                " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName can't change: the data would stay behind on the old volume",
            )
        )
    )

    size: Quantity = Field(
        description="Size of its volume; it may grow.",
        json_schema_extra=rules(
            cel(
                "quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
                "size can't shrink: Kubernetes can't shrink a volume",
            )
        ),
    )
    storage_class_name: DnsName | None = Field(None, description="Storage class; the cluster's default without it.")
    encryption: Encryption | None = Field(None, description="Its keys.")
    backend: Backend | None = Field(None, description="An existing object store.")


class TrainingData(Store):
    """What models learn from. Only training reads it, and only the prefixes it declares."""

    readers: Annotated[tuple[Reader, ...], Field(max_length=32)] = Field((), description="Other machines that read.")
    writers: Annotated[tuple[Writer, ...], Field(max_length=32)] = Field((), description="Machines that fill it.")


class Checkpoints(Store):
    """What training makes and inference serves."""

    readers: Annotated[tuple[Reader, ...], Field(max_length=32)] = Field((), description="Other machines that read.")
    writers: Annotated[tuple[Writer, ...], Field(max_length=32)] = Field((), description="Other machines that write.")


class InteractionLogs(Store):
    """The sealed journals of every auditor. Nothing in it is ever overwritten."""

    retention: Duration | None = Field(None, description="How long segments are kept.")
    readers: Annotated[tuple[LogReader, ...], Field(max_length=32)] = Field((), description="Auditors of the logs.")


class Storage(Model):
    """The storage zone."""

    training_data: TrainingData = Field(description="Data that models learn from.")
    checkpoints: Checkpoints = Field(description="Weights.")
    interaction_logs: InteractionLogs = Field(description="Sealed records of every prompt, reply and data query.")

    def by_component(self) -> dict[Component, Store]:
        """The three declarations by their component."""
        return dict(zip(STORES, (self.training_data, self.checkpoints, self.interaction_logs), strict=True))
