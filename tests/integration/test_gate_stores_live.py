"""Two real gates, one dialling the other: what reaches a store, and what leaves a pod (ZT-02, ZT-12, ZT-15, ZT-23)."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from cloister import names, sidecar
from cloister.facts import Facts
from cloister.render.gate import gate_files
from cloister.zones import GATE_PORT, Component
from tests.gate.identities import Authority
from tests.gate.mounted import Mounted
from tests.gate.running import Gate, mounted_gate, running, until
from tests.gate.specs import deployment, example

CA = Authority()
DEPLOYMENT = deployment(example("support-bot"))
OWN_SEGMENTS = "/interaction-logs/support-bot-inference/inference/"
HERE = Facts(cluster_ips=dict.fromkeys(Component, "127.0.0.1"))


def spiffe(namespace: str, account: str) -> str:
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


def of(component: Component) -> str:
    return spiffe(names.namespace("support-bot", component.zone), str(component))


@dataclass
class Net:
    """The gates of a deployment, by component."""

    gates: dict[Component, Gate]

    def __getitem__(self, component: Component) -> Gate:
        return self.gates[component]


def prepare(component: Component, mounted: Mounted, stores: dict[Component, int], identity: str = "") -> None:
    leaf = CA.issue(identity or of(component))
    mounted.identify(leaf.chain, leaf.key)
    mounted.trust(CA.pem)
    dials = {f"gate-{store}": port for store, port in stores.items()}
    mounted.configure(gate_files(DEPLOYMENT, component, HERE), dials)


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    """Every gate of the example."""
    with ExitStack() as stack:
        found = {component: stack.enter_context(mounted_gate()) for component in Component}
        ports = {component: mounted.ports[GATE_PORT] for component, mounted in found.items()}
        gates = {}
        for component, mounted in found.items():
            prepare(component, mounted, {store: ports[store] for store in Component if store.is_store})
            gates[component] = stack.enter_context(running(mounted))
        yield Net(gates)


def client(gate: Gate, namespace: str, account: str) -> ssl.SSLContext:
    return gate.context(CA.issue(spiffe(namespace, account)), CA.pem)


class TestStores:
    """Who reaches which objects."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_reader_reads_below_its_prefix(self, net: Net, method: str) -> None:
        gate = net[Component.CHECKPOINTS]
        path = "/checkpoints/support-bot/run-1/model.gguf"
        assert gate.ask(client(gate, "release", "evaluator"), method, path, body=None).status == 200
        assert gate.auditor.last().path == path
        assert gate.auditor.last().headers[sidecar.PEER_HEADER] == spiffe("release", "evaluator")
        assert "if-none-match" not in gate.auditor.last().headers

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/checkpoints/support-bot/x"),
            ("DELETE", "/checkpoints/support-bot/x"),
            ("POST", "/checkpoints/support-bot/x"),
            ("PATCH", "/checkpoints/support-bot/x"),
            ("OPTIONS", "/checkpoints/support-bot/x"),
            ("GET", "/checkpoints/other/x"),
            ("GET", "/checkpoints/support-bot-2/x"),
            ("GET", "/checkpoints/support-bot"),
            ("GET", "/checkpoints/support-bot/"),
            ("GET", "/checkpoints/support-bot/x/"),
            ("GET", "/checkpoints/?acl"),
            ("GET", "/checkpoints?versions"),
            ("GET", "/checkpoints?list-type=2&policy"),
            ("GET", "/checkpoints?location"),
            ("POST", "/checkpoints?delete"),
            ("PUT", "/checkpoints"),
            ("DELETE", "/checkpoints"),
            ("GET", "/checkpoints/support-bot/x?uploadId=1"),
            ("GET", "/"),
            ("GET", "/training-data/corpora/support/x"),
            ("GET", "/checkpoints/support-bot/x?acl"),
            ("GET", "/checkpoints/support-bot/x?"),
            ("GET", "/checkpoints/support-bot/?list-type=2"),
            ("GET", "/checkpoints/support-bot/x?uploads"),
            ("GET", "/checkpoints/support-bot/x?versionId=1"),
            ("GET", "/checkpoints/support-bot/../other/x"),
            ("GET", "/checkpoints/support-bot/%2e%2e/other/x"),
            ("GET", "/checkpoints/support-bot/%2E%2E/other/x"),
            ("GET", "/checkpoints/support-bot/..%2fother/x"),
            ("GET", "/checkpoints/support-bot/..%5cother/x"),
            ("GET", "/checkpoints/support-bot/..\\other/x"),
            ("GET", "/checkpoints/support-bot/%252e%252e/other/x"),
            ("GET", "/checkpoints/support-bot//x"),
            ("GET", "//checkpoints/support-bot/x"),
            ("GET", "/checkpoints//support-bot/x"),
            ("GET", "/checkpoints/support-bot/%00"),
            ("GET", "/checkpoints/support-bot/x#y"),
            ("GET", "/CHECKPOINTS/support-bot/x"),
        ],
    )
    def test_and_nothing_else(self, net: Net, method: str, path: str) -> None:
        gate = net[Component.CHECKPOINTS]
        before = len(gate.auditor.seen)
        assert gate.ask(client(gate, "release", "evaluator"), method, path, body=None).status in {400, 403, 404}
        assert len(gate.auditor.seen) == before

    def test_a_writer_writes_and_does_not_read(self, net: Net) -> None:
        gate = net[Component.TRAINING_DATA]
        writer = client(gate, "etl", "ingest")
        path = "/training-data/corpora/support/a.jsonl"
        assert gate.ask(writer, "PUT", path, {"Authorization": "AWS4-HMAC-SHA256 x"}, b"data").status == 200
        assert gate.auditor.last().body == b"data"
        assert "authorization" not in gate.auditor.last().headers
        assert gate.ask(writer, "DELETE", path, body=None).status == 200
        assert gate.ask(writer, "GET", path, body=None).status == 403

    def test_queries_are_those_of_a_closed_list(self, net: Net) -> None:
        gate = net[Component.TRAINING_DATA]
        writer = client(gate, "etl", "ingest")
        path = "/training-data/corpora/support/a.jsonl"
        allowed = (
            ("POST", f"{path}?uploads"),
            ("PUT", f"{path}?uploadId=7&partNumber=1"),
            ("POST", f"{path}?uploadId=7"),
            ("DELETE", f"{path}?uploadId=7&x-id=AbortMultipartUpload"),
            ("GET", f"{path}?uploadId=7&max-parts=10"),
            ("POST", "/training-data?delete"),
            ("HEAD", "/training-data"),
        )
        for method, target in allowed:
            assert gate.ask(writer, method, target, body=None).status == 200, (method, target)
        refused = (
            ("POST", path),
            ("POST", f"{path}?restore"),
            ("POST", f"{path}?uploads&acl"),
            ("PUT", f"{path}?acl"),
            ("PUT", f"{path}?tagging"),
            ("GET", f"{path}?max-parts=10"),
            ("GET", f"{path}?uploadId=7&versionId=1"),
            ("GET", "/training-data?list-type=2&prefix=corpora/support/"),
            ("POST", "/training-data/other/a?uploads"),
            ("POST", "/training-data"),
        )
        for method, target in refused:
            assert gate.ask(writer, method, target, body=None).status == 403, (method, target)

    def test_copying_is_refused(self, net: Net) -> None:
        gate = net[Component.TRAINING_DATA]
        source = {"x-amz-copy-source": "/training-data/secret"}
        writer = client(gate, "etl", "ingest")
        assert gate.ask(writer, "PUT", "/training-data/corpora/a", source, b"").status == 403

    def test_large_objects_stream(self, net: Net) -> None:
        gate = net[Component.TRAINING_DATA]
        body = b"x" * (8 << 20)
        assert gate.ask(client(gate, "etl", "ingest"), "PUT", "/training-data/corpora/big", body=body).status == 200
        assert len(gate.auditor.last().body) == len(body)

    @pytest.mark.parametrize(("namespace", "account"), [("etl", "ingest"), ("web", "frontend"), ("etl", "other")])
    def test_a_machine_of_another_store_is_a_stranger(self, net: Net, namespace: str, account: str) -> None:
        gate = net[Component.CHECKPOINTS]
        with pytest.raises(OSError):  # noqa: PT011 (each of the ways in which a connection ends)
            gate.ask(client(gate, namespace, account), "GET", "/checkpoints/support-bot/x", body=None)

    def test_inference_reads_one_object(self, net: Net) -> None:
        gate = net[Component.CHECKPOINTS]
        inference = gate.context(CA.issue(of(Component.INFERENCE)), CA.pem)
        assert gate.ask(inference, "GET", "/checkpoints/support-bot/model.gguf", body=None).status == 200
        for path in ("/checkpoints/support-bot/model.gguf2", "/checkpoints/support-bot/model.gguf/x"):
            assert gate.ask(inference, "GET", path, body=None).status == 403

    def test_the_logs_are_read_by_their_readers_only(self, net: Net) -> None:
        gate = net[Component.INTERACTION_LOGS]
        path = OWN_SEGMENTS + "1.seg"
        reader = client(gate, "security", "auditor")
        assert gate.ask(reader, "GET", path, body=None).status == 200
        assert gate.ask(reader, "PUT", path, body=b"").status == 403
        assert gate.ask(reader, "GET", "/interaction-logs?list-type=2&prefix=support-bot", body=None).status == 200
        assert gate.ask(reader, "POST", "/interaction-logs?delete", body=b"").status == 403

    def test_an_auditor_only_adds_new_segments_of_its_own(self, net: Net) -> None:
        """Straight to the store's gate: it does not rely on the gate that it talks to."""
        gate = net[Component.INTERACTION_LOGS]
        inference = gate.context(CA.issue(of(Component.INFERENCE)), CA.pem)
        headers = {"If-None-Match": '"nothing"'}
        assert gate.ask(inference, "PUT", OWN_SEGMENTS + "1.seg", headers, b"s").status == 200
        assert gate.auditor.last().headers["if-none-match"] == "*"
        for method in ("GET", "HEAD", "DELETE"):
            assert gate.ask(inference, method, OWN_SEGMENTS + "1.seg", body=None).status == 403
        other = "/interaction-logs/support-bot-storage/checkpoints/1.seg"
        assert gate.ask(inference, "PUT", other, body=b"s").status == 403


class TestEgress:
    """What leaves a pod, over its gate's unix sockets and the store's gate."""

    @pytest.mark.parametrize(
        "component", [one for one in Component if one.audited and one is not Component.INTERACTION_LOGS]
    )
    def test_segments_arrive(self, net: Net, component: Component) -> None:
        path = f"/interaction-logs/{names.namespace('support-bot', component.zone)}/{component}/0001.seg"
        reply = net[component].over(sidecar.JOURNAL_SOCKET, "PUT", path, {"If-None-Match": '"x"'}, b"sealed")
        assert reply.status == 200, net[component].log()[-2000:]
        seen = net[Component.INTERACTION_LOGS].auditor.last()
        assert (seen.path, seen.body) == (path, b"sealed")
        assert seen.headers["if-none-match"] == "*"
        assert seen.headers[sidecar.PEER_HEADER] == of(component)
        assert seen.headers["host"] == "interaction-logs.support-bot-storage.svc"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/interaction-logs/support-bot-storage/checkpoints/1.seg"),
            ("PUT", "/interaction-logs/support-bot-inference/inference2/1.seg"),
            ("PUT", "/interaction-logs/support-bot-inference/inference/../../x"),
            ("PUT", OWN_SEGMENTS),
            ("PUT", OWN_SEGMENTS + "1?acl"),
            ("GET", OWN_SEGMENTS + "1"),
            ("DELETE", OWN_SEGMENTS + "1"),
            ("PUT", "/checkpoints/support-bot/model.gguf"),
            ("GET", "http://169.254.169.254/latest/meta-data"),
            ("CONNECT", "10.0.0.1:443"),
        ],
    )
    def test_nothing_else_leaves_by_the_journal(self, net: Net, method: str, path: str) -> None:
        before = {component: len(gate.auditor.seen) for component, gate in net.gates.items()}
        assert net[Component.INFERENCE].over(sidecar.JOURNAL_SOCKET, method, path).status in {400, 403, 404}
        assert before == {component: len(gate.auditor.seen) for component, gate in net.gates.items()}

    def test_the_weights_are_fetched(self, net: Net) -> None:
        gate = net[Component.INFERENCE]
        assert gate.over(sidecar.FETCH_SOCKET, target="/checkpoints/support-bot/model.gguf").status == 200
        assert net[Component.CHECKPOINTS].auditor.last().headers[sidecar.PEER_HEADER] == of(Component.INFERENCE)
        assert gate.over(sidecar.FETCH_SOCKET, target="/checkpoints/support-bot/other").status == 403
        assert gate.over(sidecar.FETCH_SOCKET, target="/training-data/corpora/support/x").status == 403

    def test_training_reads_its_data_and_writes_its_weights(self, net: Net) -> None:
        gate = net[Component.TRAINING]
        assert gate.over(sidecar.STORES_SOCKET, target="/training-data/corpora/support/a").status == 200
        assert net[Component.TRAINING_DATA].auditor.last().path == "/training-data/corpora/support/a"
        assert gate.over(sidecar.STORES_SOCKET, "PUT", "/checkpoints/support-bot/new", body=b"w").status == 200
        assert net[Component.CHECKPOINTS].auditor.last().body == b"w"
        for method, path in (
            ("PUT", "/training-data/corpora/support/a"),
            ("GET", "/training-data/corpora/sales/a"),
            ("GET", "/checkpoints/other/a"),
            ("PUT", "/interaction-logs/support-bot-training/training/a"),
        ):
            assert gate.over(sidecar.STORES_SOCKET, method, path).status == 403

    def test_sockets_are_closed_to_others(self, net: Net) -> None:
        mounted = net[Component.INFERENCE].mounted
        for socket in (sidecar.JOURNAL_SOCKET, sidecar.FETCH_SOCKET):
            assert mounted.stat(socket).st_mode & 0o777 == 0o660
        assert mounted.stat(sidecar.ADMIN_SOCKET).st_mode & 0o777 == 0o600
        assert not mounted.exists(sidecar.STORES_SOCKET), "a model server has no way to data"

    def test_training_lets_nobody_in(self, net: Net) -> None:
        gate = net[Component.TRAINING]
        with pytest.raises(ConnectionRefusedError):
            gate.ask(client(gate, "web", "frontend"))

    def test_an_identity_goes_no_further_than_its_own(self, net: Net) -> None:
        """spoofed headers on the way out are gone as well."""
        path = OWN_SEGMENTS + "2.seg"
        spoofed = {sidecar.PEER_HEADER: of(Component.CHECKPOINTS), "X-Envoy-Original-Path": "/x"}
        assert net[Component.INFERENCE].over(sidecar.JOURNAL_SOCKET, "PUT", path, spoofed, b"s").status == 200
        assert net[Component.INTERACTION_LOGS].auditor.last().headers[sidecar.PEER_HEADER] == of(Component.INFERENCE)


class TestTargets:
    """A gate talks to the one gate that it means."""

    def test_another_server_in_the_stores_place(self) -> None:
        """A sibling under the same CA, at the right address."""
        with ExitStack() as stack:
            impostor, own = (stack.enter_context(mounted_gate()) for _ in range(2))
            prepare(Component.INTERACTION_LOGS, impostor, {}, identity=of(Component.CHECKPOINTS))
            prepare(Component.INFERENCE, own, {Component.INTERACTION_LOGS: impostor.ports[GATE_PORT]})
            there = stack.enter_context(running(impostor))
            here = stack.enter_context(running(own))
            assert here.over(sidecar.JOURNAL_SOCKET, "PUT", OWN_SEGMENTS + "1", body=b"s").status == 503
            assert there.auditor.seen == []

    def test_addresses_come_later_and_sockets_stay(self) -> None:
        """No address: 503. Then a swap of the files, without restart. Then a restart over the old sockets."""
        with ExitStack() as stack:
            store, own = (stack.enter_context(mounted_gate()) for _ in range(2))
            prepare(Component.INTERACTION_LOGS, store, {})
            there = stack.enter_context(running(store))
            prepare(Component.INFERENCE, own, {})
            own.configure(gate_files(DEPLOYMENT, Component.INFERENCE, Facts()))
            dials = {"gate-interaction-logs": store.ports[GATE_PORT]}

            def put(gate: Gate, name: str) -> int:
                return gate.over(sidecar.JOURNAL_SOCKET, "PUT", OWN_SEGMENTS + name, body=b"s").status

            with running(own) as here:
                assert put(here, "1") == 503
                own.configure(gate_files(DEPLOYMENT, Component.INFERENCE, HERE), dials)
                until(lambda: put(here, "2") == 200, "the store's address")
                # The journal's listener changes in place, on a socket that is bound already.
                longer = gate_files(DEPLOYMENT, Component.INFERENCE, HERE)
                for listener in longer["listeners.json"]["resources"]:
                    listener["per_connection_buffer_limit_bytes"] = 65536
                own.configure(longer, dials)
                until(lambda: here.counter("envoy_listener_manager_listener_modified") > 0, "the changed listeners")
                until(lambda: put(here, "3") == 200, "the journal after the change")
            with running(own) as again:
                assert put(again, "4") == 200
            assert there.auditor.last().path == OWN_SEGMENTS + "4"
