"""Which machine may ask what: Envoy's RBAC filter, denying by default, one policy for each flow.

It runs first, on headers alone: nothing of a request's body is read, counted or kept before its source is known to
have been granted this method on this path.
"""

from collections.abc import Iterable

from cloister import sidecar
from cloister.flows import Flow, Grant
from cloister.render.gate.xds import Object, exact, named

NAME = "admission"
RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"


def admission(flows: Iterable[Flow], *, anyone: bool = False) -> Object:
    """The filter. ``anyone`` is for unix sockets, where the mount and the socket's group say who may connect."""
    policies = {}
    for index, flow in enumerate(flows):
        if flow.grants:
            policies[f"{flow.rule.id}-{index:03}"] = {
                "permissions": [permission(grant, store=_is_store(flow)) for grant in flow.grants],
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


def permission(grant: Grant, *, store: bool) -> Object:
    """A grant: one of its methods on one of its paths, and no query.

    A query is refused everywhere: at a store it selects subresources (?acl, ?delete, ?uploads), and at the model it
    would be input that no rule declares.
    """
    rules = [
        _any({"header": {"name": ":method", "string_match": exact(method)}} for method in grant.methods),
        _any([*map(_exact_path, grant.paths), *map(_below, grant.prefixes)]),
        {"not_rule": {"header": {"name": ":path", "string_match": {"contains": "?"}}}},
    ]
    if store:
        # Copying would read one object with the right to write another.
        rules.append({"not_rule": {"header": {"name": "x-amz-copy-source", "present_match": True}}})
    return {"and_rules": {"rules": rules}}


def _is_store(flow: Flow) -> bool:
    return flow.target.component is not None and flow.target.component.is_store


def _any(rules: Iterable[Object]) -> Object:
    return {"or_rules": {"rules": list(rules)}}


def _exact_path(path: str) -> Object:
    return {"url_path": {"path": exact(path)}}


def _below(prefix: str) -> Object:
    """Objects below a prefix: not the prefix itself, which would be a listing, and no key that another program could
    read differently than Envoy does (an empty segment, a percent sign that was encoded twice)."""
    refused = ({"suffix": "/"}, {"contains": "//"}, {"contains": "%25"})
    return {
        "and_rules": {
            "rules": [
                {"url_path": {"path": {"prefix": prefix}}},
                *({"not_rule": {"url_path": {"path": matcher}}} for matcher in refused),
            ]
        }
    }
