"""Routes: for each source, method and path that is granted, and for nothing else."""

from collections.abc import Iterable, Iterator

from cloister import sidecar
from cloister.flows import Flow, Grant
from cloister.render.gate import people, stores
from cloister.render.gate.xds import Object
from cloister.s3 import Level

LONGEST_REPLY_SECONDS = 3600
_COMPUTE_TIMEOUTS = {"timeout": f"{LONGEST_REPLY_SECONDS}s", "idle_timeout": "900s"}
"""A model may think for long before its first byte."""
_STORE_TIMEOUTS = {"timeout": "0s", "idle_timeout": "300s"}
"""Objects are as large as they are; only standing still is bounded."""


def ingress(flows: Iterable[Flow], cluster: str, host: str) -> Object:
    """Routes to the auditor. Each is bound to its source by the identity that the gate itself wrote down."""
    speaking = set(people.speakers(flows := tuple(flows)))
    routes = [
        _route(
            flow,
            grant,
            cluster,
            host,
            path,
            methods,
            peer=flow.source.identity,
            person=flow.source.identity in speaking,
        )
        for flow, grant in _strictest_first(flows)
        for path, methods in _paths(flow, grant)
    ]
    return _hosts(routes)


def egress(flows: Iterable[Flow], clusters: dict[str, str], hosts: dict[str, str]) -> Object:
    """Routes to the gates of other components, by the bucket that the path begins with."""
    routes = [
        _route(flow, grant, clusters[str(flow.target.component)], hosts[str(flow.target.component)], path, methods)
        for flow, grant in _strictest_first(flows)
        for path, methods in _paths(flow, grant)
    ]
    return _hosts(routes)


def _strictest_first(flows: Iterable[Flow]) -> list[tuple[Flow, Grant]]:
    """Envoy takes the first route that matches: where two cover one path, nothing is overwritten."""
    pairs = [(flow, grant) for flow in flows for grant in flow.grants]
    return sorted(pairs, key=lambda pair: not pair[1].new_objects_only)


def _paths(flow: Flow, grant: Grant) -> Iterator[tuple[Object, tuple[str, ...]]]:
    """Each path of a grant with its methods; at stores also the bucket, which listings ask."""
    store = _is_store(flow)
    methods = stores.methods(flow, Level.OBJECT) if store else grant.methods
    for path in grant.paths:
        yield {"path": path}, methods
    for prefix in grant.prefixes:
        yield {"prefix": prefix}, methods
    on_bucket = stores.methods(flow, Level.BUCKET) if store and grant.prefixes else ()
    for path in stores.bucket_paths(flow) if on_bucket else ():
        yield {"path": path}, on_bucket


def _is_store(flow: Flow) -> bool:
    return flow.target.component is not None and flow.target.component.is_store


def _route(
    flow: Flow,
    grant: Grant,
    cluster: str,
    host: str,
    path: Object,
    methods: tuple[str, ...],
    *,
    peer: str = "",
    person: bool = False,
) -> Object:
    conditions = [_header(":method", _one_of(methods))]
    added = {}
    if peer:
        conditions.append(_header(sidecar.PEER_HEADER, {"exact": peer}))
    if grant.api:
        added[sidecar.API_HEADER] = grant.api
    if grant.new_objects_only:
        added["if-none-match"] = "*"
    store = _is_store(flow)
    route = {"cluster": cluster, "host_rewrite_literal": host, **(_STORE_TIMEOUTS if store else _COMPUTE_TIMEOUTS)}
    exempt = peer and not store and not person
    return {
        "match": path | {"headers": conditions},
        "route": route,
        "request_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in added.items()
        ],
        **({"typed_per_filter_config": people.without_token()} if exempt else {}),
    }


def _header(name: str, matcher: Object) -> Object:
    return {"name": name, "string_match": matcher}


def _one_of(methods: tuple[str, ...]) -> Object:
    return {"exact": methods[0]} if len(methods) == 1 else {"safe_regex": {"regex": "|".join(methods)}}


def _hosts(routes: list[Object]) -> Object:
    return {
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        # Nothing behind the gate asks for a credential, so none is handed on; the gate has verified who it is.
        "request_headers_to_remove": ["authorization", "x-amz-security-token", "x-envoy-external-address"],
    }
