"""Hypothesis strategies for valid LLMDeployments: every field that is enforced, within its bounds, in agreement."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cloister import names, sidecar
from cloister.canaries import STRANGER
from cloister.facts import Beyond, CanaryRun, Facts
from cloister.spec import EXCUSABLE, LLMDeployment, Method, milli, parse
from cloister.spec.workload import RESERVED_PORTS
from cloister.zones import Component, Zone

Raw = dict[str, Any]

DIGEST = "@sha256:" + "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"

ED25519 = "cloister-pub-ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
P256 = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEz9TxoHYXSx/mTHYAxc/p7VUU4a+Q
4IxsGjS56JGBdhqm8RLKDk7auNC8rLMnpxEWBVWp+Ej98LbLiNL9CPn9TA==
-----END PUBLIC KEY-----
"""
_SEALS: list[Raw] = [{}, {"sealed": False}, {"sealed": True, "unsealKeyRef": {"name": "weights-key"}}]

_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"


def _joined(parts: SearchStrategy[list[str]], separator: str = "") -> SearchStrategy[str]:
    return parts.map(separator.join)


def labels(max_size: int = 20, first: str = _ALPHANUMERIC) -> SearchStrategy[str]:
    """DNS labels (RFC 1123)."""
    middle = st.text(_ALPHANUMERIC + "-", max_size=max_size - 2)
    return st.one_of(
        st.sampled_from(first),
        st.builds("{}{}{}".format, st.sampled_from(first), middle, st.sampled_from(_ALPHANUMERIC)),
    )


def outside_namespaces() -> SearchStrategy[str]:
    """Namespaces that are no zone of any deployment."""
    return labels(63).filter(lambda name: name.rpartition("-")[2] not in list(Zone))


_segment = st.text(_ALPHANUMERIC + "._-", max_size=12).map(lambda text: f"p{text}")
prefixes = _joined(st.lists(_segment.map("{}/".format), min_size=1, max_size=3))
object_keys = _joined(st.lists(_segment, min_size=1, max_size=3), "/")
http_paths = st.lists(st.text(_ALPHANUMERIC + "_~", min_size=1, max_size=10), max_size=4).map(
    lambda p: "/" + "/".join(p)
)
quantities: SearchStrategy[str | int] = st.one_of(
    st.builds("{}{}".format, st.integers(1, 9999), st.sampled_from(["", "Ki", "Mi", "Gi", "Ti", "k", "M", "G"])),
    st.integers(1, 2**40),
    st.just("1.5Gi"),
)
words = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f"), min_size=1, max_size=20
)
_label_keys = st.one_of(labels(), labels().map("example.com/{}".format))
_label_values = st.one_of(st.just(""), labels(), st.just("A_b.C-1"))
_label_maps = st.dictionaries(_label_keys, _label_values, max_size=3)
_identifiers = st.from_regex(r"[A-Z_][A-Z0-9_]{0,12}", fullmatch=True)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

images = st.builds("{}/{}{}".format, st.just("registry.example.com"), labels(), st.just(DIGEST))


def _optional(required: dict[str, SearchStrategy[Any]], /, **optional: SearchStrategy[Any]) -> SearchStrategy[Raw]:
    return st.fixed_dictionaries(required, optional=optional)


def _machine(**required: SearchStrategy[Any]) -> SearchStrategy[Raw]:
    ends = {"namespace": outside_namespaces(), "serviceAccount": labels(40)}
    return _optional({**ends, **required}, podSelector=_label_maps)


def _unique(item: SearchStrategy[Any], key: Callable[[Any], Any], max_size: int = 3) -> SearchStrategy[list[Any]]:
    return st.lists(item, max_size=max_size, unique_by=key)


def _identity_of(machine: Raw) -> tuple[str, str]:
    return machine["namespace"], machine["serviceAccount"]


_effects = st.sampled_from(["", "NoSchedule", "PreferNoSchedule", "NoExecute"])
_tolerations = st.one_of(
    _optional({"operator": st.just("Exists")}, key=_label_keys, effect=_effects),
    _optional({"key": _label_keys}, operator=st.just("Equal"), value=_label_values, effect=_effects),
    _optional({"key": _label_keys, "effect": st.just("NoExecute")}, tolerationSeconds=st.integers(0, 86400)),
)


_names_of_resources = st.sets(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]))
_of_devices = st.sampled_from([("limits",), ("requests", "limits")])
_of_others = st.sampled_from([("limits",), ("requests", "limits"), ("requests",)])


@st.composite
def _resources(draw: st.DrawFn) -> Raw:
    """No request beyond its limit, and of devices as many as may be used."""
    found: Raw = {"requests": {}, "limits": {}}
    for name in draw(_names_of_resources):
        less, more = sorted((draw(quantities), draw(quantities)), key=lambda amount: milli(str(amount)))
        asked = more if "/" in name else less
        for kind in draw(_of_devices if "/" in name else _of_others):
            found[kind][name] = more if kind == "limits" else asked
    return {kind: amounts for kind, amounts in found.items() if amounts}


def _pod_shape(scratch: SearchStrategy[str]) -> dict[str, SearchStrategy[Any]]:
    """What both compute zones may set, all of it optional."""
    return {
        "command": st.lists(_text, max_size=2),
        "args": st.lists(_text, max_size=3),
        "env": _unique(_optional({"name": _identifiers}, value=_text), lambda variable: variable["name"]),
        "resources": _resources(),
        "runtimeClassName": labels(),
        "nodeSelector": _label_maps,
        "tolerations": st.lists(_tolerations, max_size=2),
        "imagePullSecrets": _unique(_optional({"name": labels()}), lambda secret: secret["name"], 2),
        "runAsUser": st.integers(10000, 2**31 - 1),
        "sharedMemory": quantities,
        "scratch": _optional({"size": quantities}, path=scratch),
    }


_guard = _optional(
    {},
    schema=st.sampled_from(["Block", "Flag", "Off"]),
    extraction=st.sampled_from(["Block", "Flag", "Off"]),
    budgets=_optional(
        {},
        people=_optional({}, similarPrompts=st.integers(0, 999), outputTokens=st.integers(0, 10**11)),
        machines=_optional(
            {}, logprobs=st.integers(0, 999), embeddings=st.integers(0, 9), repetitions=st.integers(0, 9)
        ),
    ),
    sensitiveOutput=st.sampled_from(["Block", "Mask", "Flag", "Off"]),
    outputKinds=st.lists(st.sampled_from(["email", "phone", "secret", "national"]), unique=True),
    patterns=st.dictionaries(labels(), st.sampled_from([r"\bEMP-[0-9]{6}\b", "(?i)case ([0-9]{4,8})"]), max_size=2),
    dictionaries=st.dictionaries(
        labels(), st.lists(words.filter(lambda w: len(w.split()) > 1), min_size=1, max_size=2)
    ),
    canaries=st.lists(st.from_regex(r"[!-~]{8,20}", fullmatch=True), max_size=2),
)


def _inference(apis: Sequence[int]) -> SearchStrategy[Raw]:
    api = _optional(
        {
            "methods": st.lists(
                st.sampled_from([str(method) for method in Method]), min_size=1, max_size=6, unique=True
            ),
            "paths": st.lists(http_paths, min_size=1, max_size=3, unique=True),
        }
    )
    some_apis = st.lists(st.sampled_from(apis), max_size=len(apis), unique=True)
    client = st.tuples(
        _machine(), _optional({}, users=st.sampled_from(["Required", "NotRequired"]), apis=some_apis)
    ).map(lambda pair: pair[0] | pair[1])
    model = _optional(
        {"object": object_keys, "sha256": st.just(DIGEST.rpartition(":")[2])},
        mountPath=st.sampled_from(["/models", "/data/weights"]),
        size=quantities,
        memory=st.booleans(),
        publicKey=st.sampled_from([ED25519, P256]),
    )
    model = st.tuples(model, st.sampled_from(_SEALS)).map(lambda pair: pair[0] | pair[1])
    return _optional(
        {"image": images, "apis": st.fixed_dictionaries(dict.fromkeys(apis, api))},
        port=st.integers(1024, 65535).filter(lambda port: port not in RESERVED_PORTS),
        replicas=st.integers(0, 1000),
        model=model,
        clients=_unique(client, _identity_of, 4),
        limits=_optional(
            {},
            requestsPerMinute=st.integers(1, 10**6),
            maxBodyBytes=st.integers(1, 2**26),
            maxOutputBytes=st.integers(1, 2**28),
            concurrent=st.integers(1, 10**4),
        ),
        guard=_guard,
        behaviour=_optional(
            {},
            action=st.sampled_from(["Enforce", "Flag", "Off"]),
            flagAt=st.integers(10, 40),
            stepUpAt=st.integers(50, 100),
            endAt=st.integers(121, 500),
            halfLifeMinutes=st.integers(5, 10080),
            travelMinutes=st.integers(0, 2880),
        ),
        health=_optional({}, path=http_paths, startupSeconds=st.integers(10, 86400)),
        **_pod_shape(st.sampled_from(["/scratch", "/cache/x"])),
    )


_training = _optional(
    {"image": images},
    schedule=st.sampled_from(["0 2 * * *", "*/15 * * * 1-5", "0 0 1 1,7 sun"]),
    suspend=st.booleans(),
    reads=st.lists(prefixes, max_size=3, unique=True),
    writes=st.lists(prefixes, max_size=3, unique=True),
    **_pod_shape(st.sampled_from(["/scratch", "/cache/x"])),
)

networks = st.sampled_from(["203.0.113.0/24", "198.51.100.7/32", "10.20.0.0/16", "2001:db8::/32"])
_backend = st.one_of(
    _optional(
        {
            "type": st.just("S3"),
            "bucket": st.sampled_from(["llm-data", "a.b-c"]),
            "secretRef": st.fixed_dictionaries({"name": st.just("object-store")}),
            "addresses": st.lists(networks, min_size=1, max_size=3, unique=True),
        },
        prefix=prefixes,
        region=st.just("eu-central-1"),
        endpoint=st.just("https://s3.example.com"),
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("GCS"),
            "bucket": st.just("llm-data"),
            "secretRef": st.fixed_dictionaries({"name": st.just("object-store")}),
            "addresses": st.lists(networks, min_size=1, max_size=1),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("Azure"),
            "bucket": st.just("container"),
            "account": st.just("llmdata1"),
            "secretRef": st.fixed_dictionaries({"name": st.just("object-store")}),
            "addresses": st.lists(networks, min_size=1, max_size=1),
        }
    ),
)
_some_prefixes = st.lists(prefixes, min_size=1, max_size=3, unique=True)
_data_store = _optional(
    {"size": quantities},
    storageClassName=labels(),
    readers=_unique(_machine(prefixes=_some_prefixes), _identity_of),
    writers=_unique(_machine(prefixes=_some_prefixes), _identity_of),
)
_log_store = _optional({"size": quantities}, storageClassName=labels(), readers=_unique(_machine(), _identity_of))
_backed_store = _optional(
    {"backend": _backend},
    readers=_unique(_machine(prefixes=_some_prefixes), _identity_of),
    writers=_unique(_machine(prefixes=_some_prefixes), _identity_of),
)
_backed_log_store = _optional({"backend": _backend}, storageClassName=labels(), retention=st.just("90d"))
_storage = st.fixed_dictionaries(
    {
        "trainingData": st.one_of(_data_store, _backed_store),
        "checkpoints": st.one_of(_data_store, _backed_store),
        "interactionLogs": st.one_of(_log_store, _backed_log_store),
    }
)
_metrics = _optional(
    {}, scrapers=st.lists(_optional({"namespace": outside_namespaces()}, podSelector=_label_maps), max_size=3)
)
_access = _optional(
    {"group": words, "zone": st.sampled_from([str(zone) for zone in Zone]), "role": st.sampled_from(["view", "logs"])}
)


recipients = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda raw: f"cloister-pub-x25519:{_base64url(raw)}"),
    st.binary(min_size=1, max_size=64).map(
        lambda raw: f"cloister-pub-mlkem768x25519:{_base64url((raw * 1216)[:1216])}"
    ),
)
_sink = st.fixed_dictionaries(
    {
        "url": st.sampled_from(["https://collector.example.com/v1/logs", "https://hooks.example.com:443/a"]),
        "addresses": st.lists(st.sampled_from(["203.0.113.7", "10.20.0.9", "2001:db8::7"]), min_size=1, unique=True),
    }
)
_export = _optional(
    {
        "publicKey": st.just(f"cloister-pub-x25519:{'A' * 42}I"),
        "secretRef": st.fixed_dictionaries({"name": st.just("export-keys")}),
    },
    records=st.lists(st.sampled_from(["alert", "refusal", "reply", "query"]), min_size=1, unique=True),
    recordsPerMinute=st.integers(1, 5000),
    otlp=_sink,
    webhook=_sink,
)
_audit = _optional(
    {"recipients": st.lists(recipients, min_size=1, max_size=3)},
    export=_export,
    content=st.sampled_from(["None", "Hash", "Redacted", "Full"]),
    onFailure=st.just("Block"),
)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _users(apis: Sequence[int]) -> SearchStrategy[Raw]:
    config_map = _optional({"name": labels(), "namespace": labels()}, key=st.sampled_from(["jwks.json", "Keys_1"]))
    rule = _optional(
        {
            "roles": st.lists(words, min_size=1, max_size=3),
            "apis": st.lists(st.sampled_from(apis), min_size=1, max_size=len(apis), unique=True),
        },
        countries=st.lists(st.sampled_from(["DE", "FR", "NO"]), unique=True),
        managedDevice=st.booleans(),
    )
    return _optional(
        {
            "issuer": st.sampled_from(["https://login.example.com/", "https://id.example.org:8443/realms/x"]),
            "audiences": st.lists(words, min_size=1, max_size=2),
        },
        jwks=st.fixed_dictionaries({"configMapRef": config_map}),
        revocations=st.fixed_dictionaries({"configMapRef": config_map}),
        mfa=_optional({}, required=st.booleans(), amr=st.lists(words, max_size=2), acr=st.lists(words, max_size=2)),
        claims=_optional({}, roles=words, country=words, managedDevice=words),
        maxSessionAge=st.builds("{}{}".format, st.integers(1, 999999), st.sampled_from("smhd")),
        rules=st.lists(rule, max_size=3),
    )


def _identity(apis: Sequence[int]) -> SearchStrategy[Raw]:
    return _optional(
        {},
        trustDomain=st.sampled_from(["cluster.local", "prod.example_1.org"]),
        issuerRef=_optional({"name": labels()}, kind=st.just("ClusterIssuer"), group=st.just("cert-manager.io")),
        certificateTTL=st.integers(1, 168).map("{}h".format),
        users=_users(apis),
    )


@cache
def _specs(count: int) -> SearchStrategy[Raw]:
    """With so many APIs, which are numbers. Made once: to make a strategy takes longer than to draw from it."""
    apis = range(count)
    return _optional(
        {"inference": _inference(apis), "storage": _storage, "audit": _audit},
        identity=_identity(apis),
        training=_training,
        metrics=_metrics,
        access=st.lists(_access, max_size=2),
        deletionPolicy=st.sampled_from(["Retain", "Delete"]),
        adopt=st.just("0123abcd-0000-4000-8000-00000000abcd"),
    )


def _name_apis(spec: Raw, called: list[str]) -> None:
    """Names in place of the numbers."""
    inference = spec["inference"]
    inference["apis"] = {called[number]: api for number, api in inference["apis"].items()}
    rules = spec.get("identity", {}).get("users", {}).get("rules", ())
    for one in (*inference.get("clients", ()), *rules):
        if "apis" in one:
            one["apis"] = [called[number] for number in one["apis"]]


_api_names = st.lists(labels(), min_size=1, max_size=3, unique=True)
_deployment_names = labels(40, first="abcdefghijklmnopqrstuvwxyz")
_excused = st.sets(st.sampled_from(EXCUSABLE), max_size=2)


@st.composite
def raw_deployments(draw: DrawFn) -> Raw:
    """A valid resource, as it would stand in a file."""
    apis = draw(_api_names)
    spec = draw(_specs(len(apis)))
    _name_apis(spec, apis)
    needed = {"ZT-06"} if spec.get("identity", {}).get("users", {}).get("mfa", {}).get("required") is False else set()
    if draw(st.booleans()):  # a tag instead of a digest, as its exception allows
        spec["inference"]["image"] = "registry.example.com/server:v1"
        needed.add("ZT-04")
    excused = sorted(needed | draw(_excused))
    if excused:
        spec["exceptions"] = [
            {"control": control, "reason": "lab cluster", "expires": "2026-12-31"} for control in excused
        ]
    name = draw(_deployment_names)
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": spec}


def deployments() -> SearchStrategy[LLMDeployment]:
    """Valid resources, parsed, as the API server would hand them over."""
    uid = {"uid": "11111111-2222-4333-8444-555555555555", "generation": 1}
    return raw_deployments().map(lambda raw: parse({**raw, "metadata": {**raw["metadata"], **uid}}))


def canary_runs() -> SearchStrategy[CanaryRun]:
    """Runs of the canaries, from one whose listeners are not ready to one whose probers are told everything."""
    address = st.integers(1, 254).map("10.244.0.{}".format)
    listeners = st.sampled_from([*map(str, Component), STRANGER, "training-zone"])
    beyond = st.builds(
        Beyond,
        st.sampled_from(["API server", "internet"]),
        address,
        st.integers(1, 65535),
        st.sampled_from(["tcp", "dns"]),
    )
    return st.builds(
        CanaryRun,
        id=st.text("0123456789abcdef", min_size=10, max_size=10),
        listeners=st.dictionaries(
            listeners,
            st.sampled_from([(), ("fd00::9",)]).flatmap(lambda more: st.tuples(address).map(lambda one: (*one, *more))),
        ),
        gates=st.dictionaries(st.sampled_from(Component), address),
        beyond=st.lists(beyond, max_size=4).map(tuple),
    )


def facts() -> SearchStrategy[Facts]:
    """What a cluster may look like, from one where nothing exists yet to one that is complete."""
    address = st.integers(1, 254).map("10.96.0.{}".format)
    key = {"kty": "EC", "crv": "P-256", "kid": "a", "use": "sig", "x": "AA", "y": "AA"}
    return st.builds(
        Facts,
        ca_generation=st.integers(1, 3),
        trust_bundle=st.sampled_from([None, "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]),
        cluster_ips=st.dictionaries(st.sampled_from(Component), address),
        jwks=st.sampled_from([None, "no JSON", json.dumps({"keys": [key]})]),
        canary=st.none() | canary_runs(),
        revocations=st.sampled_from([None, sidecar.Revocations(subjects=("alice",)).model_dump_json()]),
    )


def is_dns_subdomain(name: str) -> bool:
    """RFC 1123, as the API server asks of most names."""
    return (
        len(name) <= 253
        and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name) is not None
    )
