"""CK5nn: Cloister itself."""

import datetime as dt
from collections.abc import Iterator

from cloister import names
from cloister.check.answer import Answer, Check, error, ok, warning
from cloister.check.view import Object, View, labels, qualified, time_of
from cloister.crd import schema

CRD = f"apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.PLURAL}.{names.GROUP}"
OPERATORS = "apis/apps/v1/deployments?labelSelector=app.kubernetes.io/part-of=cloister"
LEASES = "apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.name=cloister"
VERSION_LABEL = "app.kubernetes.io/version"
_LEASE_SECONDS = 15
_SHOWN = 5


def _definition(view: View) -> Iterator[Answer]:
    found = view.one(CRD)
    if found is None:
        yield error(names.PLURAL, "is not defined: Cloister is not installed")
        return
    served = {version["name"]: version for version in found["spec"]["versions"] if version["served"]}
    conditions = found.get("status", {}).get("conditions") or ()
    established = any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
    if names.VERSION not in served or not established:
        yield error(names.PLURAL, f"is not served as {names.VERSION}")
        return
    there = set(_fields(served[names.VERSION].get("schema", {}).get("openAPIV3Schema", {})))
    here = set(_fields(schema()))
    if there == here:
        yield ok(names.PLURAL, f"is served as {names.VERSION}, with the fields that this command knows")
    for differing, what in ((here - there, "lacks"), (there - here, "has, unknown to this command,")):
        if differing:
            more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
            shown = ", ".join(sorted(differing)[:_SHOWN])
            yield warning(names.PLURAL, f"the cluster's definition {what} {shown}{more}")


def _fields(schema: Object, path: str = "") -> Iterator[str]:
    """Every field below a schema, dotted."""
    for name, inner in (schema.get("properties") or {}).items():
        yield (below := f"{path}.{name}".lstrip("."))
        yield from _fields(inner, below)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from _fields(inner, f"{path}[]")


def operators(view: View) -> list[Object]:
    """Deployments of the operator; there should be one."""
    return [found for found in view.all(OPERATORS) if labels(found).get("app.kubernetes.io/name")]


def _operator(view: View) -> Iterator[Answer]:
    found = operators(view)
    if not found:
        yield error("", "no Deployment carries the label app.kubernetes.io/part-of=cloister")
    if len(found) > 1:
        yield error(", ".join(map(qualified, found)), "are several operators: one cluster has one")
    for deployment in found:
        wanted = deployment["spec"].get("replicas", 1)
        ready = deployment.get("status", {}).get("readyReplicas", 0)
        answer = error if not ready else ok if ready == wanted else warning
        yield answer(qualified(deployment), f"{ready} of {wanted} pods are ready")
        version = labels(deployment).get(VERSION_LABEL, "")
        if version == view.command:
            yield ok(qualified(deployment), f"version {version}, as this command")
        else:
            yield warning(
                qualified(deployment),
                f"version {version or 'unknown'}, and this command is {view.command}",
                "use the command of the operator's version",
            )


def _leader(view: View) -> Iterator[Answer]:
    places = {found["metadata"]["namespace"] for found in operators(view)}
    leases = [found for found in view.all(LEASES) if not places or found["metadata"]["namespace"] in places]
    if not leases:
        yield error("", "there is no Lease of the operator: none has ever led")
    for lease in leases:
        spec = lease["spec"]
        holder, renewed = spec.get("holderIdentity") or "", time_of(spec.get("renewTime"))
        lasts = dt.timedelta(seconds=spec.get("leaseDurationSeconds") or _LEASE_SECONDS)
        if not holder or renewed is None:
            yield error(qualified(lease), "nobody leads")
        elif view.there - renewed > lasts:
            ago = (view.there - renewed).total_seconds()
            yield error(qualified(lease), f"{holder} led, and has not renewed the lease for {ago:.0f} s")
        else:
            yield ok(qualified(lease), f"{holder} leads")


_INSTALL = "install Cloister: `helm upgrade --install cloister charts/cloister -n cloister-system --create-namespace`"
_PODS = "see `kubectl get pods` in its namespace; what is in force stays in force, and nothing is repaired meanwhile"

INSTALLATION = (
    Check(
        "CK501",
        "The resource's definition",
        "upgrade the chart (values crds.enabled), or use the command of the chart's version",
        _definition,
        asks=(CRD,),
    ),
    Check("CK502", "The operator", _INSTALL, _operator, asks=(OPERATORS,)),
    Check("CK503", "The leader among the operators", _PODS, _leader, asks=(LEASES,), helped_by=(OPERATORS,)),
)
