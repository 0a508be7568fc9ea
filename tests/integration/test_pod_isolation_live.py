"""The rendered pod with its own users, groups, mounts and network: what a model server that has been taken over can
reach (ZT-02, ZT-04, ZT-21). Everything is as rendered, down to paths and ports."""

import json
import ssl
from collections.abc import Iterator

import pytest

from cloister import sidecar
from cloister.facts import Facts, Settings
from cloister.render.workloads import inference
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT, HEALTH_PORT, METRICS_PORT, Component
from tests.auditor.running import prompt
from tests.gate import forger
from tests.gate.inhabited import Inhabited, asked, mounted
from tests.gate.model import CHAT, FRONTEND, NIGHTLY, OUR_CA, OWN, PROVIDER, model
from tests.gate.pod import pod, unable
from tests.gate.specs import deployment

pytestmark = pytest.mark.skipif(unable() is not None, reason=unable() or "")

BY_MODE = (sidecar.ADMIN_SOCKET, sidecar.AUDITOR_SOCKET)
BY_MOUNT = (sidecar.JOURNAL_SOCKET, sidecar.DRAIN_SOCKET, sidecar.FETCH_SOCKET)
SOCKETS = BY_MODE + BY_MOUNT
FORGED = {
    sidecar.PEER_HEADER: FRONTEND,
    sidecar.API_HEADER: "chat",
    sidecar.CLAIMS_HEADER: "eyJzdWIiOiJhZGEifQ",
    "x-forwarded-client-cert": f"URI={FRONTEND}",
}


@pytest.fixture(scope="module")
def running() -> Iterator[Inhabited]:
    spec = model()
    spec["inference"]["model"]["mountPath"] = "/var/lib/models"
    spec["inference"]["scratch"]["path"] = "/var/lib/scratch"
    parsed, facts = deployment(spec), Facts(jwks=PROVIDER.jwks())
    (template,) = [one["spec"]["template"] for one in inference(parsed, facts, Settings())]
    files = mounted(parsed, Component.INFERENCE, facts, OWN)
    files["revocations"] = {"revocations.json": sidecar.Revocations().model_dump_json()}
    with pod(template, files) as made:
        found = Inhabited(made, "server", SOCKETS, FORGED)
        found.work(forger.__file__, str(8000), "/tmp/seen.jsonl", name="server")
        found.wait("server", HEALTH_PORT, "/workload")
        yield found


@pytest.fixture(scope="module")
def nightly(running: Inhabited, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=OUR_CA.pem)
    certificate, key = OUR_CA.issue(NIGHTLY).write(tmp_path_factory.mktemp("client"))
    context.load_cert_chain(certificate, key)
    return context


def test_the_pod_works_under_its_own_users(running: Inhabited, nightly: ssl.SSLContext) -> None:
    """Otherwise every refusal below would mean nothing."""
    status, _, body = running.ask(GATE_PORT, "POST", CHAT, prompt(), context=nightly)
    assert (status, json.loads(body)["choices"]) == (200, forger.ANSWER["choices"])
    for name, uid in (("gate", sidecar.GATE_UID), ("auditor", sidecar.AUDITOR_UID)):
        (program,) = running.started[name].children()
        assert program.uids() == (uid, uid, uid), name
        assert program.gids() == (sidecar.SOCKET_GID,) * 3, name


def test_each_program_has_its_own_uid_and_the_server_none_of_their_volumes(running: Inhabited) -> None:
    spec = running.pod.spec
    containers = {one["name"]: one for one in [*spec["initContainers"], *spec["containers"]]}
    users = {name: one["securityContext"]["runAsUser"] for name, one in containers.items()}
    assert len(set(users.values())) == len(users)
    ours = {"gate-config", "auditor-config", "leaf", "trust", "journal", "revocations"}
    mounts = {name: {mount["name"] for mount in one["volumeMounts"]} for name, one in containers.items()}
    assert not [name for name in mounts["server"] if name.startswith("run-") or name in ours]
    for alone in ("run-admin", "leaf"):
        assert [name for name in mounts if alone in mounts[name]] == ["gate"]
    assert not spec.get("shareProcessNamespace")
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def test_the_model_meets_no_socket(running: Inhabited) -> None:
    found = running.intrude(directories=["/run", "/etc", "/var/lib"])
    user = running.pod.container("server")["securityContext"]["runAsUser"]
    assert found["who"] == [user, user, [sidecar.VOLUME_GID]]
    assert set(found["sockets"].values()) == {"FileNotFoundError"}
    assert found["listed"] == {"/run": [], "/etc": [], "/var/lib": ["models", "scratch"]}
    assert found["abstract"] == []


def test_two_of_the_sockets_would_refuse_the_model_even_where_it_saw_them(running: Inhabited) -> None:
    """The auditor gives its socket to the sockets' group, and Envoy its admin interface to nobody. Envoy can't give a
    socket to another group than its volume's, which is every container's: the others are closed by the mount alone."""
    gate = running.pod.container("gate")
    volumes = [one for one in gate["volumeMounts"] if one["name"].startswith("run-")]
    assert {one["mountPath"] for one in volumes} == {socket.rsplit("/", 1)[0] for socket in SOCKETS}
    found = running.intrude(None, *volumes)["sockets"]
    assert found == dict.fromkeys(BY_MODE, "PermissionError") | dict.fromkeys(BY_MOUNT, "connected")


@pytest.mark.parametrize("name", ["gate", "auditor", "fetch"])
def test_the_programs_of_the_pod_meet_their_own(running: Inhabited, name: str) -> None:
    """The same attempt as a member of the sockets' group, by the volumes of each."""
    container = running.pod.container(name)
    mounted = [one["mountPath"] for one in container["volumeMounts"]]
    own = {socket for socket in SOCKETS if socket.rsplit("/", 1)[0] in mounted}
    assert own
    found = running.intrude(container | {"volumeMounts": []}, *container["volumeMounts"])
    assert {socket for socket, result in found["sockets"].items() if result == "connected"} == own


def test_loopback_has_nothing_for_the_model(running: Inhabited) -> None:
    found = running.intrude(scan=True, tls=[GATE_PORT])
    offered = {GATE_PORT, GATE_HEALTH_PORT, GATE_METRICS_PORT, HEALTH_PORT, METRICS_PORT}
    assert set(found["ports"]) == offered | {8000}
    (refused,) = found["tls"]
    assert refused in ("SSLError", "SSLEOFError", "ConnectionResetError"), "no answer to who has no certificate"


def test_what_loopback_offers_takes_nothing_and_tells_nothing(running: Inhabited, nightly: ssl.SSLContext) -> None:
    assert running.ask(GATE_PORT, "POST", CHAT, prompt(text="a secret question"), context=nightly)[0] == 200
    writes = [
        [port, method, path]
        for port in (HEALTH_PORT, METRICS_PORT, GATE_HEALTH_PORT, GATE_METRICS_PORT)
        for method in ("POST", "PUT", "DELETE", "PATCH")
        for path in ("/", "/metrics", CHAT, "/quitquitquit", "/drain_listeners", "/runtime_modify?a=b")
    ]
    assert {status for status in asked(running.intrude(requests=writes)) if isinstance(status, int)} <= {403, 404, 405}
    admin = [
        [port, "GET", path]
        for port in (HEALTH_PORT, METRICS_PORT, GATE_HEALTH_PORT, GATE_METRICS_PORT)
        for path in (
            "/config_dump",
            "/certs",
            "/clusters",
            "/logging",
            "/stats",
            "/server_info",
            "/../config_dump",
            CHAT,
        )
    ]
    assert {status for status in asked(running.intrude(requests=admin)) if isinstance(status, int)} <= {400, 403, 404}
    reads = [
        [HEALTH_PORT, "GET", "/healthz"],
        [HEALTH_PORT, "GET", "/readyz"],
        [HEALTH_PORT, "GET", "/workload"],
        [METRICS_PORT, "GET", "/metrics"],
        [GATE_HEALTH_PORT, "GET", "/ready"],
        [GATE_METRICS_PORT, "GET", "/metrics"],
    ]
    found = running.intrude(requests=reads)
    assert set(asked(found)) == {200}
    for *_, (_, body) in found["asked"]:
        for secret in ("secret question", "PRIVATE", "BEGIN", "Bearer", NIGHTLY, FRONTEND, '"keys"'):
            assert secret not in body


def test_the_models_headers_forge_no_identity_in_a_reply(running: Inhabited, nightly: ssl.SSLContext) -> None:
    status, headers, _ = running.ask(GATE_PORT, "POST", CHAT, prompt(), context=nightly)
    assert status == 200
    assert not [name for name in headers if name.startswith((sidecar.HEADER_PREFIX, "x-envoy-", "x-accel-"))]
    assert not headers.keys() & {"set-cookie", "location", "alt-svc", "server"}
    assert headers.get("x-ratelimit-remaining") != "1000000"


def test_the_models_requests_forge_no_identity(running: Inhabited, nightly: ssl.SSLContext) -> None:
    """Whatever it says of itself in plain text, to any port of the pod."""
    running.ask(GATE_PORT, "POST", CHAT, prompt(), context=nightly)
    seen = running.pod.volume("tmp") / "seen.jsonl"
    before = seen.read_text()
    ports = (GATE_PORT, GATE_HEALTH_PORT, GATE_METRICS_PORT, HEALTH_PORT, METRICS_PORT)
    found = running.intrude(requests=[[port, "POST", CHAT] for port in ports])
    assert all(status not in range(200, 400) for status in asked(found))
    assert seen.read_text() == before, "nothing came back to the model by way of the auditor"


def test_the_model_saw_no_identity_and_no_credential(running: Inhabited, nightly: ssl.SSLContext) -> None:
    running.ask(GATE_PORT, "POST", CHAT, prompt(), {"Authorization": "Bearer a.b.c"}, context=nightly)
    lines = (running.pod.volume("tmp") / "seen.jsonl").read_text().splitlines()
    _, path, headers, _ = json.loads(lines[-1])
    assert path == CHAT
    names = {name.lower() for name, _ in headers}
    assert not [name for name in names if name.startswith(sidecar.HEADER_PREFIX)]
    assert not names & {"authorization", "cookie"}
