"""What RBAC gives to whom, as far as it reaches zones, cert-manager or the operator."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cloister import names
from cloister.check import certmanager
from cloister.check.installation import operators
from cloister.check.view import Object, View, qualified

_RBAC = "apis/rbac.authorization.k8s.io/v1"
CLUSTER_ROLES, CLUSTER_BINDINGS = f"{_RBAC}/clusterroles", f"{_RBAC}/clusterrolebindings"
ROLES, BINDINGS = f"{_RBAC}/roles", f"{_RBAC}/rolebindings"
ZONES = f"api/v1/namespaces?labelSelector={names.LABEL_ZONE}"
PATHS = (CLUSTER_ROLES, CLUSTER_BINDINGS, ROLES, BINDINGS)


@dataclass(frozen=True)
class Rights:
    """Verbs on resources; one of each is enough."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]

    def given_by(self, rule: Object) -> bool:
        """Whether a rule of a role gives any of it."""
        resources = {*self.resources, *(f"*/{name.partition('/')[2]}" for name in self.resources if "/" in name)}
        return (
            _meets(rule.get("apiGroups"), self.groups)
            and _meets(rule.get("resources"), resources)
            and _meets(rule.get("verbs"), self.verbs)
        )


@dataclass(frozen=True)
class Grant:
    """A subject, and the binding that gives it a role."""

    subject: str
    """`Group dev`, or `ServiceAccount ci/deployer`."""
    binding: str
    role: str
    namespace: str | None
    """None: in the whole cluster."""
    rules: tuple[Object, ...]
    trusted: str
    """Why it is passed over: what it belongs to. Empty: it is not."""

    @property
    def administers(self) -> bool:
        """Whether it may do everything."""
        return any(
            all("*" in (rule.get(part) or ()) for part in ("apiGroups", "resources", "verbs")) for rule in self.rules
        )

    def gives(self, rights: Rights) -> bool:
        """Whether it gives any of these rights, be it on some names only."""
        return any(rights.given_by(rule) for rule in self.rules)

    def where(self) -> str:
        """For people."""
        place = f"in namespace {self.namespace}" if self.namespace else "in every namespace"
        return f"{place}, by {self.binding} ({self.role})"


def grants(view: View) -> tuple[Grant, ...]:
    """Every grant that reaches what matters: those of the whole cluster, and those in the namespaces concerned."""
    return tuple(_grants(view))


def _grants(view: View) -> Iterator[Grant]:
    cluster_roles = {found["metadata"]["name"]: found for found in view.all(CLUSTER_ROLES)}
    roles = {qualified(found): found for found in view.all(ROLES)}
    concerned, ours = _concerned(view), _ours(view)
    for binding in view.all(CLUSTER_BINDINGS):
        yield from _of(binding, cluster_roles.get(binding["roleRef"]["name"]), None, ours)
    for binding in view.all(BINDINGS):
        namespace, role = binding["metadata"]["namespace"], binding["roleRef"]
        if namespace in concerned:
            local = roles.get(f"{namespace}/{role['name']}")
            found = cluster_roles.get(role["name"]) if role["kind"] == "ClusterRole" else local
            yield from _of(binding, found, namespace, ours)


def _of(binding: Object, role: Object | None, namespace: str | None, ours: Mapping[str, str]) -> Iterator[Grant]:
    if role is None:
        return  # a binding to what does not exist gives nothing
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    for subject in binding.get("subjects") or ():
        name = _subject(subject, namespace)
        trusted = "Kubernetes" if _of_kubernetes(subject) else ours.get(name, "")
        yield Grant(
            name,
            f"{kind} {binding['metadata']['name']}",
            f"{binding['roleRef']['kind']} {binding['roleRef']['name']}",
            namespace,
            tuple(role.get("rules") or ()),
            trusted,
        )


def _subject(subject: Object, namespace: str | None) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"ServiceAccount {subject.get('namespace') or namespace}/{subject['name']}"
    return f"{subject['kind']} {subject['name']}"


_EVERYBODY = ("system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccount")
"""Beginnings of names: OpenShift has `system:authenticated:oauth`."""


def _of_kubernetes(subject: Object) -> bool:
    """The cluster's own programs; everybody is none of them, and every service account neither.

    Only the API server gives out names that begin with `system:`; labels of a binding are whatever its writer wrote.
    """
    if subject["kind"] == "ServiceAccount":
        return bool(subject.get("namespace") == "kube-system")
    name = str(subject["name"])
    return name.startswith("system:") and not name.startswith(_EVERYBODY)


def _concerned(view: View) -> frozenset[str]:
    """Namespaces in which a right matters: zones, and where identities are issued and the operator runs."""
    return guarded(view) | issuing(view)


def guarded(view: View) -> frozenset[str]:
    """Namespaces in which the chart's guards refuse what RBAC lets through: zones, and where the operator runs."""
    found = {str(zone["metadata"]["name"]) for zone in view.all(ZONES)}
    return frozenset(found | {str(one["metadata"]["namespace"]) for one in operators(view)})


def issuing(view: View) -> frozenset[str]:
    """Namespaces in which cert-manager runs: whoever is inside its pods reads every CA's key."""
    return frozenset(certmanager.namespaces(view) or {"cert-manager"})


def _ours(view: View) -> dict[str, str]:
    """Subject -> what it belongs to, for those whose rights are part of the design."""
    accounts = {f"ServiceAccount {namespace}/{name}": "cert-manager"
                for namespace in issuing(view)
                for name in ("cert-manager", "cert-manager-webhook", "cert-manager-cainjector")}  # fmt: skip
    for one in operators(view):
        account = one["spec"]["template"]["spec"].get("serviceAccountName", "default")
        accounts[f"ServiceAccount {one['metadata']['namespace']}/{account}"] = "Cloister"
    return accounts


def _meets(given: Iterable[str] | None, wanted: Iterable[str]) -> bool:
    given = set(given or ())
    return "*" in given or bool(given & set(wanted))
