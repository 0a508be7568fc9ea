"""What the cluster holds, as the person sees it: policies against what is rendered, and what the operator reports."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cloister import names
from cloister.cli.live import Cluster
from cloister.cli.verification.check import Check, Outcome
from cloister.facts import Facts, Settings
from cloister.render.canary import canary_ground
from cloister.render.network import allow_flows, deny_all
from cloister.spec import LLMDeployment, seconds
from cloister.zones import PLACES, Component

_OUTCOMES = {"True": Outcome.HOLDS, "False": Outcome.FAILED}
_NOT_FAMILIES = ("Ready", "Reconciling", "Stalled", "IsolationProven", "WorkloadsReady")
"""Conditions that say no more than others, or that workloads run: that is no promise of isolation."""
_ADD_MORE = "cilium.io/v2/ciliumnetworkpolicies", "crd.projectcalico.org/v1/networkpolicies"
"""Other kinds by which a network plugin lets something into a namespace."""
_ABOVE = (
    "policy.networking.k8s.io/v1alpha1/adminnetworkpolicies",
    "policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies",
    "policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
    "cilium.io/v2/ciliumclusterwidenetworkpolicies",
    "crd.projectcalico.org/v1/globalnetworkpolicies",
)
"""Kinds of policies for the whole cluster. Whether one opens a zone its rules decide, and its order among others."""


def policies(cluster: Cluster, deployment: LLMDeployment) -> Iterator[Check]:
    """Each policy as it must be, and none besides."""
    wanted = {
        names.key(obj): obj["spec"]
        for renderer in (deny_all, allow_flows, canary_ground)
        for obj in renderer(deployment, Facts(), Settings())
    }
    for place in PLACES:
        namespace = names.namespace(deployment.name, place)
        reply = cluster.send("GET", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
        if reply.status != 200:
            why = f"networkpolicies can't be listed ({reply.status}): {reply.message}"
            yield Check("policies", namespace, Outcome.UNTRIED, why)
            continue
        live = {str(item["metadata"]["name"]): item.get("spec") or {} for item in reply.body["items"]}
        own = {key[2]: spec for key, spec in wanted.items() if key[1] == namespace}
        for name, spec in sorted(own.items()):
            yield _policy(f"{namespace}/{name}", spec, live.get(name))
        yield _foreign(cluster, namespace, sorted(live.keys() - own.keys()))
    yield _above(cluster)


def _policy(where: str, wanted: Any, live: Any) -> Check:
    if live is None:
        return Check("policies", where, Outcome.FAILED, "is missing")
    if _bare(live) != _bare(wanted):
        return Check("policies", where, Outcome.FAILED, "is not what the deployment declares: somebody has changed it")
    return Check("policies", where, Outcome.HOLDS, "as declared")


def _foreign(cluster: Cluster, namespace: str, others: list[str]) -> Check:
    name = f"no foreign policy in {namespace}"
    found, unread = _others(cluster, _ADD_MORE, f"namespaces/{namespace}/")
    if others := [*others, *found]:
        said = f"not Cloister's, and may widen the zone: {', '.join(others)}"
        return Check("policies", name, Outcome.FAILED, said)
    if unread:
        return Check("policies", name, Outcome.UNTRIED, "; ".join(unread))
    return Check("policies", name, Outcome.HOLDS, "none")


def _above(cluster: Cluster) -> Check:
    name = "no policy for the whole cluster"
    found, unread = _others(cluster, _ABOVE)
    above = [f"may widen a zone or close it, which only canaries can tell: {', '.join(found)}"] if found else []
    if said := [*above, *unread]:
        return Check("policies", name, Outcome.UNTRIED, "; ".join(said))
    return Check("policies", name, Outcome.HOLDS, "none")


def _others(cluster: Cluster, paths: Iterable[str], where: str = "") -> tuple[list[str], list[str]]:
    """What there is of these kinds, and why of some nobody knows. A kind that does not exist has none."""
    found, unread = [], []
    for path in paths:
        version, _, plural = path.rpartition("/")
        reply = cluster.send("GET", f"/apis/{version}/{where}{plural}")
        if reply.status == 200:
            found += [f"{plural}/{item['metadata']['name']}" for item in reply.body.get("items", ())]
        elif reply.status != 404:
            unread.append(f"{plural} can't be listed ({reply.status}): {reply.message}")
    return found, unread


def _bare(value: Any) -> Any:
    """Without what the API server drops or leaves out: empty lists and maps. An empty podSelector says something, but
    the same whether it is there or not."""
    if isinstance(value, Mapping):
        return {name: bare for name, part in value.items() if (bare := _bare(part)) not in (None, {}, [])}
    return [_bare(part) for part in value] if isinstance(value, list) else value


def reported(deployment: LLMDeployment, raw: Mapping[str, Any], now: dt.datetime) -> Iterator[Check]:
    """Certificates, keys, and the operator's own conditions."""
    status = raw.get("status") or {}
    if status.get("observedGeneration", -1) < raw["metadata"].get("generation", 0):
        yield Check("status", "latest change", Outcome.FAILED, "has not been handled by the operator")
    for one in status.get("certificates") or ():
        yield _certificate(one, now)
    for one in status.get("keyrings") or ():
        yield _keyring(deployment, one, now)
    for one in status.get("conditions") or ():
        if one["type"] not in _NOT_FAMILIES:
            outcome = _OUTCOMES.get(one["status"], Outcome.UNTRIED)
            yield Check("status", one["type"], outcome, one["message"])


def _certificate(one: Mapping[str, Any], now: dt.datetime) -> Check:
    name = f"{one['namespace']}/{one['name']}"
    end, renewal = (_time(one.get(field)) for field in ("notAfter", "renewalTime"))
    if not one["ready"] or end is None:
        return Check("certificates", name, Outcome.FAILED, "is not issued")
    if end <= now:
        return Check("certificates", name, Outcome.FAILED, f"has expired at {one['notAfter']}")
    if renewal and renewal < now - dt.timedelta(minutes=10):
        return Check("certificates", name, Outcome.FAILED, f"should have been renewed at {one['renewalTime']}")
    return Check("certificates", name, Outcome.HOLDS, f"until {one['notAfter']}")


def _keyring(deployment: LLMDeployment, one: Mapping[str, Any], now: dt.datetime) -> Check:
    store = one["store"]
    name = f"keys of {store}"
    created = _time(one.get("created"))
    if created is None:
        return Check("at rest", name, Outcome.UNTRIED, f"Secret {one['secret']} is filled by something else")
    encryption = deployment.spec.storage.by_component()[Component(store)].encryption
    every = encryption and encryption.rotate_every
    # A day for objects to be moved.
    if every and created + dt.timedelta(seconds=seconds(every), days=1) < now:
        return Check("at rest", name, Outcome.FAILED, f"made at {one['created']}, to be rotated every {every}")
    old = f"; objects are being moved away from {', '.join(map(str, one['old']))}" if one.get("old") else ""
    return Check("at rest", name, Outcome.HOLDS, f"version {one['current']} of {one['created']}{old}")


def _time(text: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
