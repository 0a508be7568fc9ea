"""Every lint rule, by a resource that it finds and one that it passes."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings

from cloister.lint import ADMINISTRATIVE, REFUSED, RULES, Finding, Severity, checked, lint, lint_raw
from cloister.spec import LLMDeployment, SpecError
from tests.edits import EXAMPLES, REMOVED, UNEXPORTED, deployment, example
from tests.strategies import DIGEST, ED25519, deployments

TODAY = dt.date(2026, 6, 15)
Changes = dict[str, Any]
X25519 = "cloister-pub-x25519:" + "A" * 43
HYBRID = "cloister-pub-mlkem768x25519:" + "_" * 1621 + "w"


def reader(**more: Any) -> dict[str, Any]:
    return {"namespace": "etl", "serviceAccount": "ingest", "prefixes": ["a/"], **more}


def exception(control: str = "ZT-17", expires: str = "2026-12-31") -> dict[str, str]:
    return {"control": control, "reason": "lab cluster", "expires": expires}


def rule_for_people(**more: Any) -> dict[str, Any]:
    return {"roles": ["a"], "apis": ["chat"], **more}


CASES: dict[str, tuple[Changes, str, Changes]] = {
    # code: (what it finds, in which field, what it passes); the changes are made to the example support-bot
    "CL101": (
        {"spec.identity.users": REMOVED},
        "spec.inference.clients[0].users",
        {"spec.identity.users": REMOVED, "spec.inference.clients[0].users": "NotRequired"},
    ),
    "CL102": (
        {"spec.identity.users.rules": []},
        "spec.identity.users.rules",
        {"spec.identity.users.rules": [rule_for_people()]},
    ),
    "CL103": ({"spec.inference.clients[0].users": "NotRequired"}, "spec.identity.users", {}),
    "CL104": (
        {"spec.identity.users.mfa": {}},
        "spec.identity.users.mfa",
        {"spec.identity.users.mfa": {"acr": ["phr"]}},
    ),
    "CL105": (
        {
            "spec.identity.users.rules": [rule_for_people()],
            "spec.inference.clients[0].apis": ["models"],
        },
        "spec.inference.clients[0].apis",
        {"spec.inference.clients[0].apis": ["models"]},
    ),
    "CL106": (
        {"spec.inference.clients[0].apis": ["chat"]},
        "spec.identity.users.rules[1].apis",
        {"spec.inference.clients[0].apis": ["chat", "models"]},
    ),
    "CL107": (
        {"spec.identity.users.rules": [rule_for_people(managedDevice=False)]},
        "spec.identity.users.rules[0].managedDevice",
        {"spec.identity.users.rules": [rule_for_people(managedDevice=False, countries=["DE"])]},
    ),
    "CL108": (
        {"spec.identity.users.maxSessionAge": REMOVED},
        "spec.identity.users.maxSessionAge",
        {"spec.identity.users.maxSessionAge": "8h"},
    ),
    "CL109": ({"spec.inference.behaviour": {"action": "Flag"}}, "spec.inference.behaviour.action", {}),
    "CL201": ({"spec.inference.clients[1].apis": []}, "spec.inference.clients[1].apis", {}),
    "CL202": ({"spec.inference.clients": []}, "spec.inference.clients", {}),
    "CL203": (
        {"spec.inference.apis.tokens": {"methods": ["POST"], "paths": ["/tokenize"]}},
        "spec.inference.apis.tokens",
        {},
    ),
    "CL204": (
        {},
        "spec.inference.clients[1].podSelector",
        {
            "spec.inference.clients[1].podSelector": {"app": "a"},
            "spec.storage.trainingData.writers[0].podSelector": {"app": "a"},
            "spec.storage.checkpoints.readers[0].podSelector": {"app": "a"},
            "spec.storage.interactionLogs.readers[0].podSelector": {"app": "a"},
        },
    ),
    "CL205": (
        {"spec.storage.checkpoints.readers[0].namespace": "kube-system"},
        "spec.storage.checkpoints.readers[0].namespace",
        {"spec.storage.checkpoints.readers[0].namespace": "kube-systems"},
    ),
    "CL206": (
        {"spec.inference.clients[0].namespace": "other-inference"},
        "spec.inference.clients[0].namespace",
        {"spec.inference.clients[0].namespace": "inference"},
    ),
    "CL207": (
        {"spec.inference.clients[0].serviceAccount": "default"},
        "spec.inference.clients[0].serviceAccount",
        {},
    ),
    "CL208": (
        {"spec.storage.trainingData.writers[+]": reader()},
        "spec.storage.trainingData.writers[1]",
        {"spec.storage.checkpoints.writers": [reader()]},
    ),
    "CL210": (
        {"spec.access[+]": {"group": "sre", "zone": "inference", "role": "logs"}},
        "spec.access[2]",
        {"spec.access[+]": {"group": "sre", "zone": "training", "role": "logs"}},
    ),
    "CL211": (
        {"spec.metrics.scrapers": [{"namespace": "monitoring"}]},
        "spec.metrics.scrapers[0].podSelector",
        {},
    ),
    "CL301": (
        {"spec.inference.apis.chat.paths": ["/invocations"]},
        "spec.inference.apis.chat.paths",
        {"spec.inference.apis.chat.paths": ["/v1/responses", "/v1/embeddings", "/api/chat", "/generate", "/v1/tags"]},
    ),
    "CL302": (
        {"spec.inference.env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        "spec.inference.env",
        {"spec.inference.env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
    ),
    "CL303": (
        {"spec.inference.apis.chat.methods": ["POST", "DELETE"]},
        "spec.inference.apis.chat.methods",
        {"spec.inference.apis.chat.methods": ["POST", "GET", "HEAD"]},
    ),
    "CL304": (
        {"spec.training.resources.limits": {"cpu": "8"}},
        "spec.training.resources.limits.memory",
        {},
    ),
    "CL305": ({"spec.inference.runtimeClassName": REMOVED}, "spec.inference.runtimeClassName", {}),
    "CL306": ({"spec.inference.replicas": 1}, "spec.inference.replicas", {"spec.inference.replicas": REMOVED}),
    "CL307": ({"spec.inference.limits": REMOVED}, "spec.inference.limits", {}),
    "CL308": ({"spec.inference.model": REMOVED}, "spec.inference.model", {}),
    "CL309": (
        {"spec.training.env": [{"name": "HF_TOKEN", "value": "hf_s3cr3t"}]},
        "spec.training.env[0]",
        {"spec.training.env": [{"name": "MAX_TOKENS", "value": "1"}, {"name": "TOKENIZERS", "value": "1"}]},
    ),
    "CL310": (
        {"spec.inference.args": ["--host=0.0.0.0"]},
        "spec.inference.args",
        {"spec.inference.args": ["--host", "127.0.0.1"]},
    ),
    "CL311": (
        {"spec.inference.args": ["--port", "9001"]},
        "spec.inference.port",
        {"spec.inference.args": ["--port=8000", "--port"]},
    ),
    "CL312": (
        {"spec.inference.env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}]},
        "spec.inference.env[0]",
        {"spec.inference.env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "0"}]},
    ),
    "CL313": (
        {"spec.inference.guard.schema": "Flag"},
        "spec.inference.guard.schema",
        {"spec.inference.guard.schema": "Block"},
    ),
    "CL314": (
        {"spec.inference.guard.sensitiveOutput": "Flag"},
        "spec.inference.guard.sensitiveOutput",
        {"spec.inference.guard.sensitiveOutput": "Block"},
    ),
    "CL315": (
        {"spec.inference.guard.promptInjection": "Flag"},
        "spec.inference.guard.promptInjection",
        {"spec.inference.guard.promptInjection": "Block"},
    ),
    "CL316": (
        {"spec.inference.guard.extraction": "Off"},
        "spec.inference.guard.extraction",
        {"spec.inference.guard.extraction": "Block"},
    ),
    "CL401": (
        {"spec.inference.model.object": "other/model.gguf"},
        "spec.inference.model.object",
        {"spec.inference.model.object": "etl/a", "spec.storage.checkpoints.writers": [reader(prefixes=["etl/"])]},
    ),
    "CL402": ({"spec.training.reads": []}, "spec.training.reads", {"spec.training": REMOVED}),
    "CL403": ({"spec.training.writes": []}, "spec.training.writes", {"spec.training": REMOVED}),
    "CL404": (
        {"spec.training.reads": ["corpora/", "corpora/support/"]},
        "spec.training.reads",
        {"spec.training.reads": ["corpora/a/", "corpora/ab/"]},
    ),
    "CL405": (
        {"spec.storage.checkpoints.writers": [reader(prefixes=["support-bot/"])]},
        "spec.storage.checkpoints.writers[0].prefixes",
        {"spec.storage.checkpoints.writers": [reader(prefixes=["base/"])]},
    ),
    "CL406": (
        {"spec.storage.trainingData.writers[+]": reader(serviceAccount="b", prefixes=["corpora/x/"])},
        "spec.storage.trainingData.writers[1].prefixes",
        {"spec.storage.trainingData.writers[+]": reader(serviceAccount="b", prefixes=["other/"])},
    ),
    "CL407": ({"spec.training.reads": ["other/"]}, "spec.training.reads[0]", {}),
    "CL408": ({"spec.storage.interactionLogs.readers": []}, "spec.storage.interactionLogs.readers", {}),
    "CL409": (
        {"spec.storage.trainingData.readers": [reader()]},
        "spec.storage.trainingData.readers[0]",
        {},
    ),
    "CL410": (
        {},
        "spec.inference.model.publicKey",
        {"spec.inference.model.publicKey": ED25519},
    ),
    "CL411": (
        {},
        "spec.inference.model.sealed",
        {"spec.inference.model.sealed": True, "spec.inference.model.unsealKeyRef": {"name": "key"}},
    ),
    "CL412": (
        {"spec.inference.model.sealed": True, "spec.inference.model.unsealKeyRef": {"name": "key"}},
        "spec.inference.model.memory",
        {
            "spec.inference.model.sealed": True,
            "spec.inference.model.unsealKeyRef": {"name": "key"},
            "spec.inference.model.memory": True,
        },
    ),
    "CL413": (
        {"spec.inference.model.memory": True},
        "spec.inference.resources.limits.memory",
        {"spec.inference.model.memory": True, "spec.inference.resources.limits.memory": "24Gi"},
    ),
    "CL414": (
        {"spec.storage.checkpoints.encryption": {"rotateEvery": "1h"}},
        "spec.storage.checkpoints.encryption.rotateEvery",
        {},
    ),
    "CL415": ({"spec.storage.interactionLogs.retention": "7d"}, "spec.storage.interactionLogs.retention", {}),
    "CL501": (
        {"spec.exceptions": [exception(expires="2026-06-14")]},
        "spec.exceptions[0].expires",
        {"spec.exceptions": [exception(expires="2026-06-15")]},
    ),
    "CL502": (
        {"spec.exceptions": [exception(expires="2027-07-01")]},
        "spec.exceptions[0].expires",
        {"spec.exceptions": [exception(expires="2027-06-15")]},
    ),
    "CL503": (
        {"spec.exceptions": [exception("ZT-04"), exception("ZT-06")]},
        "spec.exceptions[1].control",
        {"spec.exceptions": [exception("ZT-04")], "spec.training.image": "registry.example.com/a:v1"},
    ),
    "CL504": (
        {"spec.exceptions": [exception(), exception(expires="2026-07-01")]},
        "spec.exceptions[1].control",
        {"spec.exceptions": [exception(), exception("ZT-24")]},
    ),
    "CL505": ({"spec.deletionPolicy": "Delete"}, "spec.deletionPolicy", {"spec.deletionPolicy": REMOVED}),
    "CL506": ({"spec.adopt": "0123abcd-0000-4000-8000-00000000abcd"}, "spec.adopt", {}),
    "CL507": ({"spec.identity.certificateTTL": "25h"}, "spec.identity.certificateTTL", {}),
    "CL508": (
        {"spec.training.schedule": "0 25 * * *"},
        "spec.training.schedule",
        {"spec.training.schedule": "*/5,30 0-6/2 ? jan-mar,12 sun"},
    ),
    "CL509": ({"spec.training.suspend": True}, "spec.training.suspend", {}),
    "CL510": (
        {"spec.training.deadline": REMOVED},
        "spec.training.deadline",
        {"spec.training.deadline": REMOVED, "spec.training.schedule": REMOVED},
    ),
    "CL601": (
        {"spec.audit.recipients": [HYBRID, HYBRID]},
        "spec.audit.recipients",
        {"spec.audit.recipients": [HYBRID, X25519]},
    ),
    "CL602": (
        {"spec.audit.recipients": [HYBRID, X25519]},
        "spec.audit.recipients[1]",
        UNEXPORTED | {"spec.audit.recipients": [HYBRID]},
    ),
    "CL603": ({"spec.audit.content": "Full"}, "spec.audit.content", {"spec.audit.content": "Redacted"}),
    "CL604": ({"spec.audit.content": "None"}, "spec.audit.content", {"spec.audit.content": "Hash"}),
    "CL605": ({}, "spec.audit.recipients[0]", UNEXPORTED | {"spec.audit.recipients": [X25519]}),
    "CL606": (
        {
            "spec.audit.export": {
                "publicKey": "cloister-pub-x25519:8gkfu-kjExpcG5Hf7rXP6Gr_nlrTAFJAU9CV3NSvjUc",
                "secretRef": {"name": "export-keys"},
            }
        },
        "spec.audit.export.publicKey",
        UNEXPORTED,
    ),
}


def found(changes: Changes, code: str) -> list[Finding]:
    return [finding for finding in lint(deployment(changes), TODAY) if finding.code == code]


def test_every_rule_has_its_case() -> None:
    assert list(CASES) == [rule.code for rule in RULES]


def test_rules_are_in_the_order_of_their_codes_and_say_what_to_do() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == sorted(set(codes))
    assert REFUSED not in codes
    for rule in RULES:
        assert rule.title[0].isupper(), rule.code
        assert rule.fix[0].islower(), rule.code
        assert not rule.fix.endswith("."), rule.code


@pytest.mark.parametrize(("code", "case"), CASES.items(), ids=CASES)
def test_found(code: str, case: tuple[Changes, str, Changes]) -> None:
    changes, field, _ = case
    assert field in [finding.field for finding in found(changes, code)]


@pytest.mark.parametrize(("code", "case"), CASES.items(), ids=CASES)
def test_passed(code: str, case: tuple[Changes, str, Changes]) -> None:
    assert found(case[2], code) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_have_no_error(path: Any) -> None:
    assert [f for f in lint(deployment(name=path.stem), TODAY) if f.severity is Severity.ERROR] == []


@settings(max_examples=100)
@given(deployments())
def test_lint_never_stumbles_and_always_says_the_same(parsed: LLMDeployment) -> None:
    findings = lint(parsed, TODAY)
    assert findings == lint(parsed, TODAY)
    assert all(finding.field.startswith("spec.") and finding.message and finding.fix for finding in findings)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/reset_prefix_cache",
        "/invocations",
        "/INVOCATIONS",
        "/collective_rpc",
        "/update_weights_from_disk",
        "/api/pull",
        "/api/blobs/x",
        "/slots/0",
        "/v2/repository/models/x/load",
        "/metrics",
        "/shutdown",
    ],
)
def test_administrative_paths(path: str) -> None:
    assert found({"spec.inference.apis.chat.paths": [path]}, "CL301")[0].value == path


def test_every_key_of_the_examples_is_known() -> None:
    fields = [finding.field for finding in found({}, "CL605")]
    assert fields == ["spec.audit.recipients[0]", "spec.audit.export.publicKey"]


def test_administrative_paths_say_whose_they_are() -> None:
    assert all(what for _, what in ADMINISTRATIVE)


def test_a_secret_is_not_repeated() -> None:
    changes = {"spec.inference.env": [{"name": "API_KEY", "value": "hunter2"}]}
    (finding,) = found(changes, "CL309")
    assert "API_KEY" in finding.message
    assert "hunter2" not in str(finding)


@pytest.mark.parametrize(
    "schedule",
    [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "*/00 * * * *",
        "a b c d e",
        "5-1 * * * *",
        "1- * * * *",
        "*-5 * * * *",
        "* * * mon *",
        ", * * * *",
        "1/ * * * *",
        "mon * * * *",
    ],
)
def test_schedules_that_kubernetes_refuses(schedule: str) -> None:
    assert found({"spec.training.schedule": schedule}, "CL508")


@pytest.mark.parametrize("schedule", ["0 2 * * *", "59 23 31 12 6", "*/15 * * * 1-5", "0 0 1 jan-jun/2 MON"])
def test_schedules_that_it_takes(schedule: str) -> None:
    assert found({"spec.training.schedule": schedule}, "CL508") == []


def test_a_refused_resource_is_one_finding_a_problem() -> None:
    raw = example()
    raw["spec"]["inference"]["port"] = "x"
    raw["spec"]["inferense"] = {}
    raw["kind"] = "LLMDeploymnt"
    findings = lint_raw(raw, TODAY)
    assert {finding.code for finding in findings} == {REFUSED}
    assert {finding.field for finding in findings} == {"kind", "spec.inference.port", "spec.inferense"}


def test_a_resource_from_the_cluster_is_no_stranger() -> None:
    raw = example()
    raw["metadata"] |= {
        "uid": "u",
        "generation": 2,
        "resourceVersion": "1",
        "managedFields": [{}],
        "labels": {"a": "b"},
    }
    assert checked(raw).uid == "u"
    assert checked(raw | {"status": {}}).generation == 2
    with pytest.raises(SpecError, match=r"metadata\.namespace: LLMDeployment is cluster-scoped"):
        checked({**raw, "metadata": {"name": "a", "namespace": "b"}})


def test_a_digest_that_is_pinned_needs_no_exception() -> None:
    changes = {"spec.exceptions": [exception("ZT-04")], "spec.inference.image": f"a{DIGEST}"}
    assert found(changes, "CL503")
