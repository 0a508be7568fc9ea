"""Where a gate listens: for machines by mutual TLS, for its own pod on unix sockets, and for the kubelet."""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.flows import Flow
from cloister.render.gate import people, routes, tls
from cloister.render.gate.admission import NAME as ADMISSION
from cloister.render.gate.admission import RBAC, admission, rbac
from cloister.render.gate.bootstrap import DRAIN, SERVE
from cloister.render.gate.clusters import target
from cloister.render.gate.http import connections, inline, manager, reply_headers, sanitised
from cloister.render.gate.limits import limits, too_many
from cloister.render.gate.xds import (
    ADMIN,
    AUDITOR,
    SOCKET_MODE,
    Object,
    discovery,
    extension,
    followed,
    named,
    pipe,
    tcp,
    typed,
    watched,
)
from cloister.spec import LLMDeployment
from cloister.zones import GATE_HEALTH_PORT, GATE_METRICS_PORT, GATE_PORT, Component

_LISTENER = "envoy.config.listener.v3.Listener"

EGRESS_SOCKETS = {
    "journal": sidecar.JOURNAL_SOCKET,
    "fetch": sidecar.FETCH_SOCKET,
    "learn": sidecar.STORES_SOCKET,
    "checkpoint": sidecar.STORES_SOCKET,
    "collect": sidecar.EXPORT_SOCKET,
}
"""Rule of the flow table -> the socket on which the gate takes what goes out under it."""

MAX_CONNECTION_SECONDS = 3600
"""A connection ends although it is in use, so that its certificate is looked at again; requests under way finish."""


def rules(
    deployment: LLMDeployment, component: Component, incoming: tuple[Flow, ...], jwks: str | None
) -> dict[str, Object]:
    """Who may ask what, file by file: the filters that decide it, and the routes."""
    if not incoming:
        return {}
    filters = [admission(incoming)]
    if not component.is_store:
        filters += people.filters(deployment, incoming, jwks)
    table = routes.ingress(incoming, AUDITOR, names.service_host(deployment.name, component))
    return {
        **{f"{one['name']}.json": extension(one) for one in filters},
        "routes.json": discovery([typed("envoy.config.route.v3.RouteConfiguration", name="ingress", **table)]),
    }


def ingress(deployment: LLMDeployment, component: Component, incoming: tuple[Flow, ...]) -> Iterator[Object]:
    """The one port that is reached from other pods. Without a flow into the component there is none."""
    if not incoming:
        return
    filters = [followed(ADMISSION, RBAC)]
    options: Object = sanitised(peer=True, address=not component.is_store)
    if component.is_store:
        # An empty segment is part of an object's key, so it is refused and not merged away.
        options |= {"merge_slashes": False}
    else:
        filters += [
            followed(people.TOKEN, people.JWT, RBAC),
            followed(people.SECOND_FACTOR, RBAC),
            followed(people.PERSON, RBAC),
            *limits(deployment),
        ]
        options |= {"merge_slashes": True, "request_timeout": "60s", "stream_idle_timeout": "900s"}
        users = deployment.spec.identity.users
        options |= {"local_reply_config": {"mappers": [too_many(), *([people.step_up(users)] if users else ())]}}
    chain = manager(
        "ingress",
        [*filters, reply_headers()],
        {"rds": {"route_config_name": "ingress", "config_source": watched("routes.json")}},
        **options,
        common_http_protocol_options={"max_connection_duration": f"{MAX_CONNECTION_SECONDS}s"},
    )
    sources = sorted({flow.source.identity for flow in incoming})
    yield typed(
        _LISTENER,
        name="ingress",
        address=tcp(GATE_PORT),
        filter_chains=[
            chain | {"transport_socket": tls.downstream(sources), "transport_socket_connect_timeout": "10s"}
        ],
        per_connection_buffer_limit_bytes=1 << 20,
        access_log=connections(),
    )


def egress(deployment: LLMDeployment, outgoing: tuple[Flow, ...]) -> Iterator[Object]:
    """A unix socket for each way out. The programs on it hold no key and choose no address."""
    for socket in dict.fromkeys(EGRESS_SOCKETS.values()):
        through = tuple(flow for flow in outgoing if EGRESS_SOCKETS[flow.rule.id] == socket)
        targets = {flow.target.component for flow in through if flow.target.component}
        if not targets:
            continue
        name = socket.rsplit("/", 1)[1].removesuffix(".sock")
        hosts = {str(component): names.service_host(deployment.name, component) for component in targets}
        clusters = {str(component): target(component) for component in targets}
        chain = manager(
            name,
            [admission(through, anyone=True)],
            inline(routes.egress(through, clusters, hosts)),
            **sanitised(peer=False),
            merge_slashes=False,
        )
        yield typed(
            _LISTENER,
            name=name,
            address=pipe(socket, mode=SOCKET_MODE),
            filter_chains=[chain],
            per_connection_buffer_limit_bytes=1 << 20,
        )


def drain() -> Object:
    """Where the auditor says that it ends, or begins; the socket's volume is mounted into these two alone."""
    posted = {"name": ":method", "string_match": {"exact": "POST"}}
    table = [
        {
            "match": {"path": path, "headers": [posted]},
            "route": {"cluster": ADMIN, "prefix_rewrite": meant, "timeout": "5s"},
        }
        for path, meant in (("/drain", DRAIN), ("/serve", SERVE))
    ]
    hosts = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": table}]}
    address = pipe(sidecar.DRAIN_SOCKET, mode=SOCKET_MODE)
    chain = manager("drain", [], inline(hosts), access_log=[])
    return typed(_LISTENER, name="drain", address=address, filter_chains=[chain])


def health() -> Object:
    """Readiness for the kubelet: a status and nothing else, and a refusal while the gate drains."""
    check = named(
        "envoy.filters.http.health_check",
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": "/ready"}}],
    )
    chain = manager("health", [check], inline({"virtual_hosts": []}), access_log=[])
    return typed(
        _LISTENER,
        name="health",
        address=tcp(GATE_HEALTH_PORT),
        filter_chains=[chain],
        # The kubelet's question is answered also when callers have taken every connection there is.
        ignore_global_conn_limit=True,
    )


def metrics() -> Object:
    """Prometheus metrics, read only; no other part of the admin interface is reachable here."""
    asked = {
        "and_rules": {
            "rules": [
                {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                {"header": {"name": ":path", "string_match": {"exact": "/metrics"}}},
            ]
        }
    }
    policy = {"permissions": [asked], "principals": [{"any": True}]}
    route = {
        "match": {"path": "/metrics"},
        "route": {"cluster": ADMIN, "prefix_rewrite": "/stats/prometheus", "timeout": "10s"},
    }
    hosts = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    chain = manager("metrics", [rbac("scrape", {"scrape": policy})], inline(hosts), access_log=[])
    return typed(_LISTENER, name="metrics", address=tcp(GATE_METRICS_PORT), filter_chains=[chain])
