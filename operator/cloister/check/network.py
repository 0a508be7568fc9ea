"""CK3nn: who enforces NetworkPolicies, and for which addresses. What is installed is seen here; that it does its work,
the canary proves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cloister.check.answer import MAY_NOT_READ, Answer, Check, State, error, ok, unknown, warning
from cloister.check.view import Object, View, qualified

DAEMONSETS = "apis/apps/v1/daemonsets"
API_SERVER = "api/v1/namespaces/default/services/kubernetes"
CILIUM_CONFIG = "api/v1/namespaces/kube-system/configmaps/cilium-config"
_AWS_MODE = "NETWORK_POLICY_ENFORCING_MODE"
_PROOF = "whether it enforces is proven by Cloister's canary: see the condition IsolationProven"


@dataclass(frozen=True)
class _Plugin:
    """A network plugin, told by its DaemonSet."""

    name: str
    daemonset: str
    enforces: bool
    exception: Callable[[Object, View], str | None] = lambda _, __: None
    """Why this one does not enforce although the plugin can."""
    opens: Callable[[Object], str | None] = lambda _: None
    """Why this one lets new pods through at first although the plugin can hold them back."""
    settings: str = ""
    """Where it reads whether it is to enforce, if not in its DaemonSet."""


def _without_agent(daemonset: Object, _: View) -> str | None:
    agent = [one for one in _containers(daemonset) if "network-policy-agent" in one["image"]]
    if not agent:
        return "it has no network policy agent"
    on = any("enable-network-policy=true" in argument for one in agent for argument in one.get("args") or ())
    return None if on else "its network policy agent runs without --enable-network-policy=true"


def _not_strict(daemonset: Object) -> str | None:
    found = [one for container in _containers(daemonset) for one in container.get("env") or ()]
    mode = next((one.get("value") for one in found if one["name"] == _AWS_MODE), None)
    if mode == "strict":
        return None
    return f"{_AWS_MODE} of its container aws-node is {mode or 'not set'}, and not strict"


def _never(_: Object, view: View) -> str | None:
    config = (view.one(CILIUM_CONFIG) or {}).get("data") or {}
    return "enable-policy is never in its ConfigMap cilium-config" if config.get("enable-policy") == "never" else None


def _without_firewall(daemonset: Object, _: View) -> str | None:
    arguments = [argument for one in _containers(daemonset) for argument in one.get("args") or ()]
    return "it runs with --run-firewall=false" if "--run-firewall=false" in arguments else None


_PLUGINS = (
    _Plugin("Cilium", "cilium", True, _never, settings=CILIUM_CONFIG),
    _Plugin("Cilium (GKE Dataplane V2)", "anetd", True),
    _Plugin("Calico", "calico-node", True),
    _Plugin("Canal", "canal", True),
    _Plugin("Antrea", "antrea-agent", True),
    _Plugin("OVN-Kubernetes", "ovnkube-node", True),
    _Plugin("kube-router", "kube-router", True, _without_firewall),
    _Plugin("kube-network-policies", "kube-network-policies", True),
    _Plugin("Azure Network Policy Manager", "azure-npm", True),
    _Plugin("Amazon VPC CNI", "aws-node", True, _without_agent, _not_strict),
    _Plugin("Flannel", "kube-flannel-ds", False),
    _Plugin("Flannel", "kube-flannel", False),
)
"""kindnet is not among them: it enforces in newer versions, and its name does not tell which it is."""


def _enforcement(view: View) -> Iterator[Answer]:
    found = [
        (plugin, daemonset)
        for daemonset in view.all(DAEMONSETS)
        for plugin in _PLUGINS
        if daemonset["metadata"]["name"] == plugin.daemonset
    ]
    answers = [_judged(plugin, daemonset, view) for plugin, daemonset in found]
    if good := [answer for answer in answers if answer.state in (State.OK, State.WARNING)]:
        yield from good
    elif answers:
        yield from answers
    else:
        yield unknown("", "no network plugin is known by its DaemonSet", _PROOF)


def _judged(plugin: _Plugin, daemonset: Object, view: View) -> Answer:
    subject = f"{plugin.name} ({qualified(daemonset)})"
    if not plugin.enforces:
        return error(subject, "does not enforce NetworkPolicies by itself")
    if why := plugin.exception(daemonset, view):
        return error(subject, f"does not enforce NetworkPolicies: {why}")
    if refusal := view.refused.get(plugin.settings):
        return unknown(subject, f"whether it is told not to enforce can't be read: {refusal}", MAY_NOT_READ)
    status = daemonset.get("status", {})
    ready, wanted = status.get("numberReady", 0), status.get("desiredNumberScheduled", 0)
    if not ready:
        return error(subject, f"enforces nothing: it is ready on none of {wanted} nodes")
    if ready < wanted:
        return warning(subject, f"enforces NetworkPolicies, and is ready on {ready} of {wanted} nodes only")
    if why := plugin.opens(daemonset):
        hint = "set it (from version 1.17.1 on): canaries try at once, and nothing starts while they get through"
        return warning(subject, f"enforces NetworkPolicies, and leaves pods open for their first seconds: {why}", hint)
    return ok(subject, f"enforces NetworkPolicies, on {ready} nodes")


def _family(view: View) -> Iterator[Answer]:
    spec = (view.one(API_SERVER) or {}).get("spec") or {}
    address = str(spec.get("clusterIP", ""))
    if not address:
        yield unknown("", "the Service default/kubernetes has no address")
    elif ":" in address:
        message = f"the cluster's first family is IPv6 (default/kubernetes is {address}); gates listen on IPv4 alone"
        yield error("", message)
    else:
        also = ", and IPv6 besides, where canaries try it too" if len(spec.get("ipFamilies") or ()) > 1 else ""
        yield ok("", f"IPv4{also}")


def _containers(daemonset: Object) -> list[Object]:
    return list(daemonset["spec"]["template"]["spec"]["containers"])


NETWORK = (
    Check(
        "CK301",
        "A network plugin that enforces",
        "install one that enforces NetworkPolicies (Cilium, Calico, Antrea, kube-network-policies), or turn that on",
        _enforcement,
        asks=(DAEMONSETS,),
        sometimes=(CILIUM_CONFIG,),
    ),
    Check(
        "CK302",
        "IPv4",
        "use a cluster of IPv4, or of both families with IPv4 first",
        _family,
        asks=(API_SERVER,),
    ),
)
