"""`status` as the CRD describes it. Conditions follow the Kubernetes API conventions and kstatus."""

from typing import Annotated

from pydantic import Field

from cloister.spec.fields import Model

Short = Annotated[str, Field(max_length=253)]
Message = Annotated[str, Field(max_length=32768)]
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


class Condition(Model):
    """One condition, as metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="Ready, Reconciling, Stalled, or a family.")
    status: Annotated[str, Field(max_length=7, pattern="^(True|False|Unknown)$")] = Field(
        description="What can't be proved is Unknown, never True."
    )
    reason: Annotated[str, Field(max_length=1024)] = Field(description="One word for programs.")
    message: Message = Field(description="For people: what is wrong, and the way out.")
    observed_generation: int = Field(0, description="The generation that it speaks of.")
    last_transition_time: Time = Field(description="When status last flipped.")


class ZoneStatus(Model):
    """One zone."""

    name: Short = Field(description="training, inference or storage.")
    namespace: Short = Field(description="Its namespace.")
    ready: bool = Field(description="Whether it exists, is ours, and denies by default.")


class EndpointStatus(Model):
    """One gate."""

    component: Short = Field(description="The component behind the gate.")
    address: Short = Field(description="ClusterIP and port.")
    identity: Message = Field(description="SPIFFE ID that the gate presents.")


class CertificateStatus(Model):
    """One certificate."""

    name: Short = Field(description="Name of the cert-manager Certificate.")
    namespace: Short = Field(description="Its namespace.")
    ready: bool = Field(description="Whether cert-manager has issued it.")
    not_after: Time | None = Field(None, description="When it ends.")
    renewal_time: Time | None = Field(None, description="When it is renewed.")


class ExceptionStatus(Model):
    """One exception in force."""

    control: Short = Field(description="The control.")
    expires: Short = Field(description="Its last day.")
    expired: bool = Field(description="Whether that day has passed.")
    reason: Message = Field(description="Why.")


class ControlStatus(Model):
    """One control of the catalogue."""

    id: Short = Field(description="ZT-nn.")
    status: Short = Field(description="True, False, Unknown or Excepted.")
    condition: Short = Field(description="The condition that reports it.")


class AlertStatus(Model):
    """Serious alerts of one kind, as the exporter has counted them."""

    component: Short = Field(description="Where they were raised.")
    code: Short = Field(description="Their code, or other.")
    count: int = Field(description="How many there have been.")


class DriftStatus(Model):
    """The last drift that was repaired."""

    object: Message = Field(description="Kind, namespace and name.")
    what: Message = Field(description="What had happened to it.")
    time: Time = Field(description="When it was repaired.")


class KeyringStatus(Model):
    """One store's keys; never a part of them."""

    store: Short = Field(description="The store.")
    secret: Short = Field(description="The Secret in the storage zone that holds its keyring.")
    current: int | None = Field(None, description="Version that new objects are written under; empty under a keyRef.")
    old: Annotated[tuple[int, ...], Field(max_length=8)] = Field(
        (), description="Versions that objects are being moved away from; each is destroyed when none is left."
    )
    created: Time | None = Field(None, description="When the current key was made.")


class PairStatus(Model):
    """What canaries have tried from one place to another."""

    source: Short = Field(description="For whom the canary stood that tried.")
    target: Short = Field(description="What it tried to reach.")
    passed: Message = Field("", description="Ports that must be reached and were.")
    blocked: Message = Field("", description="Ports that must not be reached and were not.")
    failed: Message = Field("", description="Ports at which it was the other way round.")


class ProofStatus(Model):
    """The last run of the canaries that all have answered."""

    run: Short = Field(description="Name of the run.")
    time: Time = Field(description="When it ended.")
    policies: Short = Field(description="Hash of the policies and flows that it was about.")
    request: Short = Field("", description="Value of the annotation cloister.dev/verify-requested that it answers.")
    proved: bool = Field(description="Whether the network lets through exactly the flow table.")
    failures: Annotated[tuple[Message, ...], Field(max_length=64)] = Field(
        (), description="Each as `from -> to:port: reached, must be blocked`, or the other way round."
    )
    pairs: Annotated[tuple[PairStatus, ...], Field(max_length=256)] = Field(
        (), description="Everything that was tried."
    )


class AttemptStatus(Model):
    """A later run that not all canaries have answered: it says nothing about the network."""

    run: Short = Field(description="Name of the run.")
    time: Time = Field(description="When it was given up.")
    policies: Short = Field(description="Hash of the policies and flows that it was about.")
    request: Short = Field("", description="Value of the annotation cloister.dev/verify-requested that asked for it.")
    message: Message = Field(description="What was in the way.")


class IsolationStatus(Model):
    """The live proof of isolation."""

    proof: ProofStatus | None = Field(None, description="The last run that all canaries have answered.")
    attempt: AttemptStatus | None = Field(None, description="A later one that they have not.")


class Status(Model):
    """What the operator has observed; written once a reconcile, and only on change."""

    observed_generation: int = Field(-1, description="The last generation that was handled; -1 before the first.")
    phase: Short = Field("Pending", description="One word: Pending, Progressing, Ready or Stalled.")
    message: Message = Field("", description="The first thing that is in the way.")
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = Field((), description="Ready, Reconciling, Stalled, and one for each family of controls.")
    zones: Annotated[tuple[ZoneStatus, ...], Field(max_length=3)] = Field((), description="The zones.")
    endpoints: Annotated[tuple[EndpointStatus, ...], Field(max_length=8)] = Field((), description="The gates.")
    certificates: Annotated[tuple[CertificateStatus, ...], Field(max_length=256)] = Field(
        (), description="Every certificate with its expiry."
    )
    exceptions: Annotated[tuple[ExceptionStatus, ...], Field(max_length=8)] = Field(
        (), description="Exceptions in force."
    )
    controls: Annotated[tuple[ControlStatus, ...], Field(max_length=64)] = Field((), description="Every control.")
    keyrings: Annotated[tuple[KeyringStatus, ...], Field(max_length=3)] = Field((), description="The stores' keys.")
    isolation: IsolationStatus | None = Field(None, description="The live proof of isolation.")
    alerts: Annotated[tuple[AlertStatus, ...], Field(max_length=128)] = Field(
        (), description="Serious alerts, where spec.audit.export is given."
    )
    last_drift: DriftStatus | None = Field(None, description="The last drift that was repaired.")
