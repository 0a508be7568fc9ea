"""CK7nn: who holds rights that lead around the guards. RBAC must deny what no admission policy sees."""

from collections import Counter
from collections.abc import Callable, Iterator

from cloister.check.answer import Answer, Check, note, ok, warning
from cloister.check.certmanager import DEPLOYMENTS, WEBHOOKS
from cloister.check.grants import PATHS, ZONES, Grant, Rights, grants, guarded, issuing
from cloister.check.guards import BINDINGS_PATH, POLICIES_PATH, is_bound
from cloister.check.installation import OPERATORS
from cloister.check.view import View
from cloister.guards import EXEC

_RBAC_GROUP = "rbac.authorization.k8s.io"
_GUARDED = "refused in zones by exec-guard, except for the break-glass group"
_UNGUARDED = "give it by Role in the namespaces that need it: whoever is inside cert-manager's pods has every CA's key"


def _administrators(view: View) -> Iterator[Answer]:
    found = [grant for grant in grants(view) if grant.administers]
    for grant in found:
        if not grant.trusted:
            yield note(grant.subject, f"may do everything {grant.where()}")
    yield _folded(found, "nobody but")


def _holders(
    what: str, *rights: Rights, policy: str = "", in_namespaces: bool = True, in_zones: bool = True
) -> Callable[[View], Iterator[Answer]]:
    """A check that lists who may do something. Where a policy of the chart refuses it, it is worth knowing only; none
    does where cert-manager runs. Without `in_zones` it is about that place alone."""

    def check(view: View) -> Iterator[Answer]:
        holders = [
            grant
            for grant in grants(view)
            if not grant.administers
            and (in_namespaces or not grant.namespace)
            and (in_zones or _unguarded(view, grant))
            and any(grant.gives(each) for each in rights)
        ]
        refused = bool(policy) and is_bound(view, policy)
        for grant in {(one.subject, one.where(), one.trusted): one for one in holders}.values():
            if grant.trusted:
                continue
            said = f"may {what} {grant.where()}"
            if (policy or not in_zones) and (places := _unguarded(view, grant)):
                reason = f"no guard refuses that in {', '.join(places)}, where cert-manager reads every CA's key"
                yield warning(grant.subject, f"{said}: {reason}", _UNGUARDED)
            elif refused:
                yield note(grant.subject, f"{said}: {_GUARDED}")
            else:
                yield warning(grant.subject, said)
        yield _folded(holders, f"may {what}: nobody but administrators and")

    return check


def _unguarded(view: View, grant: Grant) -> list[str]:
    """Namespaces of cert-manager that a grant reaches, and no guard."""
    open_to_all = issuing(view) - guarded(view)
    return sorted(open_to_all if grant.namespace is None else open_to_all & {grant.namespace})


def _folded(found: list[Grant], text: str) -> Answer:
    counts = Counter(grant.trusted for grant in found if grant.trusted)
    own = ", ".join(f"{count} of {name}'s own" for name, count in sorted(counts.items())) or "no built-in account"
    others = sum(not grant.trusted for grant in found)
    return ok("", f"{text} {own}" if not others else f"not listed: {own}")


_ASKS = (*PATHS, ZONES)
_WRITES = ("create", "update", "patch")
_HELPED = (OPERATORS, DEPLOYMENTS, WEBHOOKS)

POWERS = (
    Check(
        "CK701",
        "Administrators of the cluster",
        "bind fewer people to cluster-admin",
        _administrators,
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK702",
        "Who may talk to kubelets (nodes/proxy)",
        "give nodes/metrics and nodes/stats instead: nodes/proxy runs commands in every pod, past the API server",
        _holders("use nodes/proxy", Rights(("",), ("nodes/proxy",), ("get", "create")), in_namespaces=False),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK703",
        "Who may impersonate",
        "bind impersonation to the names that are needed; who may be anybody is the operator, or breaks the glass",
        _holders(
            "impersonate",
            Rights(("", "authentication.k8s.io"), ("users", "groups", "serviceaccounts", "uids"), ("impersonate",)),
        ),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK704",
        "Who may read Secrets of zones and of cert-manager",
        "give it by Role in the namespaces that need it: keyrings and the keys of identities are Secrets",
        _holders("read Secrets", Rights(("",), ("secrets",), ("get", "list", "watch"))),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK705",
        "Who may give rights that they have not (escalate, bind)",
        "remove the verbs escalate and bind, or name with resourceNames what may be bound",
        _holders(
            "escalate or bind",
            Rights((_RBAC_GROUP,), ("roles", "clusterroles"), ("escalate", "bind")),
        ),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK706",
        "Who may enter pods",
        "turn the guards on (CK601), or remove the right",
        _holders(
            "enter pods",
            Rights(("",), ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy"), ("get", "create")),
            Rights(("",), ("pods/ephemeralcontainers",), ("update", "patch")),
            policy=EXEC,
        ),
        asks=(*_ASKS, POLICIES_PATH, BINDINGS_PATH),
        helped_by=_HELPED,
    ),
    Check(
        "CK707",
        "Who may ask for tokens of service accounts",
        "turn the guards on (CK601), or remove the right",
        _holders(
            "ask for tokens of service accounts",
            Rights(("",), ("serviceaccounts/token",), ("create",)),
            policy=EXEC,
        ),
        asks=(*_ASKS, POLICIES_PATH, BINDINGS_PATH),
        helped_by=_HELPED,
    ),
    Check(
        "CK708",
        "Who may take the guards away",
        "leave admission policies to administrators and to what installs the chart",
        _holders(
            "change admission policies",
            Rights(
                ("admissionregistration.k8s.io",),
                ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
                ("create", "update", "patch", "delete", "deletecollection"),
            ),
            in_namespaces=False,
        ),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK709",
        "Who may make volumes out of thin air",
        "leave PersistentVolumes to the storage provisioner: one can show any directory of a node to a pod",
        _holders(
            "create PersistentVolumes",
            Rights(("",), ("persistentvolumes",), ("create", "update", "patch")),
            in_namespaces=False,
        ),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
    Check(
        "CK710",
        "Who may run pods where cert-manager runs",
        _UNGUARDED,
        _holders(
            "run pods",
            Rights(("",), ("pods", "replicationcontrollers"), _WRITES),
            Rights(("apps",), ("deployments", "statefulsets", "daemonsets", "replicasets"), _WRITES),
            Rights(("batch",), ("jobs", "cronjobs"), _WRITES),
            in_zones=False,
        ),
        asks=_ASKS,
        helped_by=_HELPED,
    ),
)
