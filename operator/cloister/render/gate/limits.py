"""Bounds per caller at the model: requests a minute, and the size of one."""

from cloister import sidecar
from cloister.render.gate.people import subject
from cloister.render.gate.xds import Object, named
from cloister.spec import LLMDeployment

MAX_CALLERS = 10_000
"""People counted at once. Past it the one who was away longest is forgotten, which gives them a fresh allowance."""


def too_many() -> Object:
    """Gives the refusal of whoever asks too often the shape of the API's own errors (OpenAI API reference, "Error
    codes"), by which clients know what to do."""
    error = {
        "message": "Too many requests: wait as long as retry-after says.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    return {
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "EQ", "value": {"default_value": 429, "runtime_key": "local_reply.too_many"}}
            }
        },
        "body_format_override": {"json_format": {"error": error}},
    }


def limits(deployment: LLMDeployment) -> list[Object]:
    """The filters, in their order: counted before anything of the body is kept."""
    return [_rate(deployment), _size(deployment)]


def _rate(deployment: LLMDeployment) -> Object:
    """A token bucket per machine, or per person behind a machine (Envoy documentation, "Local rate limit": a
    descriptor entry without a value makes a bucket for each value that it meets)."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    requests = deployment.spec.inference.limits.requests_per_minute
    # Envoy fills a bucket steadily, not once a minute: the next request has its token after this long at most.
    wait = {"header": {"key": "retry-after", "value": str(-(-60 // requests))}}
    bucket = {"max_tokens": requests, "tokens_per_fill": requests, "fill_interval": "60s"}
    peer = {"request_headers": {"header_name": sidecar.PEER_HEADER, "descriptor_key": "peer"}}
    # jwt_authn writes this header; a caller's own is gone by now.
    no_person = {"name": sidecar.CLAIMS_HEADER, "present_match": False}
    machine = {"header_value_match": {"descriptor_key": "alone", "descriptor_value": "yes", "headers": [no_person]}}
    counted: dict[str, list[Object]] = {"subject": [peer, subject()], "alone": [peer, machine]}
    return named(
        "envoy.filters.http.local_ratelimit",
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="caller",
        # The bucket of whoever matches nothing below, shared by all of those; nobody should be.
        token_bucket=bucket,
        filter_enabled=always,
        filter_enforced=always,
        always_consume_default_token_bucket=False,
        max_dynamic_descriptors=MAX_CALLERS,
        rate_limits=[{"actions": actions} for actions in counted.values()],
        descriptors=[{"entries": [{"key": "peer"}, {"key": key}], "token_bucket": bucket} for key in counted],
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        response_headers_to_add=[wait | {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    )


def _size(deployment: LLMDeployment) -> Object:
    return named(
        "envoy.filters.http.buffer",
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        max_request_bytes=deployment.spec.inference.limits.max_body_bytes,
    )
