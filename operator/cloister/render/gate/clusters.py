"""Where a gate may send anything: its own auditor, and the gates that flows lead to. Nothing is resolved by DNS."""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.facts import Facts
from cloister.flows import Flow
from cloister.render.gate import tls
from cloister.render.gate.xds import ADMIN, AUDITOR, Object, pipe, typed
from cloister.spec import LLMDeployment
from cloister.zones import Component

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

MAX_CONNECTIONS = 1024


def target(component: Component) -> str:
    """Name of the cluster that is the gate of another component."""
    return f"gate-{component}"


def clusters(deployment: LLMDeployment, outgoing: tuple[Flow, ...], facts: Facts, *, ingress: bool) -> Iterator[Object]:
    """Every cluster of a gate."""
    if ingress:
        yield _cluster(AUDITOR, [pipe(sidecar.AUDITOR_SOCKET)])
    yield _cluster(ADMIN, [pipe(sidecar.ADMIN_SOCKET)])
    found = {flow.target.component: flow for flow in outgoing}
    for component, flow in sorted((c, f) for c, f in found.items() if c):
        host = names.service_host(deployment.name, component)
        address = facts.cluster_ips.get(component)
        # No address, no endpoint: Envoy then answers 503, and asks nobody else.
        endpoints = [{"socket_address": {"address": address, "port_value": flow.port}}] if address else []
        yield _cluster(target(component), endpoints) | {"transport_socket": tls.upstream(flow.target.identity, host)}


def _cluster(name: str, addresses: list[Object]) -> Object:
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return typed(
        _CLUSTER,
        name=name,
        type="STATIC",
        connect_timeout="5s",
        load_assignment={"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}] if endpoints else []},
        per_connection_buffer_limit_bytes=1 << 20,
        circuit_breakers={
            "thresholds": [
                {
                    "max_connections": MAX_CONNECTIONS,
                    "max_requests": MAX_CONNECTIONS,
                    "max_pending_requests": MAX_CONNECTIONS,
                    "max_retries": 0,
                }
            ]
        },
        typed_extension_protocol_options={
            _HTTP_OPTIONS: typed(
                _HTTP_OPTIONS,
                explicit_http_config={"http_protocol_options": {}},
                # Shorter than any server's own, so that no request meets a connection that is being closed.
                common_http_protocol_options={"idle_timeout": "30s"},
            )
        },
    )
