"""How a gate speaks HTTP: strictly, with bounds on everything, and with a log of what it refused."""

from typing import Any

from cloister import sidecar
from cloister.render.gate.xds import Object, named, typed

_EARLY = "envoy.http.early_header_mutation.header_mutation"
_STDOUT = "envoy.access_loggers.stdout"

# Headers by which a caller could direct programs behind the gate, or Envoy's own router (x-envoy-max-retries would
# send a prompt twice; Envoy documentation, "Router: HTTP headers (consumed)").
_REMOVED_PREFIXES = (sidecar.HEADER_PREFIX, "x-envoy-", "x-forwarded-", "x-http-method", "x-original-", "x-rewrite-")
_REMOVED = ("forwarded", "x-real-ip", "proxy", "proxy-authorization", "cookie", "te")

# In a reply they would speak for the gate, or direct the caller's client (another origin for the prompt, a cookie) or
# a proxy before it (nginx, "X-Accel-Redirect": an internal file).
_REPLY_PREFIXES = (sidecar.HEADER_PREFIX, "x-envoy-", "x-ratelimit-", "x-accel-")
_REPLY_NAMES = ("server", "x-powered-by", "set-cookie", "alt-svc", "location", "refresh", "x-sendfile")


def manager(name: str, filters: list[Object], routes: Object, **options: Any) -> Object:
    """The filter chain of a listener: one HTTP connection manager."""
    router = named(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
        # Counters a status code of a cluster, each looked up by name: the listener's own say the same.
        dynamic_stats=False,
    )
    fields: Object = {
        "stat_prefix": name,
        "codec_type": "AUTO",
        **routes,
        "http_filters": [*filters, router],
        "access_log": [_access_log(_REQUEST) | {"filter": _UNRECORDED}],
        # The path that is compared is the path that is forwarded; what can be read in two ways is refused
        # (Envoy documentation, "Configuring Envoy as an edge proxy").
        "normalize_path": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "max_headers_count": 100,
            "idle_timeout": "300s",
        },
        "http_protocol_options": {"accept_http_10": False},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 4 << 20,
        },
        "max_request_headers_kb": 60,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "delayed_close_timeout": "1s",
        "use_remote_address": True,
        "skip_xff_append": True,
        "forward_client_cert_details": "SANITIZE",
        "server_header_transformation": "PASS_THROUGH",
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "stream_error_on_invalid_http_message": False,
    }
    common = fields["common_http_protocol_options"] | options.pop("common_http_protocol_options", {})
    fields |= options | {"common_http_protocol_options": common}
    return {
        "filters": [
            named(
                "envoy.filters.network.http_connection_manager",
                "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                **fields,
            )
        ]
    }


def inline(routes: Object) -> Object:
    """Routes that come with their listener."""
    # Listeners and clusters are two files: one that names a new cluster may be read first. Were that an error,
    # Envoy would keep the old listeners until the next change; so it is a 503 until the cluster is known.
    return {"route_config": {"validate_clusters": False, **routes}}


def reply_headers() -> Object:
    """The filter, next to the router, that takes away what a model must not say to its callers and their proxies."""
    removed = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in _REPLY_PREFIXES]
    return named(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": [*removed, *({"remove": name} for name in _REPLY_NAMES)]},
    )


def sanitised(*, peer: bool, address: bool = False) -> Object:
    """Options that take away what a caller must not say. It happens before a route is chosen, so that routes can
    then go by who calls (Envoy documentation, "Early header mutation")."""
    own, *others = (
        {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}} for prefix in _REMOVED_PREFIXES
    )
    # Before the caller's own header goes: where a person came from is what the machine that speaks for them says of it.
    told = _set(sidecar.ADDRESS_HEADER, "%REQ(X-FORWARDED-FOR):64%")
    mutations: list[Object] = [own, *([told] if address else ()), *others]
    mutations += [{"remove": name} for name in _REMOVED]
    if peer:
        # A certificate with several URIs gives a list here, which is nobody's identity.
        mutations.append(_set(sidecar.PEER_HEADER, "%DOWNSTREAM_PEER_URI_SAN%"))
    early = named(
        _EARLY,
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=mutations,
    )
    return {"early_header_mutation_extensions": [early]}


def _set(name: str, value: str) -> Object:
    return {"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def connections() -> list[Object]:
    """A listener's own log: one line for each connection, so that a refused handshake is seen although it never
    became a request."""
    return [_access_log(_CONNECTION)]


# What was answered is in the journal, sealed; here is what went no further, and what failed on the way.
_UNRECORDED = {
    "or_filter": {
        "filters": [
            {
                "status_code_filter": {
                    "comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "access_log.from_status"}}
                }
            },
            {"response_flag_filter": {}},
        ]
    }
}
# No query, no body, no token and nobody's name: this log lies about unsealed.
_REQUEST = {
    "time": "%START_TIME%",
    "event": "request",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD):16%",
    "path": "%PATH(NQ:PATH):512%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "request_id": "%REQ(X-REQUEST-ID):64%",
}
_CONNECTION = {
    "time": "%START_TIME%",
    "event": "connection",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "flags": "%RESPONSE_FLAGS%",
    "failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "duration_ms": "%DURATION%",
}


def _access_log(fields: Object) -> Object:
    return {
        "name": _STDOUT,
        "typed_config": typed(
            "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": dict(fields)},
        ),
    }
