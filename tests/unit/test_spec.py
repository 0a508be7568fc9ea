"""Every rule of the resource, by permission and by refusal."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings

from cloister.spec import LLMDeployment, SpecError, is_pinned, milli, parse, seconds
from cloister.spec.unenforced import unenforced
from cloister.spec.workload import RESERVED_PORTS
from cloister.zones import STORES, Zone
from tests.backends import backed
from tests.edits import REMOVED, UNEXPORTED, deployment, example
from tests.strategies import DIGEST, ED25519, P256, deployments

TAG = "registry.example.com/llm/server:v1"
X25519 = "cloister-pub-x25519:" + "A" * 43
HYBRID = "cloister-pub-mlkem768x25519:" + "_" * 1621 + "w"


def excused(control: str) -> dict[str, Any]:
    return {"spec.exceptions": [{"control": control, "reason": "lab cluster", "expires": "2026-12-31"}]}


def a_client(namespace: str = "web", account: str = "frontend", **more: Any) -> dict[str, Any]:
    return {"namespace": namespace, "serviceAccount": account, **more}


PERMITTED: dict[str, dict[str, Any]] = {
    "a tag with an exception": {"spec.inference.image": TAG, **excused("ZT-04")},
    "a tag for training with an exception": {"spec.training.image": TAG, **excused("ZT-04")},
    "no second factor with an exception": {"spec.identity.users.mfa.required": False, **excused("ZT-06")},
    "an exception for every excusable control": {
        "spec.exceptions": [
            {"control": control, "reason": "lab cluster", "expires": "2026-12-31"}
            for control in ("ZT-04", "ZT-06", "ZT-17", "ZT-24")
        ]
    },
    "a date as YAML has it": {
        "spec.exceptions": [{"control": "ZT-17", "reason": "lab cluster", "expires": "2024-02-29"}]
    },
    "no training": {"spec.training": REMOVED},
    "no clients": {"spec.inference.clients": []},
    "a quantity as a number": {"spec.storage.checkpoints.size": 10**12},
    "the longest life": {"spec.identity.certificateTTL": "168h"},
    "the longest name": {"metadata.name": "a" * 40},
    "a client in a namespace with a zone's suffix": {"spec.inference.clients[0].namespace": "other-training"},
    "one account in two namespaces": {"spec.inference.clients": [a_client("web"), a_client("app")]},
    "two accounts in one namespace": {"spec.inference.clients": [a_client(account="a"), a_client(account="b")]},
    "an empty guard": {"spec.inference.guard": {}},
    "a schema that only flags": {"spec.inference.guard.schema": "Flag"},
    "patterns and words of one's own": {
        "spec.inference.guard": {
            "patterns": {"staff": r"\bEMP-[0-9]{6}\b"},
            "dictionaries": {"projects": ["Blue Falcon", "Über"]},
            "canaries": ["kR7w-2pQx"],
        }
    },
    "a key for each kind": {"spec.audit.recipients": [X25519, HYBRID]},
    "as many recipients as there may be": UNEXPORTED | {"spec.audit.recipients": [HYBRID] * 16},
    "everything in full": {"spec.audit.content": "Full"},
    "bounds of every kind": {"spec.inference.limits": {"maxOutputBytes": 2**28, "concurrent": 1}},
    "an issuer that publishes its keys": {"spec.identity.users.jwks": REMOVED},
    "a list of revocations": {"spec.identity.users.revocations": {"configMapRef": {"name": "a", "namespace": "b"}}},
    "a session that ends": {"spec.identity.users.maxSessionAge": "8h"},
    "a sharedMemory": {"spec.training.sharedMemory": "1.5Gi"},
    "empty label value": {"spec.inference.nodeSelector": {"example.com/pool": ""}},
    "a device": {"spec.inference.resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}}},
    "a device by its limit alone": {"spec.inference.resources": {"limits": {"nvidia.com/gpu": 1, "memory": "1Gi"}}},
    "as much as the limit, otherwise written": {
        "spec.training.resources": {
            "requests": {"memory": "1024Mi", "cpu": "1000m"},
            "limits": {"memory": "1Gi", "cpu": 1},
        }
    },
    "every taint": {"spec.inference.tolerations": [{"operator": "Exists"}]},
    "a taint for a while": {
        "spec.inference.tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
        ]
    },
    "scratch beside the model": {"spec.inference.scratch": {"size": "1Gi", "path": "/models-cache"}},
    "the longest segment": {"spec.training.reads": [f"{'a' * 175}/"]},
}


def toleration(**fields: Any) -> dict[str, Any]:
    return {"spec.inference.tolerations": [fields]}


def resources(**amounts: dict[str, Any]) -> dict[str, Any]:
    return {"spec.training.resources": amounts}


REFUSED: dict[str, tuple[dict[str, Any], str | list[str]]] = {
    "more than the limit": (
        resources(requests={"memory": "8Gi"}, limits={"memory": "4Gi"}),
        "spec.training.resources.requests.memory",
    ),
    "a device without its limit": (
        resources(requests={"nvidia.com/gpu": 1}),
        "spec.training.resources.limits.nvidia.com/gpu",
    ),
    "fewer devices than the limit": (
        resources(requests={"nvidia.com/gpu": 1}, limits={"nvidia.com/gpu": 2}),
        "spec.training.resources.limits.nvidia.com/gpu",
    ),
    "half a device": (resources(limits={"nvidia.com/gpu": "0.5"}), "spec.training.resources.limits.nvidia.com/gpu"),
    "a device without a domain": (resources(limits={"gpu": 1}), "spec.training.resources.limits.gpu"),
    "a resource without a name": (resources(limits={"": 1}), "spec.training.resources.limits."),
    "a toleration of nothing": (toleration(), "spec.inference.tolerations[0].operator"),
    "a toleration of an effect alone": (toleration(effect="NoSchedule"), "spec.inference.tolerations[0].operator"),
    "a value that means nothing": (
        toleration(key="a", operator="Exists", value="b"),
        "spec.inference.tolerations[0].value",
    ),
    "a while that means nothing": (
        toleration(key="a", value="b", effect="NoSchedule", tolerationSeconds=5),
        "spec.inference.tolerations[0].tolerationSeconds",
    ),
    "a taint that has no such name": (toleration(key="a b!"), "spec.inference.tolerations[0].key"),
    "a node label with a dot for a domain": (
        {"spec.inference.nodeSelector": {"./app": "b"}},
        "spec.inference.nodeSelector../app",
    ),
    "a pod label with a dash for a domain": (
        {"spec.inference.clients[0].podSelector": {"-x/app": "b"}},
        "spec.inference.clients[0].podSelector.-x/app",
    ),
    "a pod label with two dots": (
        {"spec.inference.clients[0].podSelector": {"a..b/app": "b"}},
        "spec.inference.clients[0].podSelector.a..b/app",
    ),
    "scratch in the model": (
        {"spec.inference.scratch": {"size": "1Gi", "path": "/models/cache"}},
        "spec.inference.scratch.path",
    ),
    "no room for the model": ({"spec.inference.model.size": "0"}, "spec.inference.model.size"),
    "no room at all": ({"spec.storage.checkpoints.size": 0}, "spec.storage.checkpoints.size"),
    "half a byte": ({"spec.storage.checkpoints.size": "500m"}, "spec.storage.checkpoints.size"),
    "no shared memory": ({"spec.inference.sharedMemory": "0Gi"}, "spec.inference.sharedMemory"),
    "a negative size": ({"spec.storage.checkpoints.size": -5}, "spec.storage.checkpoints.size"),
    "a trust domain that no URI has": ({"spec.identity.trustDomain": "a..b"}, "spec.identity.trustDomain"),
    "the CA of another deployment": (
        {"spec.identity.issuerRef": {"name": "cloister-ca-other-g1"}},
        "spec.identity.issuerRef.name",
    ),
    "a root of Cloister's own": (
        {"spec.identity.issuerRef": {"name": "cloister-selfsigned-other"}},
        "spec.identity.issuerRef.name",
    ),
    "a body that no gate holds": (
        {"spec.inference.limits.maxBodyBytes": 2**26 + 1},
        "spec.inference.limits.maxBodyBytes",
    ),
    "a segment that no sealed name has room for": (
        {"spec.training.reads": [f"{'a' * 176}/"]},
        "spec.training.reads[0]",
    ),
    "a day as seconds": (
        {"spec.exceptions": [{"control": "ZT-17", "reason": "lab cluster", "expires": "1786752000"}]},
        "spec.exceptions[0].expires",
    ),
    "a tag": ({"spec.inference.image": TAG}, "spec.inference.image"),
    "a tag for training": ({"spec.training.image": TAG}, "spec.training.image"),
    "a tag with an exception for something else": (
        {"spec.inference.image": TAG, **excused("ZT-24")},
        "spec.inference.image",
    ),
    "a digest too short": ({"spec.inference.image": f"a{DIGEST[:-1]}"}, "spec.inference.image"),
    "a digest in the middle": ({"spec.inference.image": f"a{DIGEST}:v1"}, "spec.inference.image"),
    "no second factor": ({"spec.identity.users.mfa.required": False}, "spec.identity.users.mfa.required"),
    "an exception for any control": (excused("ZT-01"), "spec.exceptions[0].control"),
    "an exception without a reason": (
        {"spec.exceptions": [{"control": "ZT-17", "reason": "short", "expires": "2026-12-31"}]},
        "spec.exceptions[0].reason",
    ),
    "an exception without an end": (
        {"spec.exceptions": [{"control": "ZT-17", "reason": "lab cluster"}]},
        "spec.exceptions[0].expires",
    ),
    "an undeclared API of a client": (
        {"spec.inference.clients[1].apis": ["chat", "x"]},
        "spec.inference.clients[1].apis",
    ),
    "an undeclared API of a rule": ({"spec.identity.users.rules[0].apis": ["x"]}, "spec.identity.users.rules[0].apis"),
    "a client twice": ({"spec.inference.clients[+]": a_client(users="NotRequired")}, "spec.inference.clients[2]"),
    "no API at all": ({"spec.inference.apis": {}}, "spec.inference.apis"),
    "a prefix with dots": ({"spec.training.reads": ["../corpora/"]}, "spec.training.reads[0]"),
    "a prefix with dots inside": ({"spec.training.reads": ["a/../b/"]}, "spec.training.reads[0]"),
    "a prefix without an end": ({"spec.training.reads": ["corpora"]}, "spec.training.reads[0]"),
    "a prefix from the root": ({"spec.training.writes": ["/"]}, "spec.training.writes[0]"),
    "a hidden segment": ({"spec.training.writes": ["a/.b/"]}, "spec.training.writes[0]"),
    "an object that is a directory": ({"spec.inference.model.object": "a/"}, "spec.inference.model.object"),
    "an object with dots": ({"spec.inference.model.object": "a/../b"}, "spec.inference.model.object"),
    "a path with dots": ({"spec.inference.apis.chat.paths": ["/v1/../admin"]}, "spec.inference.apis.chat.paths[0]"),
    "a path with a query": ({"spec.inference.apis.chat.paths": ["/v1?x"]}, "spec.inference.apis.chat.paths[0]"),
    "a path with an escape": ({"spec.inference.apis.chat.paths": ["/v1/%2e"]}, "spec.inference.apis.chat.paths[0]"),
    "a method that is none": ({"spec.inference.apis.chat.methods": ["CONNECT"]}, "spec.inference.apis.chat.methods[0]"),
    "an issuer without TLS": (
        {"spec.identity.users.issuer": "http://login.example.com/"},
        "spec.identity.users.issuer",
    ),
    "an issuer with a space": ({"spec.identity.users.issuer": "https://a.b/c d"}, "spec.identity.users.issuer"),
    "certificates for ever": ({"spec.identity.certificateTTL": "169h"}, "spec.identity.certificateTTL"),
    "certificates for no time": ({"spec.identity.certificateTTL": "0h"}, "spec.identity.certificateTTL"),
    "root": ({"spec.inference.runAsUser": 0}, "spec.inference.runAsUser"),
    "a user of ours": ({"spec.inference.runAsUser": 6101}, "spec.inference.runAsUser"),
    "a namespaced issuer": (
        {"spec.identity.issuerRef": {"name": "a", "kind": "Issuer"}},
        "spec.identity.issuerRef.kind",
    ),
    "more paths than a gate holds": (
        {
            "spec.storage.checkpoints.writers": [
                {"namespace": "a", "serviceAccount": f"b{index}", "prefixes": [f"p{n}/" for n in range(32)]}
                for index in range(16)
            ]
        },
        "spec.storage.checkpoints",
    ),
    "a name too long": ({"metadata.name": "a" * 41}, "metadata.name"),
    "a name that begins with a digit": ({"metadata.name": "1a"}, "metadata.name"),
    "a role that is none": ({"spec.access[0].role": "admin"}, "spec.access[0].role"),
    "an exec role": ({"spec.access[0].role": "exec"}, "spec.access[0].role"),
    "a schedule with a zone": ({"spec.training.schedule": "TZ=UTC 0 2 * * *"}, "spec.training.schedule"),
    "weights over the system": ({"spec.inference.model.mountPath": "/etc/x"}, "spec.inference.model.mountPath"),
    "scratch over the weights": ({"spec.inference.scratch.path": "/models"}, "spec.inference.scratch.path"),
    "records that may be lost": ({"spec.audit.onFailure": "Ignore"}, "spec.audit.onFailure"),
    "records that nobody can read": ({"spec.audit": REMOVED}, "spec.audit"),
    "no recipients": ({"spec.audit": {"content": "Full"}}, "spec.audit.recipients"),
    "an empty list of recipients": ({"spec.audit.recipients": []}, "spec.audit.recipients"),
    "too many recipients": ({"spec.audit.recipients": [X25519] * 17}, "spec.audit.recipients"),
    "a private key as recipient": (
        {"spec.audit.recipients": [X25519.replace("-pub-", "-key-")]},
        "spec.audit.recipients[0]",
    ),
    "a key too short": ({"spec.audit.recipients": [X25519[:-1]]}, "spec.audit.recipients[0]"),
    "a key too long": ({"spec.audit.recipients": [f"{X25519}A"]}, "spec.audit.recipients[0]"),
    "a key with padding": ({"spec.audit.recipients": [f"{X25519}="]}, "spec.audit.recipients[0]"),
    "a key with a line's end": ({"spec.audit.recipients": [f"{X25519}\n"]}, "spec.audit.recipients[0]"),
    "a key with stray bits": ({"spec.audit.recipients": [f"{X25519[:-1]}B"]}, "spec.audit.recipients[0]"),
    "a short key under the name of a long one": (
        {"spec.audit.recipients": [X25519.replace("x25519", "mlkem768x25519")]},
        "spec.audit.recipients[0]",
    ),
    "a long key too short": ({"spec.audit.recipients": [HYBRID[:-1]]}, "spec.audit.recipients[0]"),
    "some of a prompt": ({"spec.audit.content": "Some"}, "spec.audit.content"),
    "a mask for a schema": ({"spec.inference.guard.schema": "Mask"}, "spec.inference.guard.schema"),
    "a pattern without a bound": (
        {"spec.inference.guard.patterns": {"a": "x+"}},
        "spec.inference.guard.patterns.a",
    ),
    "a pattern that can't be read": (
        {"spec.inference.guard.patterns": {"a": "(x"}},
        "spec.inference.guard.patterns.a",
    ),
    "a pattern that looks around": (
        {"spec.inference.guard.patterns": {"a": "x(?=y)"}},
        "spec.inference.guard.patterns.a",
    ),
    "a pattern with a name that is none": (
        {"spec.inference.guard.patterns": {"A B": "xy"}},
        "spec.inference.guard.patterns.A B",
    ),
    "an empty dictionary": (
        {"spec.inference.guard.dictionaries": {"a": []}},
        "spec.inference.guard.dictionaries.a",
    ),
    "a canary that is a common word": (
        {"spec.inference.guard.canaries": ["hello"]},
        "spec.inference.guard.canaries[0]",
    ),
    "a mask for extraction": ({"spec.inference.guard.extraction": "Mask"}, "spec.inference.guard.extraction"),
    "a budget below nothing": (
        {"spec.inference.guard.budgets": {"people": {"logprobs": -1}}},
        "spec.inference.guard.budgets.people.logprobs",
    ),
    "a kind that is none": ({"spec.inference.guard.outputKinds": ["name"]}, "spec.inference.guard.outputKinds[0]"),
    "a reply without end": (
        {"spec.inference.limits.maxOutputBytes": 2**28 + 1},
        "spec.inference.limits.maxOutputBytes",
    ),
    "no request at once": ({"spec.inference.limits.concurrent": 0}, "spec.inference.limits.concurrent"),
    "revocations without a source": (
        {"spec.identity.users.revocations": {}},
        "spec.identity.users.revocations.configMapRef",
    ),
    "revocations in a Secret": (
        {"spec.identity.users.revocations": {"secretRef": {"name": "a"}}},
        ["spec.identity.users.revocations.configMapRef", "spec.identity.users.revocations.secretRef"],
    ),
    "revocations in no namespace": (
        {"spec.identity.users.revocations": {"configMapRef": {"name": "a"}}},
        "spec.identity.users.revocations.configMapRef.namespace",
    ),
    "revocations under a path": (
        {"spec.identity.users.revocations": {"configMapRef": {"name": "a", "namespace": "b", "key": "../x"}}},
        "spec.identity.users.revocations.configMapRef.key",
    ),
    "an inline list of revocations": (
        {"spec.identity.users.revocations": {"subjects": ["a"]}},
        ["spec.identity.users.revocations.configMapRef", "spec.identity.users.revocations.subjects"],
    ),
    "a session of no length": ({"spec.identity.users.maxSessionAge": "0h"}, "spec.identity.users.maxSessionAge"),
    "levels in the wrong order": ({"spec.inference.behaviour": {"stepUpAt": 30}}, "spec.inference.behaviour"),
    "an end before the alert": (
        {"spec.inference.behaviour": {"flagAt": 90, "stepUpAt": 95, "endAt": 94}},
        "spec.inference.behaviour",
    ),
    "points that fade at once": (
        {"spec.inference.behaviour": {"halfLifeMinutes": 0}},
        "spec.inference.behaviour.halfLifeMinutes",
    ),
    "a level for everybody": ({"spec.inference.behaviour": {"flagAt": 0}}, "spec.inference.behaviour.flagAt"),
    "a scraper in the own zone": (
        {"spec.metrics.scrapers": [{"namespace": "support-bot-storage"}]},
        "spec.metrics.scrapers[0].namespace",
    ),
    "access for a group of the cluster's": ({"spec.access[0].group": "system:masters"}, "spec.access[0].group"),
    "a volume": ({"spec.inference.volumes": []}, "spec.inference.volumes"),
    "snake case": ({"spec.deletion_policy": "Delete"}, "spec.deletion_policy"),
    "snake case of something unenforced": (
        {"spec.identity.users.max_session_age": "8h"},
        "spec.identity.users.max_session_age",
    ),
    "a value from another object": (
        {"spec.inference.env": [{"name": "A", "valueFrom": {}}]},
        "spec.inference.env[0].valueFrom",
    ),
}


@pytest.mark.parametrize("changes", PERMITTED.values(), ids=PERMITTED)
def test_permitted(changes: dict[str, Any]) -> None:
    assert deployment(changes).spec.inference.apis


@pytest.mark.parametrize(("changes", "field"), REFUSED.values(), ids=REFUSED)
def test_refused(changes: dict[str, Any], field: str | list[str]) -> None:
    with pytest.raises(SpecError) as refused:
        deployment(changes)
    assert [problem.field for problem in refused.value.problems] == ([field] if isinstance(field, str) else field)


@pytest.mark.parametrize("port", RESERVED_PORTS)
def test_ports_of_ours_are_refused(port: int) -> None:
    with pytest.raises(SpecError, match=r"spec\.inference\.port"):
        deployment({"spec.inference.port": port})


@pytest.mark.parametrize("zone", Zone)
@pytest.mark.parametrize(
    "machine",
    [
        "spec.inference.clients[0]",
        "spec.storage.trainingData.writers[0]",
        "spec.storage.checkpoints.readers[0]",
        "spec.storage.interactionLogs.readers[0]",
    ],
)
def test_no_machine_lives_in_our_own_zones(machine: str, zone: Zone) -> None:
    with pytest.raises(SpecError) as refused:
        deployment({f"{machine}.namespace": f"support-bot-{zone}"})
    assert [problem.field for problem in refused.value.problems] == [f"{machine}.namespace"]
    sibling = deployment({f"{machine}.namespace": f"support-bots-{zone}"})
    assert f"support-bots-{zone}" in {declared.namespace for _, declared in sibling.spec.machines()}


SEALED = {"spec.inference.model.sealed": True, "spec.inference.model.unsealKeyRef": {"name": "weights-key"}}


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"spec.inference.model.sealed": True}, "unsealKeyRef", "is required with sealed: true"),
        ({"spec.inference.model.unsealKeyRef": {"name": "k"}}, "sealed", "must be true"),
        (SEALED | {"spec.inference.model.sealed": False}, "sealed", "must be true"),
        (SEALED | {"spec.inference.model.unsealKeyRef": {"name": "cloister-inference"}}, "unsealKeyRef.name", "own"),
        ({"spec.inference.model.publicKey": "ssh-ed25519 AAAA"}, "publicKey", "--kind ed25519"),
        ({"spec.inference.model.publicKey": ED25519[:-1]}, "publicKey", "--kind ed25519"),
        ({"spec.inference.model.publicKey": f"{ED25519}\n"}, "publicKey", "--kind ed25519"),
        ({"spec.inference.model.publicKey": P256.replace("MFkw", "MCow")}, "publicKey", "model-signing"),
        ({"spec.inference.model.publicKey": P256.replace("PUBLIC", "PRIVATE")}, "publicKey", "model-signing"),
        ({"spec.inference.model.publicKey": ""}, "publicKey", ""),
    ],
)
def test_half_a_seal_or_a_key_of_no_use_is_refused(changes: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        deployment(changes)
    (problem,) = refused.value.problems
    assert problem.field == f"spec.inference.model.{field}"
    assert said in problem.message


def test_sealed_weights_lose_their_suffix_when_they_are_opened() -> None:
    model = deployment(SEALED | {"spec.inference.model.object": "support-bot/m.gguf.sealed"}).spec.inference.model
    assert model
    assert (model.file, model.signature) == ("/models/m.gguf", None)
    plain = deployment({"spec.inference.model.object": "a/m.sealed", "spec.inference.model.publicKey": P256})
    assert plain.spec.inference.model
    assert plain.spec.inference.model.file == "/models/m.sealed"
    assert plain.spec.inference.model.signature == "a/m.sealed.sig"


def test_a_field_that_nothing_enforces_is_refused_by_name() -> None:
    rows = ("audit.export", "ZT-16"), ("storage.checkpoints.readers[].raw", "ZT-14"), ("training.mask", "ZT-14")
    raw = {"audit": {"export": {}}, "storage": {"checkpoints": {"readers": [{}, {"raw": False}]}}}
    found = dict(unenforced(raw, rows))
    assert found.keys() == {"spec.audit.export", "spec.storage.checkpoints.readers[1].raw"}
    assert "refused (ZT-16): leave it out" in found["spec.audit.export"]
    assert not list(unenforced(example()["spec"]))


def export() -> dict[str, Any]:
    """One that is valid."""
    return copy.deepcopy(_EXPORT)


_EXPORT: dict[str, Any] = {
    "publicKey": "cloister-pub-x25519:8gkfu-kjExpcG5Hf7rXP6Gr_nlrTAFJAU9CV3NSvjUc",
    "secretRef": {"name": "export-keys"},
    "webhook": {"url": "https://hooks.example.com/take", "addresses": ["203.0.113.7", "2001:db8::7"]},
}


def test_an_export_is_one_reader_more() -> None:
    parsed = deployment({"spec.audit.export": export()})
    assert parsed.spec.audit.export
    assert parsed.spec.audit.sealed_for() == (*parsed.spec.audit.recipients, export()["publicKey"])
    assert [sink.networks for sink in parsed.spec.audit.export.sinks().values()] == [
        ("203.0.113.7/32", "2001:db8::7/128")
    ]
    assert parsed.spec.audit.export.records == ("alert", "refusal")
    assert deployment(UNEXPORTED).spec.audit.sealed_for() == parsed.spec.audit.recipients


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"publicKey": REMOVED}, "publicKey", "is required"),
        ({"publicKey": X25519}, "publicKey", "a key has one holder"),
        ({"publicKey": X25519.replace("-pub-", "-key-")}, "publicKey", "is no public key for the journal"),
        ({"secretRef": REMOVED}, "secretRef", "is required"),
        ({"secretRef.name": "keyring-checkpoints"}, "secretRef.name", "Cloister's own"),
        ({"secretRef.name": "cloister-exporter"}, "secretRef.name", "Cloister's own"),
        ({"records": []}, "records", "at least 1 item"),
        ({"records": ["reply.part"]}, "records[0]", "'alert'"),
        ({"recordsPerMinute": 0}, "recordsPerMinute", "greater than or equal to 1"),
        ({"webhook.url": "http://hooks.example.com/"}, "webhook.url", "pattern"),
        ({"webhook.url": "https://user@hooks.example.com/"}, "webhook.url", "pattern"),
        ({"webhook.url": "https://hooks.example.com:8443/"}, "webhook.url", "a port other than 443"),
        ({"webhook.url": "https://198.51.100.9/"}, "webhook.url", "is an address"),
        ({"webhook.addresses": []}, "webhook.addresses", "at least 1 item"),
        ({"webhook.addresses": REMOVED}, "webhook.addresses", "is required"),
        ({"webhook.addresses": ["203.0.113.0/24"]}, "webhook.addresses[0]", "pattern"),
        ({"webhook.addresses": ["hooks.example.com"]}, "webhook.addresses[0]", "pattern"),
        ({"webhook.addresses": ["1.2.3"]}, "webhook.addresses[0]", "is no network"),
        ({"webhook.addresses": ["127.0.0.1"]}, "webhook.addresses[0]", "no collector is"),
        ({"webhook.addresses": ["169.254.169.254"]}, "webhook.addresses[0]", "no collector is"),
        ({"webhook.addresses": ["::1"]}, "webhook.addresses[0]", "no collector is"),
        ({"webhook.addresses": ["::ffff:169.254.169.254"]}, "webhook.addresses[0]", "no collector is"),
        ({"webhook.addresses": ["fe80::1"]}, "webhook.addresses[0]", "no collector is"),
        ({"otlp": {"url": "https://a.example.com/v1/logs"}}, "otlp.addresses", "is required"),
        ({"insecure": True}, "insecure", "unknown field"),
    ],
)
def test_an_export_that_leads_elsewhere_is_refused(changes: dict[str, Any], field: str, message: str) -> None:
    edits = {"spec.audit.recipients": [X25519], "spec.audit.export": export()} | {
        f"spec.audit.export.{path}": value for path, value in changes.items()
    }
    with pytest.raises(SpecError) as refused:
        deployment(edits)
    assert any(
        problem.field == f"spec.audit.export.{field}" and message in problem.message
        for problem in refused.value.problems
    ), refused.value


def test_with_an_export_there_is_room_for_one_recipient_less() -> None:
    many = [f"cloister-pub-x25519:{'A' * 41}{letter}I" for letter in "ABCDEFGHIJKLMNOP"]
    assert len(deployment(UNEXPORTED | {"spec.audit.recipients": many}).spec.audit.recipients) == 16
    with pytest.raises(SpecError, match="16 keys at most"):
        deployment({"spec.audit.recipients": many, "spec.audit.export": export()})


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"size": "1Gi"}, "size", "either size, for a volume, or backend"),
        ({"backend.account": "llm"}, "backend.account", "is for type Azure"),
        ({"backend.type": "Azure"}, "backend.account", "needs it"),
        ({"backend.type": "GCS", "backend.region": "eu-1"}, "backend.region", "is for type S3"),
        ({"backend.type": "Swift"}, "backend.type", "'S3', 'GCS' or 'Azure'"),
        ({"backend.secretRef": REMOVED}, "backend.secretRef", "is required"),
        ({"backend.secretRef.name": "keyring-checkpoints"}, "backend.secretRef.name", "Cloister's own"),
        ({"backend.addresses": []}, "backend.addresses", "at least 1 item"),
        ({"backend.addresses": ["0.0.0.0/0"]}, "backend.addresses[0]", "more than anybody's network"),
        ({"backend.addresses": ["::/0"]}, "backend.addresses[0]", "more than anybody's network"),
        ({"backend.addresses": ["203.0.113.1/24"]}, "backend.addresses[0]", "has host bits set"),
        ({"backend.addresses": ["169.254.169.254/32"]}, "backend.addresses[0]", "no object store is"),
        ({"backend.addresses": ["168.0.0.0/8"]}, "backend.addresses[0]", "no object store is"),
        ({"backend.addresses": ["127.0.0.0/8"]}, "backend.addresses[0]", "no object store is"),
        ({"backend.addresses": ["::ffff:169.254.169.254/128"]}, "backend.addresses[0]", "no object store is"),
        ({"backend.addresses": ["64:ff9b::a9fe:a9fe/128"]}, "backend.addresses[0]", "no object store is"),
        ({"backend.addresses": ["64:ff9b::/96"]}, "backend.addresses[0]", "/104 at most"),
        ({"backend.addresses": ["64:ff9b::/32"]}, "backend.addresses[0]", "/104 at most"),
        ({"backend.addresses": ["64:ff9b::5000:0/100"]}, "backend.addresses[0]", "/104 at most"),
        ({"backend.endpoint": "http://s3.example.com"}, "backend.endpoint", "pattern"),
        (
            {"backend.endpoint": "https://s3.example.com:9000"},
            "backend.endpoint",
            "'https://s3.example.com:9000' has a port other than 443, and no other is open",
        ),
        ({"backend.endpoint": "https://s3.example.com:4430/a:443/"}, "backend.endpoint", "other than 443"),
        ({"backend.bucket": "../other"}, "backend.bucket", "pattern"),
        ({"backend.prefix": "a/../b/"}, "backend.prefix", "pattern"),
        ({"encryption.rotateEvery": "720h"}, "encryption.rotateEvery", "keyring of your own (keyRef)"),
        ({"storageClassName": "fast"}, "storageClassName", "no volume beside a backend"),
    ],
)
def test_a_backend_names_a_place_and_how_it_is_reached(changes: dict[str, Any], field: str, message: str) -> None:
    edit = {**backed(), **{f"spec.storage.checkpoints.{path}": value for path, value in changes.items()}}
    with pytest.raises(SpecError) as refused:
        deployment(edit)
    (problem,) = refused.value.problems
    assert problem.field == f"spec.storage.checkpoints.{field}"
    assert message in problem.message


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "https://s3.example.com"},
        {"endpoint": "https://s3.example.com:443"},
        {"endpoint": "https://s3.example.com/a:9000/"},
        {"endpoint": "https://s3.example.com:443/a"},
        {"addresses": ["64:ff9b::cb00:7100/120"]},
        {"addresses": ["2001:db8::/32"]},
    ],
)
def test_a_backend_may_be_elsewhere(changes: dict[str, Any]) -> None:
    backend = deployment(backed(**changes)).spec.storage.checkpoints.backend
    assert backend is not None
    assert {
        name: list(value) if name == "addresses" else value for name, value in backend if name in changes
    } == changes


def test_each_store_may_have_a_backend() -> None:
    with pytest.raises(SpecError, match=r"checkpoints\.size: is required"):
        deployment({"spec.storage.checkpoints.size": REMOVED})
    for store in ("trainingData", "checkpoints", "interactionLogs"):
        parsed = deployment(backed(store))
        assert [bool(one.backend) for one in parsed.spec.storage.by_component().values()].count(True) == 1
    logs = backed("interactionLogs") | {"spec.storage.interactionLogs.storageClassName": "fast"}
    assert deployment(logs).spec.storage.interaction_logs.storage_class_name == "fast"


@pytest.mark.parametrize(
    ("encryption", "field", "message"),
    [
        ({"keyRef": {"name": "cloister-checkpoints"}}, "keyRef.name", "Cloister's own"),
        ({"keyRef": {"name": "keyring-training-data"}}, "keyRef.name", "Cloister's own"),
        ({"keyRef": {"name": "vault"}, "rotateEvery": "720h"}, "rotateEvery", "leave one of the two out"),
    ],
)
def test_a_keyring_has_one_master_and_is_no_secret_of_ours(
    encryption: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        deployment({"spec.storage.checkpoints.encryption": encryption})
    (problem,) = refused.value.problems
    assert problem.field == f"spec.storage.checkpoints.encryption.{field}"
    assert message in problem.message


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        deployment({"spec.inference.port": "x", "spec.inference.replicas": -1, "spec.storage.checkpoints": REMOVED})
    fields = {problem.field for problem in refused.value.problems}
    assert fields == {"spec.inference.port", "spec.inference.replicas", "spec.storage.checkpoints"}


def test_a_message_shows_the_value_and_the_way_out() -> None:
    with pytest.raises(SpecError, match=r"@sha256:<digest>, or add an exception for ZT-04") as refused:
        deployment({"spec.inference.image": TAG})
    assert TAG in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [{"spec.audit": REMOVED}, {"spec.audit.recipients": []}, {"spec.audit.recipients": ["a"]}],
    ids=["no audit", "no recipients", "no key"],
)
def test_who_names_no_readers_is_told_how(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="cloister keys generate"):
        deployment(changes)


def test_a_mask_for_a_schema_is_refused_with_a_reason() -> None:
    with pytest.raises(SpecError, match="nothing in it could be masked"):
        deployment({"spec.inference.guard.schema": "Mask"})


def test_what_is_left_out_is_the_stricter_choice() -> None:
    minimal = deployment(name="minimal").spec
    assert minimal.deletion_policy == "Retain"
    assert minimal.audit.on_failure == "Block"
    assert minimal.audit.content == "Redacted"
    assert minimal.inference.guard.request_schema == "Block"
    assert minimal.inference.guard.sensitive_output == "Mask", "no value leaves, and the rest is answered"
    assert len(minimal.inference.guard.output_kinds) == 8
    assert minimal.inference.guard.extraction == "Block"
    assert minimal.inference.limits.max_output_bytes == 2**24
    bare = {"namespace": "a", "serviceAccount": "b"}
    assert deployment({"spec.inference.clients": [bare]}).spec.inference.clients[0].users == "Required"
    users = deployment({"spec.identity.users.mfa": REMOVED, "spec.identity.users.rules[0].managedDevice": REMOVED})
    assert users.spec.identity.users is not None
    assert users.spec.identity.users.mfa.required
    assert users.spec.identity.users.rules[0].managed_device


def test_parsing_leaves_the_raw_resource_alone() -> None:
    raw = example()
    parse(raw)
    assert raw == example()


@settings(max_examples=50)
@given(deployments())
def test_every_store_has_its_declaration(parsed: LLMDeployment) -> None:
    assert tuple(parsed.spec.storage.by_component()) == STORES


@pytest.mark.parametrize(("duration", "length"), [("1s", 1), ("2m", 120), ("24h", 86400), ("90d", 7776000)], ids=str)
def test_durations(duration: str, length: int) -> None:
    assert seconds(duration) == length


@pytest.mark.parametrize(
    ("quantity", "thousandths"),
    [("1", 1000), ("500m", 500), ("1k", 10**6), ("1Ki", 1024000), ("1.5Gi", 1610612736000), ("2G", 2 * 10**12)],
)
def test_quantities(quantity: str, thousandths: int) -> None:
    assert milli(quantity) == thousandths


def test_only_a_digest_at_the_end_pins() -> None:
    assert is_pinned(f"registry.example.com/a{DIGEST}")
    assert not any(map(is_pinned, ("a", "a:v1", f"a{DIGEST}\n", f"a{DIGEST}x", f"a{DIGEST.upper()}")))


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"spec.inference.imagge": "x"}, "spec.inference.imagge", "did you mean image?"),
        ({"spec.deletionPolcy": "Delete"}, "spec.deletionPolcy", "did you mean deletionPolicy?"),
        ({"spec.inference.apis.chat.methds": ["GET"]}, "spec.inference.apis.chat.methds", "did you mean methods?"),
        (
            {"spec.storage.checkpoints.writers": [{"namespace": "a", "serviceAcount": "b", "prefixes": ["a/"]}]},
            "spec.storage.checkpoints.writers[0].serviceAcount",
            "did you mean serviceAccount?",
        ),
        ({"spec.inference.xyzzy": 1}, "spec.inference.xyzzy", "look for a misspelling"),
        ({f"spec.inference.{'imagge' * 20}": 1}, f"spec.inference.{'imagge' * 20}", "look for a misspelling"),
        ({"spec.storage.checkpoints.size": "100GB"}, "spec.storage.checkpoints.size", "no quantity, such as 100Gi"),
        ({"spec.identity.users.maxSessionAge": "1y"}, "spec.identity.users.maxSessionAge", "such as 30m, 12h or 90d"),
        ({"spec.inference.guard.promptInjection": False}, "spec.inference.guard.promptInjection", "put it in quotes"),
        ({"spec.identity.users.rules[0].countries": ["DE", False]}, "countries[1]", "reads words such as NO"),
        (
            {"spec.identity.users.rules[0].roles": [7]},
            "roles[0]",
            "7: input should be a valid string: put it in quotes",
        ),
        ({"spec.inference": None}, "spec.inference", "leave the field out if it is not required"),
    ],
)
def test_what_was_meant_is_guessed(changes: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        deployment(changes)
    assert any(one.field.endswith(field) and message in one.message for one in refused.value.problems), refused.value


def test_nothing_is_guessed_for_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each guess compares a name with all others, which somebody could ask for many thousand times."""
    monkeypatch.setattr("difflib.get_close_matches", lambda *_, **__: pytest.fail("a guess"))
    with pytest.raises(SpecError) as refused:
        deployment({f"spec.inference.imagge{number}": 1 for number in range(200)})
    assert len(refused.value.problems) == 200
