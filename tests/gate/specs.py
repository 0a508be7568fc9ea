"""Deployments for the tests of the gate, as a user would write them."""

import copy
from pathlib import Path
from typing import Any

import yaml

from cloister.spec import LLMDeployment, parse

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"

_STORES: dict[str, Any] = {
    "trainingData": {"size": "1Gi"},
    "checkpoints": {"size": "1Gi"},
    "interactionLogs": {"size": "1Gi"},
}
_AUDIT: dict[str, Any] = {"recipients": ["cloister-pub-x25519:UdvIK-V6UaWWGuipEkHpntRYfEtPJy5PGcaVGft3GVY"]}
_IMAGE = "registry.example.com/llm@sha256:" + "0" * 64
_CHAT = {"chat": {"methods": ["POST"], "paths": ["/v1/chat/completions"]}}
_USERS: dict[str, Any] = {
    "issuer": "https://login.example.com/",
    "audiences": ["support-bot"],
    "jwks": {"configMapRef": {"name": "jwks", "namespace": "web"}},
    "rules": [{"roles": ["agent"], "apis": ["chat"]}],
}
_NIGHTLY: dict[str, Any] = {"namespace": "batch", "serviceAccount": "nightly", "users": "NotRequired", "apis": ["chat"]}
_FRONTEND: dict[str, Any] = {"namespace": "web", "serviceAccount": "frontend"}


def deployment(spec: dict[str, Any], name: str = "support-bot") -> LLMDeployment:
    """A parsed resource."""
    return parse({"metadata": {"name": name, "uid": "u-1", "generation": 1}, "spec": spec})


def example(name: str) -> dict[str, Any]:
    """The spec of one of the examples."""
    spec: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())["spec"]
    return spec


def _spec(clients: list[dict[str, Any]], users: dict[str, Any] | None = None, **inference: Any) -> dict[str, Any]:
    model = {"image": _IMAGE, "apis": copy.deepcopy(_CHAT), "clients": clients} | inference
    identity = {"identity": {"users": users}} if users else {}
    return {"inference": model, "storage": copy.deepcopy(_STORES), "audit": copy.deepcopy(_AUDIT), **identity}


def every_kind() -> dict[str, LLMDeployment]:
    """One deployment for each shape that the gate's configuration takes."""
    people = [_FRONTEND, _NIGHTLY]
    lenient = [{"control": "ZT-06", "reason": "a test without a second factor", "expires": "2099-01-01"}]
    odd = {"roles": "https://example.com/roles", "country": "realm_access.country", "managedDevice": 'a"%b)'}
    trained = _spec([_NIGHTLY]) | {"training": {"image": _IMAGE, "reads": ["a/", "a/b/"], "writes": ["w/"]}}
    found = {
        "support-bot": example("support-bot"),
        "minimal": example("minimal"),
        "no clients": _spec([]),
        "people without an identity provider": _spec([_FRONTEND | {"apis": ["chat"]}]),
        "people only": _spec([_FRONTEND], _USERS),
        "people and machines": _spec(people, _USERS),
        "no rules": _spec(people, _USERS | {"rules": []}),
        "no second factor": _spec(people, _USERS | {"mfa": {"required": False}}) | {"exceptions": lenient},
        "acr": _spec(people, _USERS | {"mfa": {"acr": ["gold", 'od"d\\%']}}),
        "amr and acr": _spec(people, _USERS | {"mfa": {"acr": ["gold"], "amr": ["hwk"]}}),
        "odd claims": _spec(people, _USERS | {"claims": odd}),
        "training": trained,
        "training that touches nothing": _spec([]) | {"training": {"image": _IMAGE}},
        "all limits": _spec(people, _USERS, limits={"requestsPerMinute": 1_000_000, "maxBodyBytes": 2**26}),
    }
    return {kind: deployment(spec, "support-bot") for kind, spec in found.items()}
