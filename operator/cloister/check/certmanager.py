"""CK2nn: cert-manager, which issues every identity."""

import json
import re
from collections.abc import Iterator

from cloister.check.answer import Answer, Check, error, ok, unknown
from cloister.check.view import Object, Probe, View, labels, qualified

_CRDS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITIONS = tuple(f"{_CRDS}/{plural}.cert-manager.io" for plural in ("certificates", "certificaterequests",
                                                                     "clusterissuers"))  # fmt: skip
DEPLOYMENTS = "apis/apps/v1/deployments?labelSelector=app.kubernetes.io/component in (controller,webhook,cainjector)"
WEBHOOKS = (
    "apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    "?labelSelector=app.kubernetes.io/component=webhook"
)
OLDEST = (1, 11)
_VERSION_LABEL = "app.kubernetes.io/version"
_PARTS = ("controller", "webhook", "cainjector")

ISSUER = Probe(
    "apis/cert-manager.io/v1/clusterissuers",
    json.dumps({
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"generateName": "cloister-check-"},
        "spec": {"selfSigned": {}},
    }),
)  # fmt: skip
"""As `cmctl check api` does: the API server asks cert-manager's webhook before it answers."""


def _definitions(view: View) -> Iterator[Answer]:
    for path in DEFINITIONS:
        name, found = path.rpartition("/")[2], view.one(path)
        if found is None:
            yield error(name, "is not defined: cert-manager is not installed")
        elif not any(version["name"] == "v1" and version["served"] for version in found["spec"]["versions"]):
            yield error(name, "is not served as v1", "upgrade cert-manager")
        else:
            yield ok(name, "is served as v1")


def _version(view: View) -> Iterator[Answer]:
    for thing in (*_deployments(view), *_webhooks(view), *filter(None, map(view.one, DEFINITIONS))):
        text = labels(thing).get(_VERSION_LABEL, "")
        if match := re.match(r"v?(\d+)\.(\d+)", text):
            version = int(match[1]), int(match[2])
            if version >= OLDEST:
                yield ok(qualified(thing), f"cert-manager {text}")
            else:
                yield error(qualified(thing), f"cert-manager {text}: at least {OLDEST[0]}.{OLDEST[1]} is needed")
            return
    yield unknown("", f"nothing of cert-manager carries the label {_VERSION_LABEL}")


def _running(view: View) -> Iterator[Answer]:
    deployments = _deployments(view)
    if not deployments:
        yield unknown("", "no Deployment of cert-manager is found by its labels")
    for deployment in deployments:
        wanted = deployment["spec"].get("replicas", 1)
        ready = deployment.get("status", {}).get("readyReplicas", 0)
        text = f"{ready} of {wanted} pods are ready"
        yield ok(qualified(deployment), text) if ready else error(qualified(deployment), text)


def _webhook(view: View) -> Iterator[Answer]:
    reply = view.replies.get(ISSUER)
    if reply is None:
        yield unknown("", "was not tried")
    elif reply.status < 300 or "denied the request" in reply.message:
        yield ok("", "answers the API server")
    elif reply.status == 404:
        yield error("", "is not there: cert-manager is not installed")
    elif "failed calling webhook" in reply.message:
        yield error("", reply.message)
    else:
        yield unknown("", f"the API server answered {reply.status}: {reply.message}")


def namespaces(view: View) -> frozenset[str]:
    """Where cert-manager runs, as far as it can be told."""
    found = {str(thing["metadata"]["namespace"]) for thing in _deployments(view)}
    for configuration in _webhooks(view):
        for webhook in configuration["webhooks"]:
            found |= {webhook["clientConfig"].get("service", {}).get("namespace", "cert-manager")}
    return frozenset(found)


def _deployments(view: View) -> list[Object]:
    return [
        found
        for found in view.all(DEPLOYMENTS)
        if labels(found).get("app.kubernetes.io/name") in ("cert-manager", *_PARTS)
        and "cert-manager" in found["metadata"]["name"]
    ]


def _webhooks(view: View) -> list[Object]:
    return [
        found
        for found in view.all(WEBHOOKS)
        if any(webhook["name"].endswith(".cert-manager.io") for webhook in found.get("webhooks") or ())
    ]


_INSTALL = "install cert-manager (https://cert-manager.io/docs/installation/), before or after Cloister"

CERT_MANAGER = (
    Check("CK201", "cert-manager's resources", _INSTALL, _definitions, asks=DEFINITIONS),
    Check(
        "CK202",
        "cert-manager's version",
        f"upgrade cert-manager to {OLDEST[0]}.{OLDEST[1]} or newer",
        _version,
        helped_by=(DEPLOYMENTS, WEBHOOKS, *DEFINITIONS),
    ),
    Check(
        "CK203",
        "cert-manager's programs",
        "see `kubectl describe` of that Deployment; without them no certificate is issued or renewed",
        _running,
        asks=(DEPLOYMENTS,),
    ),
    Check(
        "CK204",
        "cert-manager's webhook",
        "see that its pod is ready and that the API server reaches it; until then nothing of cert-manager is accepted",
        _webhook,
        probes=(ISSUER,),
    ),
)
