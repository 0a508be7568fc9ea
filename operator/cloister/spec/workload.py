"""`spec.inference` and `spec.training`: what the two compute zones run."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from cloister.spec.behaviour import Behaviour
from cloister.spec.fields import (
    AbsolutePath,
    CronSchedule,
    DnsLabel,
    DnsName,
    Duration,
    HttpPath,
    Image,
    InputVerdict,
    LabelKey,
    Labels,
    LabelValue,
    MaskKind,
    Method,
    Model,
    Prefix,
    ServiceAccount,
    Size,
    UserToken,
    Verdict,
    cel,
    rules,
)
from cloister.spec.identity import ConfigMapRef, DataKey
from cloister.spec.problems import refused_if
from cloister.spec.replies import Budgets, Canary, Dictionaries, OutputKind, Patterns, wrong_patterns
from cloister.spec.scheduling import Resources, Toleration
from cloister.spec.weights import WeightsModel
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT, HEALTH_PORT, METRICS_PORT

RESERVED_PORTS = (GATE_PORT, HEALTH_PORT, GATE_HEALTH_PORT, METRICS_PORT, GATE_METRICS_PORT, 9000)
MAX_BODY_BYTES = 2**26
"""A gate, which holds bodies until they are whole, has 384 MiB for all of them (render/gate/bootstrap.py)."""
MIN_UID = 10000
"""Below it lie the users of most images; gate and auditor have theirs there too (render/pods.py)."""

Arguments = Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=64)]


class EnvVar(Model):
    """One environment variable, always a literal: nothing is read from another object."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the variable."
    )
    value: Annotated[str, Field(max_length=4096)] = Field("", description="Its value.")


class SecretName(Model):
    """A Secret in the zone's own namespace."""

    name: DnsName = Field(description="Name of the Secret.")


class Scratch(Model):
    """An empty directory for caches, gone with the pod."""

    size: Size = Field(description="Its size limit.")
    path: AbsolutePath = Field("/scratch", description="Where it is mounted.")


class PodShape(Model):
    """What both compute zones may set about their pod. There are no free volumes: they would walk around the
    flow table."""

    image: Image = Field(description="Image by digest (`...@sha256:...`); a tag needs an exception for ZT-04.")
    command: Arguments = Field((), description="Replaces the image's entry point.")
    args: Arguments = Field((), description="Arguments.")
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = Field((), description="Literal variables.")
    resources: Resources = Field(default_factory=Resources, description="Requests and limits.")
    runtime_class_name: DnsName | None = Field(None, description="A sandboxed runtime, such as gvisor or kata.")
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict, description="Labels that the node must have."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field((), description="Tolerated taints.")
    image_pull_secrets: Annotated[tuple[SecretName, ...], Field(max_length=8)] = Field(
        (), description="Pull secrets in the zone's namespace, put there by a writer that the chart allows."
    )
    run_as_user: Annotated[int, Field(ge=MIN_UID, le=2**31 - 1)] = Field(
        MIN_UID, description="UID of the workload; never that of gate or auditor."
    )
    shared_memory: Size | None = Field(None, description="Size of /dev/shm, where the program needs more than 64Mi.")
    scratch: Scratch | None = Field(None, description="A cache directory.")

    def unschedulable(self, field: str) -> Iterator[tuple[str, str]]:
        """What no pod can ask for, by field."""
        yield from self.resources.problems(f"{field}.resources")
        for index, toleration in enumerate(self.tolerations):
            yield from toleration.problems(f"{field}.tolerations[{index}]")


class Api(Model):
    """One approved API of the model server: these methods on these paths, nothing else."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=6)] = Field(description="HTTP methods.")
    paths: Annotated[tuple[HttpPath, ...], Field(min_length=1, max_length=32)] = Field(
        description="Exact paths, compared after normalisation."
    )


class Client(Model):
    """A machine that may call the model. It gets a client certificate in its own namespace."""

    namespace: DnsLabel = Field(description="Namespace of the client.")
    service_account: ServiceAccount = Field(description="Its service account; part of its identity.")
    pod_selector: Labels = Field(default_factory=dict, description="Narrows the network policy to these pods.")
    users: UserToken = Field(
        UserToken.REQUIRED, description="Required: it speaks for people. NotRequired: it speaks for itself."
    )
    apis: Annotated[tuple[DnsLabel, ...], Field(max_length=16)] = Field(
        (),
        description="APIs it may call; empty, with users Required, leaves the choice to the rules for people.",
    )


class Limits(Model):
    """Bounds per caller."""

    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        60, description="Requests a minute and caller, on each replica."
    )
    max_body_bytes: Annotated[int, Field(ge=1, le=MAX_BODY_BYTES)] = Field(
        262144, description="Largest request body. Gate and auditor hold it in memory while it is looked at."
    )
    max_output_bytes: Annotated[int, Field(ge=1, le=2**28)] = Field(
        2**24, description="Largest reply. A longer one is refused, or cut where it is a stream that has begun."
    )
    concurrent: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        None, description="Requests under way at once, on each replica; left out, only their rate is bounded."
    )


class InjectionRulesRef(ConfigMapRef):
    """A ConfigMap of the user's with a set of rules."""

    key: DataKey = Field("rules.yaml", description="The key in its data that holds the set.")


class InjectionRules(Model):
    """A set of rules for prompt injection (docs/detection.md); a bad one is refused, and the last good one stays."""

    config_map_ref: InjectionRulesRef = Field(description="A ConfigMap that holds the set, as YAML or JSON.")


class Guard(Model):
    """What happens to suspicious prompts and replies."""

    prompt_injection: InputVerdict = Field(
        InputVerdict.BLOCK,
        description="Prompt injection and jailbreaks, in what people say and in what tools and documents bring.",
    )
    injection_threshold: Annotated[int, Field(ge=5, le=95)] = Field(
        50, description="How sure a finding must be, in per cent; at 50 one in a hundred ordinary texts is mistaken."
    )
    injection_rules: InjectionRules | None = Field(
        None, description="Rules of your own beside those that come with Cloister."
    )
    sensitive_output: Verdict = Field(
        Verdict.MASK,
        description="Sensitive values and repeated system prompts in replies. Mask puts asterisks in their place; Block"
        " refuses the reply, or ends its stream; Flag only records. Replies that can't be inspected are refused under"
        " Mask and Block.",
    )
    output_kinds: Annotated[tuple[OutputKind, ...], Field(max_length=16)] = Field(
        tuple(OutputKind), description="Kinds of values that are looked for; all of them if left out."
    )
    patterns: Patterns = Field(
        default_factory=dict,
        description="Values of your own, by a name of your own: expressions of RE2 whose matches have a bound of at"
        " most 256 characters. Where one has a group, the group is the value.",
    )
    dictionaries: Dictionaries = Field(
        default_factory=dict,
        description="Words and phrases that must not leave, by a name of your own; in any case, and with any space"
        " between.",
    )
    canaries: Annotated[tuple[Canary, ...], Field(max_length=8)] = Field(
        (),
        description="Strings that stand in system prompts and nowhere else: a reply that says one has leaked its own.",
    )
    extraction: InputVerdict = Field(
        InputVerdict.BLOCK,
        description="Systematic probing and model extraction: what goes beyond the budgets. Block answers 429.",
    )
    budgets: Budgets = Field(default_factory=Budgets, description="What each caller may have in 24 hours.")
    # "schema" would shadow a method of pydantic's BaseModel.
    request_schema: InputVerdict = Field(
        InputVerdict.BLOCK,
        alias="schema",
        description="Requests outside the schema of their API. JSON that can be read in two ways is always refused.",
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        return refused_if(self, wrong_patterns(self.patterns))


class Health(Model):
    """How the auditor learns that the model server is up."""

    path: HttpPath = Field("/health", description="Path on the model server's own port.")
    startup_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        1800, description="How long starting may take; big models load slowly."
    )


class Inference(PodShape):
    """The model server, behind its gate and its auditor."""

    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        8000,
        description="Where the server listens, on 127.0.0.1 only.",
        json_schema_extra=rules(
            cel(f"!(self in {list(RESERVED_PORTS)})", "port is taken by gate and auditor: choose another")
        ),
    )
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None, description="Pods; left out, an autoscaler decides (it starts with one)."
    )
    model: WeightsModel | None = Field(None, description="Weights from the checkpoints store.")
    apis: Annotated[dict[DnsLabel, Api], Field(min_length=1, max_length=16)] = Field(
        description="The approved APIs, by a name of your own."
    )
    clients: Annotated[tuple[Client, ...], Field(max_length=64)] = Field(
        (),
        description="Machines that may call, each named once.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["namespace", "serviceAccount"],
        },
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds per caller.")
    guard: Guard = Field(default_factory=Guard, description="Inspection of prompts and replies.")
    behaviour: Behaviour = Field(
        default_factory=Behaviour, description="What follows when callers behave unlike themselves."
    )
    health: Health = Field(default_factory=Health, description="Health of the model server.")


class Training(PodShape):
    """The training program. It has no network but the two stores."""

    schedule: CronSchedule | None = Field(
        None, description="Cron schedule, UTC; without it, one Job for each change of this block."
    )
    deadline: Duration | None = Field(
        None, description="How long a run may take, retries included; what takes longer is ended, and has failed."
    )
    suspend: bool = Field(False, description="Starts no new run.")
    reads: Annotated[tuple[Prefix, ...], Field(max_length=32)] = Field(
        (), description="Prefixes of the training data that it reads."
    )
    writes: Annotated[tuple[Prefix, ...], Field(max_length=32)] = Field(
        (), description="Prefixes of the checkpoints that it reads and writes."
    )
    mask: Annotated[tuple[MaskKind, ...], Field(max_length=16)] | None = Field(
        None,
        description="Kinds of values that training sees masked; all of them if left out. An empty list masks nothing,"
        " which data that is no text needs: a type that can't be masked is refused.",
    )
