"""What render/ writes for the programs inside a pod, and what those programs read: paths, users, ports and models.

Containers of a pod share loopback, so everything but the model server's port and training's S3 endpoint is a unix
socket, in a volume that only the containers on both its ends mount.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

GATE_UID = 6101
AUDITOR_UID = 6102
FETCH_UID = 6103
STORE_UID = 6104
SOCKET_GID = 6100
"""Group of gate, auditor, fetch and store, by runAsGroup: sockets are 0660 for it, and the workload is not in it."""
VOLUME_GID = 6199
"""fsGroup, which Kubernetes gives to every container: it opens volumes that are mounted, and no socket."""

RUN = "/run/cloister"
AUDITOR_SOCKET = f"{RUN}/ingress/auditor.sock"
"""gate -> auditor: requests that the gate has admitted."""
JOURNAL_SOCKET = f"{RUN}/egress/journal.sock"
"""auditor -> gate -> interaction-logs."""
STORES_SOCKET = f"{RUN}/egress/stores.sock"
"""auditor -> gate -> training-data and checkpoints, in training pods."""
FETCH_SOCKET = f"{RUN}/fetch/fetch.sock"
"""fetch -> gate -> checkpoints, in inference pods, before the server starts."""
STORE_SOCKET = f"{RUN}/store/store.sock"
"""auditor -> rclone, in stores."""
ADMIN_SOCKET = f"{RUN}/admin/envoy.sock"
"""Envoy's admin interface; mounted into the gate alone: a model must not POST /quitquitquit."""

GATE_CONFIG_DIR = "/etc/cloister/gate"
LEAF_DIR = "/etc/cloister/leaf"
BUNDLE_DIR = "/etc/cloister/trust"
AUDITOR_CONFIG = "/etc/cloister/auditor/auditor.json"
KEYRING_DIR = "/etc/cloister/keyring"
JOURNAL_DIR = "/var/lib/cloister/journal"
DATA_DIR = "/var/lib/cloister/data"

S3_PORT = 9000
"""Training's S3 endpoint, on 127.0.0.1."""

HEADER_PREFIX = "x-cloister-"
"""Headers of this prefix are the gate's: it removes a caller's own, and no other program sets them."""
PEER_HEADER = f"{HEADER_PREFIX}peer"
"""SPIFFE ID of the machine that calls."""
API_HEADER = f"{HEADER_PREFIX}api"
"""Name of the approved API that the request belongs to."""
CLAIMS_HEADER = f"{HEADER_PREFIX}claims"
"""Every claim of the person's verified token: JSON, base64url."""
SUBJECT_HEADER = f"{HEADER_PREFIX}subject"
"""`sub` of the person's token. This and the following are absent where a machine speaks for itself."""
ROLES_HEADER = f"{HEADER_PREFIX}roles"
"""The claim with the roles: a JSON list, or one role as plain text. Absent where the claim's name is a URL (it is in
:data:`CLAIMS_HEADER`), as are country and device then."""
COUNTRY_HEADER = f"{HEADER_PREFIX}country"
"""The claim with the country."""
DEVICE_HEADER = f"{HEADER_PREFIX}device"
"""`true` on a managed device, by the token's claim."""
SESSION_HEADER = f"{HEADER_PREFIX}session"
"""`sid` of the person's token (OpenID Connect Front-Channel Logout 1.0, section 3)."""


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


class Auditor(_Model):
    """Configuration of the auditor, at :data:`AUDITOR_CONFIG`."""

    version: Literal[1] = 1
    deployment: str
    component: str
    identity: str
    """SPIFFE ID under which its segments are filed."""
    listen: str | None = None
    """Socket on which the gate hands over requests; None where nothing comes in (training)."""
    upstream: Upstream | None = None
    s3_listen: str | None = None
    """Where training's S3 endpoint is offered."""
    s3_upstream: str | None = None
    journal_dir: str = JOURNAL_DIR
    journal_upstream: str
    """Where sealed segments are PUT."""
    journal_path: str
    """Path below which they are PUT."""
    health_port: int
    metrics_port: int
    apis: tuple[ApiAllowed, ...] = ()
    max_body_bytes: int | None = None


class Fetch(_Model):
    """Configuration of the fetch container, as its one argument (JSON)."""

    socket: str = FETCH_SOCKET
    path: Annotated[str, Field(pattern="^/")]
    """Path of the object at the checkpoints store."""
    sha256: str
    target: str
    """File that it writes."""
