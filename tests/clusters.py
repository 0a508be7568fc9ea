"""A cluster as `cloister check` sees it, all as it must be, and changes of it."""

import copy
import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import cloister
from cloister import names
from cloister.check import Object, Reply, View
from cloister.check.certmanager import DEFINITIONS, DEPLOYMENTS, ISSUER, WEBHOOKS
from cloister.check.cluster import NODE_LEASES, NODES, POD_SECURITY, RUNTIME_CLASSES, VERSION
from cloister.check.grants import BINDINGS, CLUSTER_BINDINGS, CLUSTER_ROLES, ROLES, ZONES
from cloister.check.guards import BINDINGS_PATH, POLICIES_PATH
from cloister.check.installation import CRD, LEASES, OPERATORS
from cloister.check.network import API_SERVER, CILIUM_CONFIG, DAEMONSETS
from cloister.check.storage import CLASSES
from cloister.check.storage import DEPLOYMENTS as LLMDEPLOYMENTS
from cloister.check.webhooks import MUTATING_WEBHOOKS
from cloister.crd import crd

KUSTOMIZED = Path(__file__).parents[1] / "manifests" / "kustomize"
NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
_CRD = crd()
HOME = "cloister-system"
ZONE = "bot-inference"

Change = Callable[[dict[str, Any]], object]


def meta(name: str, namespace: str = "", **labels: str) -> Object:
    """Metadata; in label names `__` stands for `/`, `_` for `-`, and `app__` for Kubernetes' recommended prefix."""
    named = {
        key.replace("app__", "app.kubernetes.io/").replace("__", "/").replace("_", "-"): value
        for key, value in labels.items()
    }
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": named}


def at(moment: dt.datetime) -> str:
    """A time as leases have it."""
    return moment.isoformat().replace("+00:00", "Z")


@cache
def installed(file: str, kind: str) -> list[Object]:
    """What the chart makes with its defaults, as the API server keeps it: it fills in what was left out."""
    found = [one for one in yaml.safe_load_all((KUSTOMIZED / file).read_text()) if one["kind"] == kind]
    for one in found:
        for part in ("matchConstraints", "matchResources"):
            if match := one["spec"].get(part):
                one["spec"][part] = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}} | match
                for each in (*match.get("resourceRules", ()), *match.get("excludeResourceRules", ())):
                    each.setdefault("scope", "*")
    return found


def healthy() -> dict[str, Any]:
    """Everything by its path; and `here`, `refused` and `replies`."""
    version = cloister.__version__
    ours = {"app__part_of": "cloister", "app__version": version}
    (operator,) = installed("operator.yaml", "Deployment")
    ready = {"replicas": 2, "readyReplicas": 2}
    definition = _CRD | {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
    return {
        VERSION: [{"gitVersion": "v1.33.1"}],
        NODES: [{"metadata": meta("n1"), "status": {"conditions": [{"type": "Ready", "status": "True"}]}}],
        NODE_LEASES: [{"metadata": meta("n1", "kube-node-lease"), "spec": {"renewTime": at(NOW)}}],
        RUNTIME_CLASSES: [{"metadata": meta("gvisor"), "handler": "runsc"}],
        **{
            path: [{"metadata": meta(path.rpartition("/")[2]), "spec": {"versions": [{"name": "v1", "served": True}]}}]
            for path in DEFINITIONS
        },
        DEPLOYMENTS: [
            {
                "metadata": meta(f"cert-manager{part}", "cert-manager", app__name=name, app__version="v1.16.2"),
                "spec": {"replicas": 1},
                "status": {"readyReplicas": 1},
            }
            for part, name in (("", "cert-manager"), ("-webhook", "webhook"), ("-cainjector", "cainjector"))
        ],
        WEBHOOKS: [],
        DAEMONSETS: [
            {
                "metadata": meta("cilium", "kube-system"),
                "spec": {"template": {"spec": {"containers": [{"image": "cilium"}]}}},
                "status": {"numberReady": 1, "desiredNumberScheduled": 1},
            }
        ],
        CILIUM_CONFIG: [{"metadata": meta("cilium-config", "kube-system"), "data": {"enable-policy": "default"}}],
        API_SERVER: [
            {
                "metadata": meta("kubernetes", "default"),
                "spec": {"clusterIP": "10.96.0.1", "ipFamilies": ["IPv4"]},
            }
        ],
        CLASSES: [
            {
                "metadata": meta("fast") | {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "parameters": {"encrypted": "true"},
            }
        ],
        LLMDEPLOYMENTS: [
            {
                "metadata": meta("bot"),
                "spec": {
                    "inference": {"runtimeClassName": "gvisor"},
                    "storage": {"checkpoints": {"storageClassName": "fast"}},
                },
            }
        ],
        CRD: [definition],
        OPERATORS: [
            {
                "metadata": meta("cloister", HOME, app__name="cloister", **ours),
                "spec": operator["spec"] | {"replicas": 2},
                "status": ready,
            }
        ],
        LEASES: [
            {
                "metadata": meta("cloister", HOME),
                "spec": {"holderIdentity": "pod-1", "renewTime": at(NOW), "leaseDurationSeconds": 15},
            }
        ],
        POLICIES_PATH: list(installed("admission.yaml", "ValidatingAdmissionPolicy")),
        BINDINGS_PATH: list(installed("admission.yaml", "ValidatingAdmissionPolicyBinding")),
        ZONES: [{"metadata": meta(ZONE) | {"labels": {names.LABEL_ZONE: "inference"}}}],
        CLUSTER_ROLES: [{"metadata": meta("cluster-admin"), "rules": [_everything()]}],
        CLUSTER_BINDINGS: [
            {
                "metadata": meta("cluster-admin", kubernetes_io="") | {
                    "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}
                },
                "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "Group", "name": "system:masters"}],
            }
        ],
        MUTATING_WEBHOOKS: [
            webhook("cert-manager-webhook", [webhook_rule("cert-manager.io", "certificaterequests")]),
            webhook(
                "istio-sidecar-injector",
                [webhook_rule("", "pods")],
                namespaceSelector={"matchLabels": {"istio-injection": "enabled"}},
            ),
        ],
        ROLES: [],
        BINDINGS: [],
        "here": NOW,
        "refused": {},
        "replies": {
            POD_SECURITY: Reply(
                422, "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"cloister-check\""
            ),
            ISSUER: Reply(201, "status 201"),
        },
    }  # fmt: skip


def seen(*changes: Change) -> View:
    """The healthy cluster with something changed."""
    state = copy.deepcopy(healthy())
    for change in changes:
        change(state)
    here, refused, replies = (state.pop(key) for key in ("here", "refused", "replies"))
    objects = {path: None if found is None else tuple(found) for path, found in state.items()}
    return View(cloister.__version__, here, NOW, objects, refused, replies)


def webhook(name: str, rules: list[Object], **selectors: Object) -> Object:
    """A configuration with one mutating webhook."""
    return {"metadata": meta(name), "webhooks": [{"name": f"{name}.example.com", "rules": rules} | selectors]}


def webhook_rule(group: str, resources: str, *operations: str) -> Object:
    """What a webhook is asked about."""
    return {"apiGroups": [group], "resources": [resources], "operations": list(operations or ("CREATE",))}


def given(role_rules: list[Object], subject: Object, namespace: str = "", *, local: bool = False) -> Change:
    """Somebody is bound to a role with these rules, in one namespace or in the whole cluster."""

    def change(state: dict[str, Any]) -> None:
        role = {"metadata": meta("power", namespace if local else ""), "rules": role_rules}
        state[ROLES if local else CLUSTER_ROLES].append(role)
        binding = {
            "metadata": meta("somebody", namespace),
            "roleRef": {"kind": "Role" if local else "ClusterRole", "name": "power"},
            "subjects": [subject],
        }
        state[BINDINGS if namespace else CLUSTER_BINDINGS].append(binding)

    return change


def rule(group: str, resources: str, verbs: str, *names_: str) -> Object:
    """One rule of a role."""
    found: Object = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return found | ({"resourceNames": list(names_)} if names_ else {})


def _everything() -> Object:
    return {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
