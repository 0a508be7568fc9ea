"""A store over an object store of the user's: rclone's own remote, whose credentials this one container has.

What rclone needs to know of the remote is in its environment (rclone documentation, "Environment variables"). The
credentials are files, which a script exports when the container starts; when they change, the kubelet starts it anew.
"""

from cloister import sidecar
from cloister.render.meta import Object
from cloister.render.pods import mount
from cloister.spec import Backend, Provider
from cloister.zones import Component

CREDENTIALS = "backend"
"""The volume with the credentials; mounted into the store's container alone."""
_SUM = "/tmp/credentials.sum"  # noqa: S108 - a volume of its own; nothing can be read from a sum

START = r"""
umask 007
fail() { echo "$1" >&2; exit 1; }
for name in access_key_id secret_access_key session_token service_account_credentials key sas_url; do
  if [ -f "$CREDENTIALS/$name" ]; then
    export "RCLONE_CONFIG_BACKEND_$(echo "$name" | tr a-z A-Z)=$(cat "$CREDENTIALS/$name")"
  fi
done
if [ -f "$CREDENTIALS/ca.crt" ]; then export RCLONE_CA_CERT="$CREDENTIALS/ca.crt"; fi
cat "$CREDENTIALS"/* | sha256sum > "$SUM"
once() { rclone --retries 1 --low-level-retries 1 --contimeout 10s --timeout 60s "$@" 2>&1; }
unusable() { fail "the backend $ROOT can't be used: $(echo "$1" | tail -n 1)"; }
opens() {
  said=$(once cat "sealed-$1:$STORE/$MARK") || true
  case "$said" in "$STORE") ;; "" | *"not found"*) return 1 ;; *) unusable "$said" ;; esac
}
found=$(once lsjson --dirs-only "$ROOT") || unusable "$found"
for id in $(echo "$found" | sed -n 's/.*"Path":"\([0-9]\{1,\}\)".*/\1/p'); do
  grep -qxF "remote = $ROOT/$id" "$RCLONE_CONFIG" ||
    fail "objects lie in $ROOT under key $id, which the keyring does not have: restore it"
  opens "$id" ||
    fail "what lies in $ROOT under key $id was not written with this keyring: restore it, or name an empty prefix"
done
current=$(sed -n 's/^remote = sealed-\([0-9]*\)[-:].*/\1/p' "$RCLONE_CONFIG")
opens "$current" || said=$(echo "$STORE" | once rcat "sealed-$current:$STORE/$MARK") || unusable "$said"
rm -f $SOCKETS
exec rclone "$@"
"""
"""Never serves a part of what is there as if it were all: of every key that objects lie under, the keyring must open
the mark. The mark is also what makes the bucket there, since an object store has no empty directories."""


def root(backend: Backend) -> str:
    """Where the directories of the keys are, as rclone writes it."""
    return f"backend:{backend.bucket}/{backend.prefix or ''}".rstrip("/")


def volume(backend: Backend) -> Object:
    """The credentials."""
    return {"name": CREDENTIALS, "secret": {"secretName": backend.secret_ref.name, "defaultMode": 0o440}}


def mounted() -> Object:
    """Where they are mounted."""
    return mount(CREDENTIALS, sidecar.CREDENTIALS_DIR, read_only=True)


def environment(component: Component, backend: Backend) -> list[Object]:
    """What the script and rclone know of the remote."""
    remote = _REMOTES[backend.type](backend)
    script = {"STORE": str(component), "ROOT": root(backend), "MARK": sidecar.BACKEND_MARK}
    script |= {"CREDENTIALS": sidecar.CREDENTIALS_DIR, "SUM": _SUM}
    variables = script | {f"RCLONE_CONFIG_BACKEND_{name}": value for name, value in sorted(remote.items())}
    return [{"name": name, "value": value} for name, value in variables.items()]


def supervision() -> Object:
    """The container starts anew when the credentials are others than those that it has started with; and what the
    script says of a backend that can't be used stands in the pod's status."""
    return {
        "livenessProbe": {
            "exec": {"command": ["sh", "-c", 'cat "$CREDENTIALS"/* | sha256sum | cmp -s - "$SUM"']},
            "periodSeconds": 30,
            "failureThreshold": 2,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def dns() -> Object:
    """The cluster's DNS, and no search through its domains: an endpoint's name is whole."""
    return {"dnsPolicy": "ClusterFirst", "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}


def _s3(backend: Backend) -> dict[str, str]:
    found = {"TYPE": "s3", "PROVIDER": "Other" if backend.endpoint else "AWS", "NO_CHECK_BUCKET": "true"}
    found |= {"CHUNK_SIZE": "16Mi"}  # of what comes in parts of unknown number: up to 156 GiB
    found |= {"REGION": backend.region} if backend.region else {}
    return found | ({"ENDPOINT": backend.endpoint} if backend.endpoint else {})


def _gcs(backend: Backend) -> dict[str, str]:
    found = {"TYPE": "google cloud storage", "BUCKET_POLICY_ONLY": "true", "NO_CHECK_BUCKET": "true"}
    return found | ({"ENDPOINT": backend.endpoint} if backend.endpoint else {})


def _azure(backend: Backend) -> dict[str, str]:
    found = {"TYPE": "azureblob", "ACCOUNT": str(backend.account), "NO_CHECK_CONTAINER": "true"}
    return found | ({"ENDPOINT": backend.endpoint} if backend.endpoint else {})


_REMOTES = {Provider.S3: _s3, Provider.GCS: _gcs, Provider.AZURE: _azure}
