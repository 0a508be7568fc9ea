"""What Envoy reads once, at its start; everything that may change is in the files that this names."""

from cloister import sidecar
from cloister.render.gate import routes
from cloister.render.gate.xds import OWN_MODE, Object, pipe, typed, watched
from cloister.spec import LLMDeployment
from cloister.zones import Component

HEAP_BYTES = 384 << 20
"""Past which new requests are refused: well below the container's memory limit."""
MAX_CONNECTIONS = 4096
WORKERS = 1
"""One takes more requests, and with TLS more bytes, than the auditor behind it, which has one thread too. Of two, each
wakes up for half as much, which was measured to cost a tenth of the pod's CPU for a request, and more under load."""
MAX_REGEX = 1000
"""Steps of a compiled RE2 program."""
DRAIN, SERVE = "/healthcheck/fail", "/healthcheck/ok"
"""From the first on Envoy is not ready, and tells every caller with its next reply to close the connection; the second
takes it back."""
_RUNTIME = {
    # A chunk followed by something else than the end of its line is refused: left alone, Envoy drops the rest, where
    # another program would take it for the next chunk or the next request.
    "envoy.reloadable_features.strict_chunk_parsing": True,
    # The lists of what queries to stores may say are longer than Envoy's default allows; they come from us alone.
    "re2.max_program_size.error_level": MAX_REGEX,
}


def arguments() -> list[str]:
    """Envoy's command line."""
    return [
        "--config-path",
        f"{sidecar.GATE_CONFIG_DIR}/envoy.json",
        "--disable-hot-restart",
        "--concurrency",
        str(WORKERS),
        # When the set of machines changes, connections from before stay on the old listener until this long after, and
        # are then cut, whatever they carry: so it is as long as a reply may take. Each is told to close with its next
        # reply, so none stays for longer than it needs; and what is withdrawn is withdrawn on it too (ADR 0013).
        "--drain-time-s",
        str(routes.LONGEST_REPLY_SECONDS),
        "--drain-strategy",
        "immediate",
    ]


def bootstrap(deployment: LLMDeployment, component: Component) -> Object:
    """``envoy.json``."""
    return {
        "node": {"id": f"{deployment.name}/{component}", "cluster": deployment.name},
        "admin": {
            "address": pipe(sidecar.ADMIN_SOCKET, mode=OWN_MODE),
            # No /quitquitquit, no /runtime_modify, no /config_dump: nothing here changes the gate, but that a model's
            # can be told to send its callers away (listeners.drain).
            "allow_paths": [{"exact": path} for path in _admin_paths(component)],
        },
        "dynamic_resources": {"cds_config": watched("clusters.json"), "lds_config": watched("listeners.json")},
        "overload_manager": _overload(),
        "layered_runtime": {"layers": [{"name": "static", "static_layer": dict(_RUNTIME)}]},
    }


def _admin_paths(component: Component) -> tuple[str, ...]:
    reading = ("/ready", "/stats/prometheus", "/certs")
    return (*reading, DRAIN, SERVE) if component is Component.INFERENCE else reading


def _overload() -> Object:
    heap = "envoy.resource_monitors.fixed_heap"
    open_connections = "envoy.resource_monitors.global_downstream_max_connections"
    monitors = "envoy.extensions.resource_monitors"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": heap,
                "typed_config": typed(f"{monitors}.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=HEAP_BYTES),
            },
            {
                "name": open_connections,
                "typed_config": typed(
                    f"{monitors}.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=MAX_CONNECTIONS,
                ),
            },
        ],
        "actions": [
            _action("disable_http_keepalive", heap, 0.90),
            _action("stop_accepting_requests", heap, 0.95),
            _action("stop_accepting_connections", heap, 0.98),
        ],
    }


def _action(name: str, monitor: str, at: float) -> Object:
    return {
        "name": f"envoy.overload_actions.{name}",
        "triggers": [{"name": monitor, "threshold": {"value": at}}],
    }
