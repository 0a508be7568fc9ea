"""`spec.storage`: three stores, each with its own volume, identity, policy and keys."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from cloister.spec.backend import Backend
from cloister.spec.fields import (
    DnsLabel,
    DnsName,
    Duration,
    Labels,
    Model,
    Prefix,
    ServiceAccount,
    Size,
    cel,
    rules,
)
from cloister.zones import STORES, Component

_LEAVES, _KEYRINGS = "cloister-", "keyring-"
"""How names of Cloister's own Secrets in the storage zone begin (cloister.names)."""
_OWN = "names a Secret of Cloister's own"
_ONE_PLACE = "either size, for a volume, or backend, for an object store"
_NO_MOVES = (
    "objects in an object store are not moved to a new key, since nothing there could keep a client's newer object from"
    " being replaced by its own copy: leave it out, or append keys to a keyring of your own (keyRef), for new objects"
)
_ONE_OF = "whoever fills keyRef also makes its new keys: leave one of the two out"

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


class KeyRef(Model):
    """A Secret in the storage zone with a keyring in its entry `keyring.json`."""

    name: DnsName = Field(
        description="Name of the Secret; not one of Cloister's own.",
        json_schema_extra=rules(cel(f"!self.startsWith('{_LEAVES}') && !self.startsWith('{_KEYRINGS}')", _OWN)),
    )


class Encryption(Model):
    """The keys under which a store keeps its objects."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!has(self.keyRef) || !has(self.rotateEvery)", f"keyRef and rotateEvery: {_ONE_OF}")
        )
    )

    key_ref: KeyRef | None = Field(None, description="A keyring that something else fills, and turns.")
    rotate_every: Duration | None = Field(None, description="How often a new key is made and objects re-encrypted.")


class Store(Model):
    """One store."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.storageClassName) == has(oldSelf.storageClassName)"
                " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "storageClassName can't change: the data would stay behind on the old volume",
            ),
            cel("has(self.size) != has(self.backend)", _ONE_PLACE),
            cel(
                "has(self.backend) == has(oldSelf.backend)",
                "a backend can't be added or removed: the data stays behind",
            ),
            cel(
                "!has(self.backend) || !has(self.encryption) || !has(self.encryption.rotateEvery)",
                f"rotateEvery: {_NO_MOVES}",
            ),
            cel(
                "(has(self.encryption) && has(self.encryption.keyRef))"
                " == (has(oldSelf.encryption) && has(oldSelf.encryption.keyRef))",
                "encryption.keyRef can't be added or removed: what is stored lies under the other keyring",
            ),
        )
    )

    # No rule against a smaller size than before: where the storage class can't expand, going back is the way out.
    size: Size | None = Field(
        None,
        description="Size of its volume. It may grow where the storage class allows it; a volume never shrinks.",
    )
    storage_class_name: DnsName | None = Field(None, description="Storage class; the cluster's default without it.")
    encryption: Encryption | None = Field(None, description="Its keys.")
    backend: Backend | None = Field(None, description="An existing object store, in place of the volume.")


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


FIELDS: Mapping[Component, str] = {
    Component.TRAINING_DATA: "trainingData",
    Component.CHECKPOINTS: "checkpoints",
    Component.INTERACTION_LOGS: "interactionLogs",
}
"""Store -> its field below `spec.storage`."""


class Storage(Model):
    """The storage zone."""

    training_data: TrainingData = Field(description="Data that models learn from.")
    checkpoints: Checkpoints = Field(description="Weights.")
    interaction_logs: InteractionLogs = Field(description="Sealed records of every prompt, reply and data query.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Field and message of each: the rules of CEL above, for a resource that was stored before they were."""
        for component, store in self.by_component().items():
            name = FIELDS[component]
            encryption, field = store.encryption, f"spec.storage.{name}.encryption"
            if encryption and encryption.key_ref:
                if encryption.key_ref.name.startswith((_LEAVES, _KEYRINGS)):
                    yield f"{field}.keyRef.name", f"{encryption.key_ref.name!r} {_OWN}: choose another name"
                if encryption.rotate_every:
                    yield f"{field}.rotateEvery", _ONE_OF
            yield from _place(store, f"spec.storage.{name}")

    def by_component(self) -> dict[Component, Store]:
        """The three declarations by their component."""
        return dict(zip(STORES, (self.training_data, self.checkpoints, self.interaction_logs), strict=True))


def _place(store: Store, field: str) -> Iterator[tuple[str, str]]:
    """Where its objects lie."""
    backend = store.backend
    if (store.size is None) is (backend is None):
        yield f"{field}.size", "is required: the size of its volume" if backend is None else _ONE_PLACE
    if backend is None:
        return
    yield from backend.problems(f"{field}.backend")
    if backend.secret_ref.name.startswith((_LEAVES, _KEYRINGS)):
        yield f"{field}.backend.secretRef.name", f"{backend.secret_ref.name!r} {_OWN}: choose another name"
    if store.encryption and store.encryption.rotate_every:
        yield f"{field}.encryption.rotateEvery", _NO_MOVES
    if store.storage_class_name and not isinstance(store, InteractionLogs):
        yield f"{field}.storageClassName", "there is no volume beside a backend: leave it out"
