"""The LLMDeployment as a whole, and the rules that hold between its parts."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from cloister.spec.audit import Audit
from cloister.spec.fields import (
    ControlId,
    DeletionPolicy,
    Model,
    Role,
    UserToken,
    Word,
    cel,
    is_pinned,
    rules,
)
from cloister.spec.identity import Identity
from cloister.spec.metrics import Metrics
from cloister.spec.problems import refused_if
from cloister.spec.storage import FIELDS, Principal, Storage
from cloister.spec.workload import RESERVED_PORTS, Client, Inference, Training
from cloister.zones import PLACES, Component, Zone

MAX_NAME_LENGTH = 40
"""Leaves room in 63 characters for every suffix that Cloister adds to a deployment's name."""
MAX_GRANTED_PATHS = 512
"""What a gate's configuration, a ConfigMap of at most 1 MiB, has room for when every name is as long as it may be."""
EXCUSABLE = ("ZT-04", "ZT-06", "ZT-17", "ZT-24")
"""Controls for which an exception means something: tags for images, sign-in without a second factor, start without
the isolation proof, a storage class that is not known to encrypt."""

RESERVED_PATHS = ("/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var/lib/cloister", "/var/run")  # noqa: S108 - names only
"""Where a user's volume may not be mounted."""


_NO_PEOPLE = "groups that begin with system: are the cluster's own: name one of your identity provider"


class Access(Model):
    """People with kubectl. The role never includes exec, secrets or a change of anything."""

    group: Word = Field(
        description="Group of people, as the API server's authentication names it.",
        json_schema_extra=rules(cel("!self.startsWith('system:')", _NO_PEOPLE)),
    )
    zone: Zone = Field(description="The zone.")
    role: Role = Field(description="view: objects and events. logs: that, and container logs.")


def _day(value: object) -> object:
    """pydantic would take seconds since 1970, too; the API server's schema does not."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("a day is wanted, such as 2026-12-31")
    return dt.date.fromisoformat(value)


class ControlException(Model):
    """A control that is knowingly not kept, for a reason and until a day."""

    control: ControlId = Field(
        description="The control: " + ", ".join(EXCUSABLE) + ".",
        json_schema_extra=rules(cel(f"self in {list(EXCUSABLE)}", "no exception is possible for this control")),
    )
    reason: Annotated[str, Field(min_length=8, max_length=512)] = Field(description="Why, for the auditors.")
    expires: Annotated[dt.date, BeforeValidator(_day)] = Field(
        description="Last day it holds, UTC. Afterwards conditions say so; nothing that runs is stopped."
    )


_PINNED = (
    "{0}.image.matches('@sha256:[0-9a-f]{{64}}$')"
    " || (has(self.exceptions) && self.exceptions.exists(e, e.control == 'ZT-04'))"
)


# Not a rule of the field itself: that one would be asked only while the field is there, before and after.
_TRUST_DOMAIN = "(has({0}.identity) && has({0}.identity.trustDomain) ? {0}.identity.trustDomain : 'cluster.local')"


class Spec(Model):
    """What a platform engineer declares."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"{_TRUST_DOMAIN.format('self')} == {_TRUST_DOMAIN.format('oldSelf')}",
                "spec.identity.trustDomain can't change: every identity is made of it",
            ),
            cel(
                _PINNED.format("self.inference"),
                "spec.inference.image must end in @sha256:<digest>, or spec.exceptions must list ZT-04",
            ),
            cel(
                "!has(self.training) || " + _PINNED.format("self.training"),
                "spec.training.image must end in @sha256:<digest>, or spec.exceptions must list ZT-04",
            ),
            cel(
                "!has(self.identity) || !has(self.identity.users) || !has(self.identity.users.mfa)"
                " || !has(self.identity.users.mfa.required) || self.identity.users.mfa.required"
                " || (has(self.exceptions) && self.exceptions.exists(e, e.control == 'ZT-06'))",
                "spec.identity.users.mfa.required: false needs an exception for ZT-06",
            ),
            cel(
                "!has(self.inference.clients) || self.inference.clients.all(c, !has(c.apis)"
                " || c.apis.all(a, a in self.inference.apis))",
                "spec.inference.clients[].apis names an API that spec.inference.apis does not declare",
            ),
            cel(
                "!has(self.identity) || !has(self.identity.users) || !has(self.identity.users.rules)"
                " || self.identity.users.rules.all(r, r.apis.all(a, a in self.inference.apis))",
                "spec.identity.users.rules[].apis names an API that spec.inference.apis does not declare",
            ),
        )
    )

    identity: Identity = Field(default_factory=Identity, description="Machines by certificate, people by token.")
    inference: Inference = Field(description="The model server.")
    training: Training | None = Field(None, description="The training program; left out, the zone stays empty.")
    storage: Storage = Field(description="Three separate stores.")
    audit: Audit = Field(description="What is recorded, and for whom.")
    metrics: Metrics = Field(default_factory=Metrics, description="Counts for Prometheus.")
    access: Annotated[tuple[Access, ...], Field(max_length=32)] = Field((), description="People with kubectl.")
    exceptions: Annotated[tuple[ControlException, ...], Field(max_length=8)] = Field(
        (), description="Controls that are knowingly not kept."
    )
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.RETAIN,
        description="Retain: the storage zone outlives the resource. Delete: it goes too.",
    )
    adopt: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$", max_length=36)] | None = Field(
        None,
        description="UID of a deleted LLMDeployment of this name whose retained storage zone is taken back.",
    )

    def excused(self, control: str, on: dt.date | None = None) -> bool:
        """Whether an exception names the control, and holds on a day (UTC) where one is given.

        What is declared and what runs go by exceptions alone: one that expires makes no resource unusable and stops
        nothing. What is said of a control, and what is begun, goes by the day.
        """
        return any(one.control == control and (on is None or on <= one.expires) for one in self.exceptions)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        return refused_if(self, self._problems())

    def _problems(self) -> Iterator[tuple[str, str]]:
        """The same rules as in CEL above, for a resource that was stored before they were in force."""
        no_people = (number for number, access in enumerate(self.access) if access.group.startswith("system:"))
        yield from ((f"spec.access[{number}].group", _NO_PEOPLE) for number in no_people)
        for field, image in self._images():
            if not is_pinned(image) and not self.excused("ZT-04"):
                yield (
                    field,
                    f"{image!r} is not pinned: end it in @sha256:<digest>, or add an exception for ZT-04",
                )
        yield from self.storage.problems()
        yield from self.audit.problems()
        users = self.identity.users
        if users and not users.mfa.required and not self.excused("ZT-06"):
            yield "spec.identity.users.mfa.required", "false needs an exception for ZT-06"
        yield from self.identity.problems()
        if self.inference.port in RESERVED_PORTS:
            yield "spec.inference.port", f"{self.inference.port} is taken by gate and auditor: choose another"
        declared = set(self.inference.apis)
        for field, apis in self._api_references():
            for api in sorted(set(apis) - declared):
                yield field, f"{api!r} is not declared in spec.inference.apis ({', '.join(sorted(declared))})"
        for field, path in self._mount_paths():
            if any(path == reserved or path.startswith(f"{reserved}/") for reserved in RESERVED_PATHS):
                yield field, f"{path!r} is taken by the system or by Cloister: choose another directory"
        yield from self.inference.unschedulable("spec.inference")
        if self.training:
            yield from self.training.unschedulable("spec.training")
        scratch, model = self.inference.scratch, self.inference.model
        if scratch and model and f"{scratch.path}/".startswith(f"{model.mount_path}/"):
            yield (
                "spec.inference.scratch.path",
                f"{scratch.path!r} lies in spec.inference.model.mountPath, which is read-only",
            )
        for index, exception in enumerate(self.exceptions):
            if exception.control not in EXCUSABLE:
                field = f"spec.exceptions[{index}].control"
                yield field, f"{exception.control!r} allows none; only {', '.join(EXCUSABLE)}"
        yield from self._declared_twice()
        yield from self._too_many_paths()

    def _too_many_paths(self) -> Iterator[tuple[str, str]]:
        for field, count in self._granted_paths():
            if count > MAX_GRANTED_PATHS:
                yield (
                    field,
                    f"{count} paths are granted one by one, more than the {MAX_GRANTED_PATHS} that a gate holds",
                )

    def _granted_paths(self) -> Iterator[tuple[str, int]]:
        """How many paths each gate must tell apart, by machine and rule: the schema bounds only the factors."""
        paths = {name: len(api.paths) for name, api in self.inference.apis.items()}
        clients = (c.apis or (tuple(paths) if c.users is UserToken.REQUIRED else ()) for c in self.inference.clients)
        people = (rule.apis for rule in (self.identity.users.rules if self.identity.users else ()))
        yield "spec.inference.clients", sum(paths.get(api, 0) for apis in (*clients, *people) for api in apis)
        training = self.training
        for component, store, own in (
            (Component.TRAINING_DATA, self.storage.training_data, training.reads if training else ()),
            (Component.CHECKPOINTS, self.storage.checkpoints, training.writes if training else ()),
        ):
            count = sum(len(r.prefixes) for r in store.readers) + sum(len(w.prefixes) for w in store.writers)
            yield f"spec.storage.{FIELDS[component]}", count + len(own)

    def _declared_twice(self) -> Iterator[tuple[str, str]]:
        seen: dict[tuple[str, str], int] = {}
        for index, client in enumerate(self.inference.clients):
            first = seen.setdefault((client.namespace, client.service_account), index)
            if first != index:
                who = f"{client.namespace}/{client.service_account}"
                yield (
                    f"spec.inference.clients[{index}]",
                    f"{who} is declared twice: merge it with clients[{first}]",
                )

    def machines(self) -> Iterator[tuple[str, Client | Principal]]:
        """Every declared machine outside the zones, with the field that declares it."""
        storage = self.storage
        lists: tuple[tuple[str, tuple[Client | Principal, ...]], ...] = (
            ("inference.clients", self.inference.clients),
            ("storage.trainingData.readers", storage.training_data.readers),
            ("storage.trainingData.writers", storage.training_data.writers),
            ("storage.checkpoints.readers", storage.checkpoints.readers),
            ("storage.checkpoints.writers", storage.checkpoints.writers),
            ("storage.interactionLogs.readers", storage.interaction_logs.readers),
        )
        for field, declared in lists:
            for index, machine in enumerate(declared):
                yield f"spec.{field}[{index}]", machine

    def _images(self) -> Iterator[tuple[str, str]]:
        yield "spec.inference.image", self.inference.image
        if self.training:
            yield "spec.training.image", self.training.image

    def _mount_paths(self) -> Iterator[tuple[str, str]]:
        for block, shape in (("inference", self.inference), ("training", self.training)):
            if shape and shape.scratch:
                yield f"spec.{block}.scratch.path", shape.scratch.path
        if self.inference.model:
            yield "spec.inference.model.mountPath", self.inference.model.mount_path

    def _api_references(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for index, client in enumerate(self.inference.clients):
            yield f"spec.inference.clients[{index}].apis", client.apis
        for index, rule in enumerate(self.identity.users.rules if self.identity.users else ()):
            yield f"spec.identity.users.rules[{index}].apis", rule.apis


class LLMDeployment(Model):
    """A parsed resource: its identity in the cluster, and its spec."""

    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    uid: str
    generation: int
    spec: Spec

    @model_validator(mode="after")
    def _outside(self) -> Self:
        return refused_if(self, self._problems())

    def _problems(self) -> Iterator[tuple[str, str]]:
        # As cloister.names builds them; that module stands above this one.
        own = {f"{self.name}-{place}": place for place in PLACES}
        declared = [(field, machine.namespace) for field, machine in self.spec.machines()]
        declared += [(f"spec.metrics.scrapers[{i}]", one.namespace) for i, one in enumerate(self.spec.metrics.scrapers)]
        for field, namespace in declared:
            if place := own.get(namespace):
                message = f"{namespace!r} is this deployment's own, for {place}: no machine of yours runs there"
                yield f"{field}.namespace", message

    def speaks_for_people(self) -> bool:
        """Whether any client must present a person's token."""
        return any(client.users is UserToken.REQUIRED for client in self.spec.inference.clients)
