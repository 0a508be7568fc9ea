"""What render/ writes for the programs inside a pod, and what those programs read: paths, users, ports and models.

Containers of a pod share loopback, so everything but the model server's port and training's S3 endpoint is a unix
socket, in a volume that only the containers on both its ends mount.
"""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

GATE_UID = 6101
AUDITOR_UID = 6102
FETCH_UID = 6103
STORE_UID = 6104
CANARY_UID = 6105
EXPORTER_UID = 6106
TELLER_UID = 6107
SOCKET_GID = 6100
"""Group of gate, auditor, fetch, store and exporter, by runAsGroup: sockets are 0660 for it, no workload is in it."""
VOLUME_GID = 6199
"""fsGroup, which Kubernetes gives to every container: it opens volumes that are mounted, and no socket."""

RUN = "/run/cloister"
AUDITOR_SOCKET = f"{RUN}/ingress/auditor.sock"
"""gate -> auditor: requests that the gate has admitted."""
JOURNAL_SOCKET = f"{RUN}/egress/journal.sock"
"""auditor -> gate -> interaction-logs."""
DRAIN_SOCKET = f"{RUN}/egress/drain.sock"
"""auditor -> gate, in inference pods: POST /drain, when the pod ends."""
STORES_SOCKET = f"{RUN}/egress/stores.sock"
"""auditor -> gate -> training-data and checkpoints, in training pods."""
FETCH_SOCKET = f"{RUN}/fetch/fetch.sock"
"""fetch -> gate -> checkpoints, in inference pods, before the server starts."""
EXPORT_SOCKET = f"{RUN}/export/export.sock"
"""exporter -> gate -> interaction-logs."""
STORE_SOCKET = f"{RUN}/store/store.sock"
"""auditor -> rclone, in stores."""
ADMIN_SOCKET = f"{RUN}/admin/envoy.sock"
"""Envoy's admin interface; mounted into the gate alone: a model must not POST /quitquitquit."""

GATE_CONFIG_DIR = "/etc/cloister/gate"
LEAF_DIR = "/etc/cloister/leaf"
BUNDLE_DIR = "/etc/cloister/trust"
AUDITOR_CONFIG = "/etc/cloister/auditor/auditor.json"
KEYRING_DIR = "/etc/cloister/keyring"
MODEL_DIR = "/var/lib/cloister/model"
"""Where fetch writes the weights. Wherever the server wants them in its own image, nothing of fetch's lies there."""
UNSEAL_KEY = "/etc/cloister/unseal/key"
"""Secret key that opens the weights; mounted into fetch alone."""
REVOCATIONS = "/etc/cloister/revocations/revocations.json"
"""A :class:`Revocations`; the operator writes it, the auditor reads it again when it changes."""
INJECTION_RULES = "/etc/cloister/inspection/rules.yaml"
"""The user's rules for prompt injection; the operator writes it, the auditor reads it again when it changes."""
JOURNAL_DIR = "/var/lib/cloister/journal"
SCRATCH_DIR = "/var/lib/cloister/scratch"
"""Masked copies of whole objects, in stores; gone with the pod."""
SCRATCH_BYTES = 8 << 30
DATA_DIR = "/var/lib/cloister/data"
CREDENTIALS_DIR = "/etc/cloister/backend"
"""Credentials of a store's backend; mounted into rclone's container alone."""
BACKEND_MARK = ".rclone_temp_mark"
"""An object under each key in a backend, which tells whether a keyring opens what is there. `serve s3` lists no name
that begins so."""

S3_PORT = 9000
"""Training's S3 endpoint, on 127.0.0.1."""

HEADER_PREFIX = "x-cloister-"
"""Headers of this prefix are the gate's: it removes a caller's own, and no other program sets them."""
PEER_HEADER = f"{HEADER_PREFIX}peer"
"""SPIFFE ID of the machine that calls."""
API_HEADER = f"{HEADER_PREFIX}api"
"""Name of the approved API that the request belongs to."""
ADDRESS_HEADER = f"{HEADER_PREFIX}address"
"""The address from which a person came, as the machine that speaks for them tells it (X-Forwarded-For)."""
CLAIMS_HEADER = f"{HEADER_PREFIX}claims"
"""Every claim of the person's verified token: JSON, base64url without padding (the payload of RFC 7519). Absent where a
machine speaks for itself."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Upstream(_Model):
    """The program that the auditor stands before."""

    kind: Literal["http", "s3"]
    address: str
    """`127.0.0.1:<port>` or `unix:<path>`."""
    health_path: str = "/"


class ApiAllowed(_Model):
    """One approved API."""

    name: str
    methods: tuple[str, ...]
    paths: tuple[str, ...]


class Claims(_Model):
    """Where the token says what rules and records ask for: keys from the outermost to the innermost."""

    roles: tuple[str, ...] = ("roles",)
    country: tuple[str, ...] = ("country",)
    managed_device: tuple[str, ...] = ("managed_device",)
    device: tuple[str, ...] = ("device_id",)


class People(_Model):
    """What is asked of a person's sign-in again with every request."""

    claims: Claims = Claims()
    max_session_seconds: int | None = None
    """Longest time since `auth_time`. With it, a token without `auth_time` is refused."""
    acr_values: tuple[str, ...] = ()
    """Named in the step-up challenge (RFC 9470, section 3)."""
    revocations: str | None = None
    """Path of the list; None where the resource names none."""


class Revocations(_Model):
    """Who is no longer admitted, although the token is still valid."""

    subjects: tuple[str, ...] = ()
    """Values of `sub`: the person, whatever the token."""
    sessions: tuple[str, ...] = ()
    """Values of `sid` (OpenID Connect Front-Channel Logout 1.0, section 3)."""
    tokens: tuple[str, ...] = ()
    """Values of `jti` (RFC 7519, section 4.1.7)."""
    issued_before: dict[str, int] = {}
    """`sub` -> seconds since 1970: what was issued to this person earlier is void; `*` is everybody."""


class Limits(_Model):
    """Bounds at the model, per caller where they count something."""

    max_body_bytes: int = 1 << 18
    max_output_bytes: int = 1 << 24
    """Largest reply; a longer one is refused, or cut where it is a stream that has begun."""
    concurrent: int | None = None
    """Requests under way at once."""


class Read(_Model):
    """What a caller of a store may get, head and list."""

    prefixes: tuple[str, ...] = ()
    """Key prefixes, each ending in '/', or empty for the whole bucket."""
    objects: tuple[str, ...] = ()
    """Keys."""
    masked: tuple[str, ...] = ()
    """Kinds of values that it sees masked."""


class Access(_Model):
    """The rights of one machine in one bucket."""

    identity: str
    """SPIFFE ID."""
    reads: tuple[Read, ...] = ()
    writes: tuple[str, ...] = ()
    """Key prefixes below which it puts and deletes."""
    appends: tuple[str, ...] = ()
    """Key prefixes below which it puts what is not there yet, and nothing else."""


class Bucket(_Model):
    """A store as its callers see it. Who is not named has no rights."""

    name: str
    access: tuple[Access, ...] = ()


class Behaviour(_Model):
    """What follows when callers behave unlike themselves."""

    enforced: bool
    """Whether a score asks anything of a caller, or is only told."""
    flag: int
    step_up: int
    end: int
    """Points from which a level holds."""
    half_life_seconds: int
    travel_seconds: int
    """Within which nobody is in two countries."""
    directory: str = f"{JOURNAL_DIR}/behaviour"
    """Where what is known of callers outlives a restart."""


class Journal(_Model):
    """What is recorded, for whom, and where it goes."""

    directory: str = JOURNAL_DIR
    recipients: tuple[str, ...]
    """Public keys (cloister.sealing) of those who can open it."""
    content: Literal["None", "Hash", "Redacted", "Full"] = "Redacted"
    upstream: str
    """Where sealed segments are PUT: `unix:<path>`."""
    path: Annotated[str, Field(pattern="^/.*/$")]
    """Path below which they are PUT."""
    last_shipping_seconds: int = 20
    """How long the last segments may take to be shipped when the pod ends; what is left waits on its volume."""


class Output(_Model):
    """What is looked for in replies, and what is done about it."""

    action: Literal["Block", "Mask", "Flag"]
    kinds: tuple[str, ...]
    """Of values (cloister.inspection.sensitive.KINDS)."""
    patterns: dict[str, str] = {}
    """Name -> RE2."""
    dictionaries: dict[str, tuple[str, ...]] = {}
    """Name -> words and phrases."""
    canaries: tuple[str, ...] = ()
    """Strings that stand in system prompts and nowhere else."""


class Guard(_Model):
    """What is done about prompt injection."""

    prompt_injection: Literal["Block", "Flag", "Off"] = "Block"
    threshold: Annotated[int, Field(ge=5, le=95)] = 50
    """How sure a finding must be, in per cent."""
    rules: str | None = None
    """Path of the user's own set; None where the resource names none."""


class Budget(_Model):
    """What one caller may have in a day."""

    similar: int
    """Prompts that are like many before."""
    tokens: int
    logprobs: int
    """Answers with log probabilities, or beyond the first."""
    embeddings: int
    repetitions: int
    """Replies that repeat themselves."""


EXTRACTION_STATE = f"{JOURNAL_DIR}/extraction.json"
"""What callers have had, over restarts; beside the journal, whose volume is the only one that lasts."""


class Extraction(_Model):
    """Whether callers take the model away piece by piece, and what is done about it."""

    action: Literal["Block", "Flag"]
    people: Budget
    machines: Budget
    state: str = EXTRACTION_STATE


class Auditor(_Model):
    """Configuration of the auditor, at :data:`AUDITOR_CONFIG`."""

    version: Literal[1] = 1
    deployment: str
    component: str
    identity: str
    """SPIFFE ID of the pod: the origin of its journal."""
    listen: str | None = None
    """Socket on which the gate hands over requests; None where nothing comes in (training)."""
    upstream: Upstream | None = None
    s3_listen: str | None = None
    """`127.0.0.1:<port>`: where training's S3 endpoint is offered; its callers have the rights of the pod."""
    s3_upstream: str | None = None
    """Where its queries go: `unix:<path>`."""
    buckets: tuple[Bucket, ...] = ()
    """Rights at the store behind, or of training at the stores that it uses."""
    scratch_directory: str | None = None
    """Where whole objects lie while masked copies of them are made."""
    journal: Journal
    people: People = People()
    limits: Limits = Limits()
    behaviour: Behaviour | None = None
    """None: nobody looks."""
    request_schema: Literal["Block", "Flag", "Off"] = "Block"
    """What happens to a request outside its API's schema. JSON that can be read in two ways is always refused."""
    output: Output | None = None
    """None: replies are not looked into."""
    guard: Guard | None = None
    """None before stores, where nobody speaks to a model."""
    extraction: Extraction | None = None
    """None: nobody counts."""
    apis: tuple[ApiAllowed, ...] = ()
    health_port: int
    metrics_port: int

    @property
    def serves_s3(self) -> bool:
        """Whether what it stands before is a store, or several."""
        return bool(self.s3_listen or (self.upstream and self.upstream.kind == "s3"))


class Signed(_Model):
    """Who must have signed the object that is fetched."""

    path: Annotated[str, Field(pattern="^/")]
    """Path of the signature at the checkpoints store."""
    public_key: str
    """As in the resource; it tells the signature's form too."""


class Fetch(_Model):
    """Configuration of the fetch container, as its one argument (JSON)."""

    socket: str = FETCH_SOCKET
    path: Annotated[str, Field(pattern="^/")]
    """Path of the object at the checkpoints store."""
    sha256: str
    """Of the object as it is stored."""
    target: str
    """File that it writes."""
    size: Annotated[int, Field(ge=0)]
    """Bytes that it may write at most: the volume's size limit."""
    signed: Signed | None = None
    """None: no signature is asked for."""
    unseal_key: str | None = None
    """File with the key that opens the object; None: it is not sealed."""


CONTROL_SOCKET = f"{RUN}/control/rclone.sock"
"""keeper -> rclone's remote control, in stores; mounted into these two alone, since it can do everything."""
KEYS_DIR = f"{RUN}/keys"
"""In memory: rclone's configuration, which the keeper makes of the keyring."""
RCLONE_CONF = f"{KEYS_DIR}/rclone.conf"


class Keeper(_Model):
    """Configuration of a store's keeper, as its one argument (JSON)."""

    store: str
    keyring: str = f"{KEYRING_DIR}/keyring.json"
    data: str = DATA_DIR
    backend: str | None = None
    """Where the keys' directories are instead, as rclone writes it."""
    keys: str = KEYS_DIR
    control: str = CONTROL_SOCKET
    termination_log: str = "/dev/termination-log"
    retention_seconds: int | None = None
    """Objects are removed this long after they were written; None: never."""


class KeeperReport(_Model):
    """The keeper's termination message: an old key under which nothing lies any more."""

    store: str
    current: int
    """The key under which everything lies."""
    emptied: tuple[int, ...]
    """Keys of the keyring under which nothing lies, and nothing is written."""


EXPORT_DIR = "/etc/cloister/export"
"""The Secret that spec.audit.export.secretRef names; mounted into the exporter alone."""
EXPORT_STATE = "/var/lib/cloister/exporter"
"""How far it has come, over restarts."""
EXPORT_SCRATCH = "/var/lib/cloister/segments"
"""Segments while they are read; sealed, as they came."""
TOLD_DIR = "/var/lib/cloister/told"
"""exporter -> teller: counts of serious alerts."""


SinkName = Literal["otlp", "webhook"]


class Sink(_Model):
    """Where records are posted."""

    url: str
    addresses: tuple[str, ...]
    """It is dialled there and nowhere else: there is no DNS."""


REPORT = "report.json"
"""An :class:`AlertReport` in :data:`TOLD_DIR`."""
OTHER_CODE: Literal["other"] = "other"
SeriousCode = Literal[
    "behaviour.end",
    "export.state-lost",
    "journal.begun-anew",
    "journal.damaged",
    "journal.link",
    "journal.malformed",
    "journal.misplaced",
    "journal.order",
    "journal.signer",
    "journal.too-large",
    "journal.too-many-streams",
    "journal.unreadable",
    "other",
]
SERIOUS_CODES: tuple[SeriousCode, ...] = get_args(SeriousCode)
"""Of alerts that the operator tells of. Any other one is counted as the last."""
ReportedComponent = Literal["inference", "training", "training-data", "checkpoints", "interaction-logs", "exporter"]


class AlertReport(_Model):
    """The teller's termination message: how many serious alerts there have been, by component and code. It has room for
    nothing else."""

    version: Literal[1] = 1
    totals: dict[ReportedComponent, dict[SeriousCode, Annotated[int, Field(ge=0, le=2**53, strict=True)]]]


ExportReason = Literal[
    "AuthorityUnusable",
    "AuthorizationUnusable",
    "ExportKeyMissing",
    "ExportKeyUnusable",
    "ExportKeyWrong",
    "SecretUnreadable",
    "WebhookSecretUnusable",
]


class ExporterEnding(_Model):
    """The exporter's termination message, where its Secret can't be used."""

    reason: ExportReason


class Exporter(_Model):
    """Configuration of the exporter, as its one argument (JSON)."""

    deployment: str
    public_key: str
    """Of spec.audit.export: what opens the journal must be its private half."""
    bucket: str
    writers: dict[str, str]
    """Component -> prefix in the bucket below which its auditors put their segments."""
    upstream: str = f"unix:{EXPORT_SOCKET}"
    records: tuple[str, ...]
    """Types of records that sinks are told of."""
    per_minute: int
    sinks: dict[SinkName, Sink]
    secrets: str = EXPORT_DIR
    state: str = EXPORT_STATE
    scratch: str = EXPORT_SCRATCH
    told: str = TOLD_DIR
    termination_log: str = "/dev/termination-log"
    health_port: int
    metrics_port: int
    look_seconds: float = 30.0
    """How often it looks for new segments; each look is a query that the store records."""


class Teller(_Model):
    """Configuration of the teller, as its one argument (JSON)."""

    told: str = TOLD_DIR
    termination_log: str = "/dev/termination-log"
    least_seconds: float = 60.0
    """How long it runs at least, so that whoever looks now and then sees every message."""
