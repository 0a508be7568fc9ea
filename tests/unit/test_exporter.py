"""What the exporter tells, and in which form; and that no word of a prompt or a reply is part of it."""

import base64
import json
import re
import types
from pathlib import Path
from typing import Any, get_args

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from cloister import sidecar
from cloister.jobs.exporter.batches import SecretError, identifier, otlp, signed, webhook, webhook_secrets
from cloister.jobs.exporter.pipeline import Limit, Memory
from cloister.jobs.exporter.serious import Serious
from cloister.jobs.exporter.told import FIELDS, MOST_CHARACTERS, Told, alert, told
from cloister.jobs.teller import tell
from cloister.journal.records import Line, Record
from cloister.spec.export import ExportedRecord

STAYS = {
    "start": {"cloister.content_key", "cloister.incident"},
    "request": {"content", "content_encoding", "content_hmac", "problems"},
    "refusal": {"content", "content_encoding", "content_hmac", "reason"},
    "reply": {"content", "content_encoding", "content_hmac", "reason"},
    "query": {"keys"},
    "result": {"reason"},
}
"""Fields that never leave: what was said, its digests and their key, and words of ours that may quote it."""
TIME = "2026-11-30T12:00:00.000001Z"


def line(**record: Any) -> Line:
    return Line.model_validate_json(json.dumps({"prev": "0" * 64, "record": {"time": TIME, **record}, "seq": 7}))


def models() -> dict[str, Any]:
    assert isinstance(Record, types.UnionType)
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(Record)}


@pytest.mark.parametrize("kind", [str(kind) for kind in ExportedRecord])
def test_of_every_field_it_is_decided_whether_it_leaves(kind: str) -> None:
    fields = {field.alias or name for name, field in models()[kind].model_fields.items()} - {"type", "time"}
    assert fields == FIELDS[kind] | STAYS.get(kind, set())
    assert not FIELDS[kind] & STAYS.get(kind, set())


def test_what_was_said_stays() -> None:
    secret = "what nobody else may read"
    for kind, fields in (
        ("request", {"exchange": "e", "problems": [secret]}),
        ("refusal", {"exchange": "e", "status": 400, "code": "c", "reason": secret}),
        ("reply", {"exchange": "e", "outcome": "complete", "reason": secret}),
    ):
        one = told("stream", "inference", line(type=kind, content=secret, content_hmac="a" * 64, bytes=25, **fields))
        for form in (otlp("bot", [one], 0.0), webhook("bot", [one])):
            assert secret.encode() not in form
            assert b"aaaaaaaa" not in form
    assert "what a model made up" not in FIELDS


def test_texts_are_bounded_and_of_one_line() -> None:
    reasons = [f"a\nb{'x' * 1000}"] * 100
    one = told(
        "s", "inference", line(type="reply", exchange="e", outcome="cut", **{"gen_ai.response.finish_reasons": reasons})
    )
    found = one.fields["gen_ai.response.finish_reasons"]
    assert len(found) == 32
    assert all(len(text) == MOST_CHARACTERS and "\n" not in text for text in found)


BATCH = [
    told(
        "stream",
        "inference",
        line(
            type="refusal",
            exchange="e-1",
            status=400,
            code="content_policy_violation",
            method="POST",
            path="/v1/chat/completions",
            roles=["agent", "admin"],
            verdicts=[
                {
                    "kind": "prompt-injection",
                    "rule": "HD1",
                    "score": 900,
                    "where": "messages[0].content",
                    "action": "Block",
                }
            ],
            **{"user.id": "alice", "gen_ai.request.stream": True},
        ),
    ),
    alert("stream/0000000001/order", "checkpoints", TIME, "journal.order", "critical", "It follows a gap"),
]


def test_otlp_is_what_a_collector_reads() -> None:
    """By OpenTelemetry's own protocol files."""
    request = json_format.Parse(otlp("bot", BATCH, 1_800_000_000.5), ExportLogsServiceRequest())
    resources = {
        tuple((one.key, one.value.string_value) for one in found.resource.attributes): found.scope_logs[0].log_records
        for found in request.resource_logs
    }
    assert set(resources) == {
        (("service.namespace", "bot"), ("service.name", component)) for component in ("inference", "checkpoints")
    }
    ((refusal,), (gap,)) = (
        resources[("service.namespace", "bot"), ("service.name", "inference")],
        resources[("service.namespace", "bot"), ("service.name", "checkpoints")],
    )
    assert (refusal.time_unix_nano, refusal.observed_time_unix_nano) == (1796040000000001000, 1800000000500000000)
    assert (refusal.severity_number, refusal.event_name) == (13, "cloister.refusal")
    attributes = {one.key: one.value for one in refusal.attributes}
    assert attributes["log.record.uid"].string_value == "stream/7"
    assert attributes["http.response.status_code"].int_value == 400
    assert attributes["url.path"].string_value == "/v1/chat/completions"
    assert attributes["user.id"].string_value == "alice"
    assert attributes["gen_ai.request.stream"].bool_value is True
    assert [one.string_value for one in attributes["cloister.roles"].array_value.values] == ["agent", "admin"]
    (verdict,) = attributes["cloister.verdicts"].array_value.values
    assert {one.key for one in verdict.kvlist_value.values} == {"kind", "rule", "score", "where", "action"}
    assert (gap.severity_number, gap.body.string_value) == (18, "It follows a gap")


def test_a_webhook_is_signed_as_the_standard_says() -> None:
    """The example of the specification's libraries (standard-webhooks, "Signature scheme")."""
    (secret,) = webhook_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    two = signed("a", 1, b"", [secret, b"x" * 24])["webhook-signature"]
    assert re.fullmatch(r"v1,[A-Za-z0-9+/=]{44} v1,[A-Za-z0-9+/=]{44}", two)
    assert identifier(BATCH) == identifier(list(BATCH)) != identifier(BATCH[:1])


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "c2hvcnQ=" * 8, "whsec_!!", f"whsec_{'A' * 200}"])
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SecretError) as refused:
        webhook_secrets(text)
    secret = text.removeprefix("whsec_")
    assert not secret or secret not in str(refused.value)


def test_a_flood_of_one_kind_hides_no_other_and_the_next_minute_is_another() -> None:
    limit = Limit(2)

    def records(kind: str, minute: str, severity: str = "info") -> Told:
        return Told("i", "inference", kind, f"2026-11-30T12:{minute}:00.000000Z", severity)

    assert [limit.admits(records("refusal", "00")) for _ in range(3)] == [True, True, False]
    assert [limit.admits(records("alert", "00", "warning")) for _ in range(3)] == [True, True, False]
    assert [limit.admits(records("alert", "00", "critical")) for _ in range(3)] == [True, True, False]
    assert limit.admits(records("refusal", "01"))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["inference", "checkpoints"]), st.sampled_from(sidecar.SERIOUS_CODES) | st.text())
    )
)
async def test_totals_are_of_known_codes_alone(
    tmp_path_factory: pytest.TempPathFactory, raised: list[tuple[str, str]]
) -> None:
    folder, memory = tmp_path_factory.mktemp("told"), Memory()
    serious = Serious(folder)
    await serious.take([alert("i", component, TIME, code, "critical", code) for component, code in raised], memory)
    await serious.take([alert("i", "inference", TIME, "behaviour.flag", "warning", "")], memory)
    serious.kept(memory)
    assert sum(count for counts in memory.totals.values() for count in counts.values()) == len(raised)
    if raised:
        report = sidecar.AlertReport.model_validate_json((folder / sidecar.REPORT).read_text())
        assert {code for counts in report.totals.values() for code in counts} <= set(sidecar.SERIOUS_CODES)
    assert (folder / sidecar.REPORT).exists() == bool(raised)


def test_the_teller_tells_each_total_once(tmp_path: Path) -> None:
    said = tmp_path / "termination-log"
    config = sidecar.Teller(told=str(tmp_path), termination_log=str(said))
    assert not tell(config)
    for count in (1, 2):
        report = sidecar.AlertReport(totals={"inference": {"behaviour.end": count}})
        (tmp_path / sidecar.REPORT).write_text(report.model_dump_json())
        assert tell(config)
        assert sidecar.AlertReport.model_validate_json(said.read_text()) == report
        assert not tell(config)


def test_a_termination_message_has_room_for_every_total() -> None:
    """Kubernetes keeps 4096 bytes."""
    components = ("inference", "training", "training-data", "checkpoints", "interaction-logs", "exporter")
    full = {component: dict.fromkeys(sidecar.SERIOUS_CODES, 10**6) for component in components}
    assert len(sidecar.AlertReport.model_validate({"totals": full}).model_dump_json()) < 4096


def test_secrets_of_webhooks_may_be_several() -> None:
    one, other = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    assert webhook_secrets(f"whsec_{one}\n\n whsec_{other}\n") == [b"\1" * 32, b"\2" * 32]
