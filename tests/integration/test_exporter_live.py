"""The exporter from end to end: real journals in a real store behind real gates, told to real HTTPS servers."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from cloister import sidecar
from cloister.jobs.unixhttp import UnixConnection
from cloister.journal import JournalWriter, encode, object_name, sealed_segments, timestamp
from cloister.sealing import Kind, generate, parse_public
from cloister.zones import STORES, Component
from tests.export.running import Exporter
from tests.export.sink import Sink, serving
from tests.gate.identities import Authority
from tests.gate.specs import deployment, example
from tests.monitored import assert_there_before, assert_told, used
from tests.store.chain import KEY, Chain, of, running_chain, spiffe
from tests.store.running import until as soon

LOGS, INFERENCE = Component.INTERACTION_LOGS, Component.INFERENCE
OWN = generate(Kind.X25519)
SECRET = base64.b64encode(bytes(range(32))).decode()
CONTENT = "the most secret prompt of all"
PKI = Authority("public CA")


def until(condition: Callable[[], bool], what: str) -> None:
    """As long as it takes: every step here is a look of the exporter's away, and a process starts slowly at times."""
    soon(condition, what, 180)


def spec() -> dict[str, Any]:
    """The example, with an export to both kinds of sink."""
    found = example("support-bot")
    place = {"addresses": ["203.0.113.7"]}
    found["audit"] |= {
        "export": {
            "publicKey": str(OWN.public),
            "secretRef": {"name": "export-keys"},
            "recordsPerMinute": 20,
            "otlp": {"url": "https://collector.example.com/v1/logs", **place},
            "webhook": {"url": "https://hooks.example.com/take", **place},
        }
    }
    return found


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """All of it."""
    with running_chain(deployment(spec())) as found:
        yield found


class Writer:
    """A journal of the model server's auditor, whose segments are put as auditors put them."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        self._client = chain.client(LOGS, of(INFERENCE))
        recipients = [KEY.public, parse_public(str(OWN.public))]
        self._journal = JournalWriter(folder, identity=of(INFERENCE), recipients=recipients, max_age_s=0)
        self._folder = folder
        self.count = 0

    def write(self, *records: dict[str, Any]) -> Path:
        """One segment with these records; not put yet."""
        lines = [encode({"time": timestamp(1_700_000_000 + self.count), **record}) for record in records]
        self._journal.append(lines)
        self._journal.tick()
        self.count += 1
        return sealed_segments(self._folder)[-1]

    def put(self, path: Path, body: bytes | None = None) -> None:
        """Ship one."""
        body = path.read_bytes() if body is None else body
        key = f"support-bot-inference/inference/{object_name(path, body)}"
        self._client.put_object(Bucket=LOGS, Key=key, Body=body)

    def ship(self, *records: dict[str, Any]) -> str:
        """Write and put; which segment that is, `<stream>/<number>.<digest>.cja`."""
        path = self.write(*records)
        self.put(path)
        return object_name(path, path.read_bytes())


def alert(code: str = "behaviour.end", severity: str = "critical", **more: Any) -> dict[str, Any]:
    """An alert as an auditor records it."""
    return {"type": "alert", "code": code, "severity": severity, "message": "Unusual", "user.id": "alice"} | more


@pytest.fixture
def world(chain: Chain, tmp_path: Path) -> Iterator[tuple[Exporter, Sink, Sink, Writer]]:
    """An exporter that has begun, its two sinks, and somebody who writes."""
    with ExitStack() as stack:
        sinks = {
            name: stack.enter_context(serving(PKI, host, tmp_path / "pki"))
            for name, host in (("otlp", "collector.example.com"), ("webhook", "hooks.example.com"))
        }
        upstream = chain.mounted[Component.EXPORTER].path(sidecar.EXPORT_SOCKET)
        exporter = Exporter(chain.deployment, tmp_path / "exporter", upstream, sinks)
        exporter.give(key=OWN.text, webhook=f"whsec_{SECRET}\n", authorization="Bearer let-me-in\n", ca_crt=PKI.pem)
        stack.callback(lambda: exporter.process and exporter.end())
        writer = Writer(chain, tmp_path / "journal")
        writer.ship({"type": "stop"})  # so that it is known from the start, as that of a pod that runs is
        exporter.start()
        kept = [tmp_path / f"exporter/state/{name}.json" for name in (*sinks, "events")]
        until(lambda: exporter.runs() and all(path.exists() for path in kept), "the first look of every pipeline")
        yield exporter, sinks["otlp"], sinks["webhook"], writer


def logs(sink: Sink) -> list[dict[str, Any]]:
    """Log records that a collector was sent; values of attributes as they are in JSON."""
    found = []
    for _, _, body in sink.received:
        for resource in json.loads(body)["resourceLogs"]:
            component = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
            for scope in resource["scopeLogs"]:
                for record in scope["logRecords"]:
                    attributes = {one["key"]: one["value"] for one in record["attributes"]}
                    found.append(
                        record | {"attributes": attributes, "component": component["service.name"]["stringValue"]}
                    )
    return found


def hooked(sink: Sink) -> list[dict[str, Any]]:
    """Records that a webhook was sent."""
    return [record for _, _, body in sink.received for record in json.loads(body)["data"]["records"]]


def test_alerts_and_refusals_are_told_and_no_word_of_what_was_said(
    world: tuple[Exporter, Sink, Sink, Writer],
) -> None:
    exporter, collector, hook, writer = world
    refusal = {"type": "refusal", "exchange": "e-1", "status": 400, "code": "content_policy_violation", "bytes": 29}
    refusal |= {"content": CONTENT, "reason": CONTENT, "user.id": "alice", "gen_ai.request.model": "llm"}
    request = {"type": "request", "exchange": "e-2", "bytes": 29, "content": CONTENT}
    writer.ship(alert(), refusal, request)
    until(lambda: len(logs(collector)) >= 2 and len(hooked(hook)) >= 2, "both sinks")

    told, refused = logs(collector)[:2]
    assert (told["eventName"], told["severityText"], told["component"]) == ("cloister.alert", "ERROR2", "inference")
    assert told["body"] == {"stringValue": "Unusual"}
    assert told["attributes"]["user.id"] == {"stringValue": "alice"}
    assert told["timeUnixNano"] == "1700000001000000000"
    assert refused["attributes"]["http.response.status_code"] == {"intValue": "400"}
    assert refused["attributes"]["gen_ai.request.model"] == {"stringValue": "llm"}
    path, headers, _ = collector.received[0]
    assert (path, headers["authorization"]) == ("/take", "Bearer let-me-in")
    assert headers["host"].startswith("collector.example.com")

    assert [one["type"] for one in hooked(hook)] == ["alert", "refusal"]
    _, headers, body = hook.received[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(base64.b64decode(SECRET), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert CONTENT.encode() not in b"".join(body for sink in (collector, hook) for _, _, body in sink.received)
    assert CONTENT not in exporter.log()

    assert exporter.tell().totals == {"inference": {"behaviour.end": 1}}
    assert exporter.ready()
    metrics = exporter.metrics()
    assert 'cloister_exporter_records_total{sink="webhook",type="alert"} 1.0' in metrics
    assert_told(used("cloister_exporter_"), metrics)
    assert_there_before("cloister_exporter_", metrics)


def test_what_a_sink_was_not_told_it_is_told_later_and_nothing_is_lost_by_a_kill(
    world: tuple[Exporter, Sink, Sink, Writer],
) -> None:
    exporter, collector, hook, writer = world
    collector.answers = [(503, {"Retry-After": "1"}), (302, {"Location": hook.url}), (401, {})]
    writer.ship(alert(exchange="e-1"))
    until(lambda: len(hooked(hook)) == 1, "the other sink")
    until(lambda: len(logs(collector)) == 1, "the sink that was away")
    assert collector.refused == [503, 302, 401]

    collector.answers = [(500, {})] * 100
    second = writer.ship(alert(exchange="e-2"))
    until(lambda: len(collector.refused) >= 4 and exporter.knows("webhook", second), "an attempt that fails")
    exporter.end(9)
    writer.ship(alert(exchange="e-3"))
    collector.answers = []
    exporter.start()
    until(lambda: len(logs(collector)) == 3, "what came meanwhile")
    exchanges = [one["attributes"]["cloister.exchange"]["stringValue"] for one in logs(collector)]
    assert exchanges == ["e-1", "e-2", "e-3"]
    until(lambda: [one["exchange"] for one in hooked(hook)] == ["e-1", "e-2", "e-3"], "each once")


def test_a_segment_that_takes_its_time_is_fetched_once_for_all(world: tuple[Exporter, Sink, Sink, Writer]) -> None:
    """Every sink looks at the same moment, for the same segment."""
    exporter, collector, hook, writer = world
    long = [{"type": "request", "exchange": f"long-{one}", "bytes": 1, "content": "x" * 200_000} for one in range(20)]
    for name in ("e-0", "e-1"):
        writer.ship(*long, alert(exchange=name))
    until(lambda: exporter.runs() and len(logs(collector)) == len(hooked(hook)) == 2, "both sinks")
    assert [one["exchange"] for one in hooked(hook)] == ["e-0", "e-1"]
    assert "damaged" not in exporter.log()


def test_a_batch_that_is_too_large_is_told_in_parts(world: tuple[Exporter, Sink, Sink, Writer]) -> None:
    exporter, collector, hook, writer = world
    hook.answers = [(413, {}), (413, {})]
    writer.ship(*(alert(exchange=f"e-{number}") for number in range(4)))
    until(lambda: exporter.runs() and len(hooked(hook)) == len(logs(collector)) == 4, "all of them")
    assert [one["exchange"] for one in hooked(hook)] == [f"e-{number}" for number in range(4)]
    assert hook.refused == [413, 413]
    assert 'cloister_exporter_rejected_total{sink="webhook"} 0.0' in exporter.metrics()


def test_gaps_and_forgeries_are_alerts_themselves(world: tuple[Exporter, Sink, Sink, Writer]) -> None:
    exporter, _, hook, writer = world
    writer.ship(alert("behaviour.flag", "warning"))
    damaged = writer.write(alert("behaviour.flag", "warning", exchange="damaged"))
    content = bytearray(damaged.read_bytes())
    content[-300] ^= 1
    writer.put(damaged, bytes(content))
    writer.ship(alert("behaviour.flag", "warning", exchange="after"))
    writer.write(alert())  # never arrives
    last = writer.write(alert("behaviour.flag", "warning", exchange="last"))
    writer.put(last)
    foreign = "support-bot-inference/inference/" + "0" * 32 + f"/0000000000.{'0' * 16}.cja"
    writer._client.put_object(Bucket=LOGS, Key=foreign, Body=last.read_bytes())
    until(lambda: sum(one["code"].startswith("journal.") for one in hooked(hook)) >= 2, "what is wrong")

    codes = [one["code"] for one in hooked(hook)]
    assert codes.count("journal.damaged") == 1
    assert codes.count("journal.order") == 1
    told = {one.get("exchange") for one in hooked(hook) if one["code"] == "behaviour.flag"}
    assert {"after", "last"} <= told
    totals = {"inference": {"journal.damaged": 1, "journal.order": 1}}
    until(lambda: exporter.counts() == totals, "the totals")


def test_a_flood_hides_no_alert_and_is_counted(world: tuple[Exporter, Sink, Sink, Writer]) -> None:
    _, _, hook, writer = world
    refusals = [{"type": "refusal", "exchange": f"e-{n}", "status": 400, "code": "schema"} for n in range(50)]
    writer.ship(*refusals, alert())
    until(lambda: len(hooked(hook)) == 22, "what is not left out")
    codes = [one["code"] for one in hooked(hook)]
    assert (codes.count("schema"), codes.count("behaviour.end")) == (20, 1)
    (left,) = [one for one in hooked(hook) if one["code"] == "export.left-out"]
    assert "30 of type refusal" in left["message"]


def test_nobody_else_is_told(chain: Chain, world: tuple[Exporter, Sink, Sink, Writer], tmp_path: Path) -> None:
    """A host that shows another's certificate, one of an authority that nobody named, and a batch that is refused."""
    exporter, collector, hook, writer = world
    with serving(Authority("elsewhere"), "collector.example.com", tmp_path / "other") as impostor:
        exporter.end()
        exporter.config["sinks"]["otlp"]["url"] = impostor.url
        exporter.config["sinks"]["webhook"]["url"] = f"https://another.example.com:{hook.port}/take"
        exporter.start()
        writer.ship(alert())
        until(lambda: exporter.log().count("a sink can't be told") == 2, "both refusals")
        assert not impostor.received
    assert not hook.received
    assert not collector.received


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"key": None}, "ExportKeyMissing"),
        ({"key": "cloister-key-x25519:nonsense"}, "ExportKeyUnusable"),
        ({"key": KEY.text}, "ExportKeyWrong"),
        ({"webhook": "whsec_c2hvcnQ="}, "WebhookSecretUnusable"),
        ({"authorization": "Bearer a\nX-Injected: b"}, "AuthorizationUnusable"),
        ({"ca_crt": "no certificate"}, "AuthorityUnusable"),
    ],
)
def test_a_secret_that_cannot_be_used_ends_it_with_a_reason(
    chain: Chain, tmp_path: Path, entries: dict[str, str | None], reason: str
) -> None:
    upstream = chain.mounted[Component.EXPORTER].path(sidecar.EXPORT_SOCKET)
    exporter = Exporter(chain.deployment, tmp_path, upstream, {})
    good = {"key": OWN.text, "webhook": f"whsec_{SECRET}", "ca_crt": PKI.pem} | entries
    exporter.give(**{name: text for name, text in good.items() if text is not None})
    exporter.start()
    assert exporter.end(0) == 3
    assert sidecar.ExporterEnding.model_validate_json((tmp_path / "ended").read_text()).reason == reason


def test_its_gate_lets_it_read_the_logs_and_nothing_else(chain: Chain) -> None:
    """As the exporter's own certificate, at each store."""
    identity = of(Component.EXPORTER)
    logs_of = chain.client(LOGS, identity)
    assert "Contents" in logs_of.list_objects_v2(Bucket=LOGS, Prefix="support-bot-inference/")
    forbidden: tuple[Callable[[], object], ...] = (
        lambda: logs_of.put_object(Bucket=LOGS, Key="support-bot-storage/exporter/0.cja", Body=b""),
        lambda: logs_of.delete_object(Bucket=LOGS, Key="support-bot-inference/inference/0.cja"),
        lambda: chain.client(Component.CHECKPOINTS, identity).list_objects_v2(Bucket="checkpoints"),
        lambda: chain.client(Component.TRAINING_DATA, identity).list_objects_v2(Bucket="training-data"),
        lambda: chain.client(LOGS, spiffe("support-bot-storage", "teller")).list_objects_v2(Bucket=LOGS),
    )
    for refused in forbidden:
        with pytest.raises(Exception, match=r"403|Forbidden|AccessDenied|SSL|Connection"):
            refused()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/interaction-logs?list-type=2&prefix=support-bot-inference%2F", 200),
        ("GET", "/interaction-logs/support-bot-inference/inference/none", 404),
        ("PUT", "/interaction-logs/support-bot-storage/exporter/0.cja", 403),
        ("POST", "/interaction-logs?delete", 403),
        ("DELETE", "/interaction-logs/support-bot-inference/inference/0.cja", 403),
        ("GET", "/checkpoints?list-type=2", 403),
        ("GET", "/training-data/corpora/a", 403),
    ],
)
def test_its_own_gate_takes_no_other_question_from_it(chain: Chain, method: str, path: str, status: int) -> None:
    """By the socket that it asks at; the stores' gates, which would refuse it too, are not even asked."""

    def asked() -> float:
        lines = [line for store in STORES for line in chain.gates[store].metrics().body.decode().splitlines()]
        counts = [line for line in lines if line.startswith("envoy_http_downstream_rq_total{") and '"ingress"' in line]
        assert len(counts) == len(STORES)
        return sum(float(line.rsplit(" ", 1)[1]) for line in counts)

    before = asked()
    connection = UnixConnection(chain.mounted[Component.EXPORTER].path(sidecar.EXPORT_SOCKET), "store", timeout=30)
    with closing(connection):
        connection.request(method, path)
        assert connection.getresponse().status == status
    assert asked() - before == (0 if status == 403 else 1)
