"""Which machine may ask what: Envoy's RBAC filter, denying by default, one policy for each flow.

It runs first, on headers alone: nothing of a request's body is read, counted or kept before its source is known to
have been granted this method on this path.
"""

from collections.abc import Iterable

from cloister import sidecar
from cloister.flows import Flow, Grant
from cloister.render.gate import stores
from cloister.render.gate.xds import Object, exact, named

NAME = "admission"
RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"


def admission(flows: Iterable[Flow], *, anyone: bool = False) -> Object:
    """The filter. ``anyone`` is for unix sockets, where the mount and the socket's group say who may connect."""
    policies = {}
    for index, flow in enumerate(flows):
        if flow.grants:
            policies[f"{flow.rule.id}-{index:03}"] = {
                "permissions": [
                    stores.permission(flow, grant) if _is_store(flow) else permission(grant) for grant in flow.grants
                ],
                "principals": [{"any": True} if anyone else _only(flow.source.identity)],
            }
    return rbac(NAME, policies)


def rbac(name: str, policies: Object, *, action: str = "ALLOW") -> Object:
    """An RBAC filter; with ALLOW and no policy it denies everything, with DENY and no policy nothing."""
    return named(name, RBAC, rules={"action": action, "policies": policies})


def machine(identity: str) -> Object:
    """The principal with this SPIFFE ID in its verified certificate."""
    return {"authenticated": {"principal_name": exact(identity)}}


def _only(identity: str) -> Object:
    """The machine with this identity and no second one: a certificate with two is nobody's (X509-SVID, section 2)."""
    alone = {"header": {"name": sidecar.PEER_HEADER, "string_match": exact(identity)}}
    return {"and_ids": {"ids": [machine(identity), alone]}}


def permission(grant: Grant) -> Object:
    """A grant at the model: one of its methods on one of its paths, and no query, which would be input that no rule
    declares."""
    return {
        "and_rules": {
            "rules": [
                _any({"header": {"name": ":method", "string_match": exact(method)}} for method in grant.methods),
                _any({"url_path": {"path": exact(path)}} for path in grant.paths),
                {"not_rule": {"header": {"name": ":path", "string_match": {"contains": "?"}}}},
            ]
        }
    }


def _is_store(flow: Flow) -> bool:
    return flow.target.component is not None and flow.target.component.is_store


def _any(rules: Iterable[Object]) -> Object:
    return {"or_rules": {"rules": list(rules)}}
