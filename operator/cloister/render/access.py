"""People with kubectl: a role a zone, never exec, never secrets, never a change."""

from collections.abc import Iterator

from cloister.facts import Facts, Settings
from cloister.render.meta import Object, child
from cloister.spec import LLMDeployment, Role
from cloister.zones import Zone

_RBAC = "rbac.authorization.k8s.io"


def role_bindings(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One binding a zone and role, of the chart's ClusterRole, to the groups that are declared."""
    for zone in Zone:
        for role in Role:
            groups = sorted({a.group for a in deployment.spec.access if (a.zone, a.role) == (zone, role)})
            if groups:
                name = f"cloister-zone-{role}"
                binding = child(deployment, f"{_RBAC}/v1", "RoleBinding", name, zone=zone)
                yield binding | {
                    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
                    "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
                }
