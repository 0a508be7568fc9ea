"""The people behind a machine: their token, their second factor, and the rule that admits them.

Three filters, in this order: the token is verified (jwt_authn), a sign-in without a second factor is sent back for one
(RFC 9470), and one of the rules must agree in all its parts. Everything that is missing is a refusal.
"""

from collections.abc import Iterable

from cloister import sidecar
from cloister.flows import Flow, Grant
from cloister.render.gate.admission import machine, permission, rbac
from cloister.render.gate.jwks import public_keys
from cloister.render.gate.xds import Object, exact, named, typed
from cloister.spec import LLMDeployment, UserRule, Users
from cloister.spec.identity import path_of

TOKEN, SECOND_FACTOR, PERSON = "token", "second-factor", "person"
JWT = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_METADATA = "envoy.filters.http.jwt_authn"
"""Where Envoy puts the verified claims, whatever the filter's name."""
_PROVIDER = "people"
_CLAIMS = "claims"

CLOCK_SKEW_SECONDS = 30
REMEMBERED_TOKENS = 1000
"""Their signatures are not computed again, which would cost as much as the rest of a request; their expiry is. A change
of the keys forgets them all."""
MAX_LIFETIME_SECONDS = 86400
"""Tokens that are valid for longer than a day are not short-lived, whoever issued them."""


def speakers(flows: Iterable[Flow]) -> tuple[str, ...]:
    """Identities that speak for people. One that is declared both ways does so always: the stricter holds."""
    return tuple(sorted({flow.source.identity for flow in flows if flow.people}))


def filters(deployment: LLMDeployment, flows: tuple[Flow, ...], jwks: str | None) -> list[Object]:
    """The three filters, also where nobody speaks for people: a machine that begins to do so may have connections from
    before, and what these meet must be able to ask for a token."""
    speaking = speakers(flows)
    users = deployment.spec.identity.users if speaking else None
    keys = public_keys(jwks)
    policies = {}
    silent = sorted({flow.source.identity for flow in flows} - set(speaking))
    if silent:
        # What they may do is said by the machines' own filter, which ran before.
        policies["machines"] = {"permissions": [{"any": True}], "principals": [machine(name) for name in silent]}
    if not users or not keys:
        # Nobody's token can be verified: nobody is admitted.
        return [_nobody(TOKEN), _nobody(SECOND_FACTOR), rbac(PERSON, policies)]
    for index, rule in enumerate(users.rules):
        policies[f"person-{index:03}"] = _rule(deployment, users, rule, speaking)
    weak = _second_factor(users, speaking) if users.mfa.required else _nobody(SECOND_FACTOR)
    return [_token(users, keys), weak, rbac(PERSON, policies)]


def _nobody(name: str) -> Object:
    """A filter that sends nobody away."""
    return rbac(name, {}, action="DENY")


def without_token() -> Object:
    """Per-route configuration for machines that speak for themselves; every other route wants a token."""
    return {TOKEN: typed("envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", disabled=True)}


def subject() -> Object:
    """Rate limit action: the person, as the verified token names them."""
    key = {"key": _METADATA, "path": [{"key": _CLAIMS}, {"key": "sub"}]}
    return {"metadata": {"descriptor_key": "subject", "metadata_key": key, "source": "DYNAMIC"}}


def step_up(users: Users) -> Object:
    """Turns the second factor's refusal into a challenge: 401, and which sign-in would be enough (RFC 9470)."""
    challenge = 'Bearer error="insufficient_user_authentication"'
    challenge += ', error_description="a sign-in with a second factor is required"'
    if users.mfa.acr:
        challenge += f', acr_values="{_quoted(" ".join(users.mfa.acr))}"'
    return {
        # RBAC writes its metadata only after its reply (Envoy, rbac_filter.cc), so its details are asked.
        "filter": {
            "extension_filter": named(
                "envoy.access_loggers.extension_filters.cel",
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression=f"response.code_details == 'rbac_access_denied_matched_policy[{SECOND_FACTOR}]'",
            )
        },
        "status_code": 401,
        "headers_to_add": [
            {
                "header": {"key": "www-authenticate", "value": challenge.replace("%", "%%")},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _token(users: Users, keys: str) -> Object:
    provider = {
        "issuer": users.issuer,
        "audiences": list(users.audiences),
        "local_jwks": {"inline_string": keys},
        "jwt_cache_config": {"jwt_cache_size": REMEMBERED_TOKENS},
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "forward": False,
        "require_expiration": True,
        "max_lifetime": f"{MAX_LIFETIME_SECONDS}s",
        "clock_skew_seconds": CLOCK_SKEW_SECONDS,
        "payload_in_metadata": _CLAIMS,
        "forward_payload_header": sidecar.CLAIMS_HEADER,
    }
    return named(
        TOKEN,
        JWT,
        providers={_PROVIDER: provider},
        # For every path. Only a route of a machine that speaks for itself is exempt, by its own configuration.
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": _PROVIDER}}],
    )


def _second_factor(users: Users, speaking: tuple[str, ...]) -> Object:
    strong = _all(_claim(name, values) for name, values in users.mfa.wanted())
    policy = {
        "permissions": [{"any": True}],
        "principals": [_all([_one(map(machine, speaking)), {"not_id": strong}])],
    }
    return rbac(SECOND_FACTOR, {SECOND_FACTOR: policy}, action="DENY")


def _rule(deployment: LLMDeployment, users: Users, rule: UserRule, speaking: tuple[str, ...]) -> Object:
    apis = deployment.spec.inference.apis
    claims = users.claims
    conditions = [
        _one(map(machine, speaking)),
        # Whom the journal could not name is not admitted.
        _metadata(["sub"], {"string_match": {"safe_regex": {"regex": "(?s).+"}}}),
        # Envoy's own check takes `https://a` and `a/` for `a`; RFC 7519, section 4.1.3, does not.
        _claim("aud", users.audiences),
        _claim(claims.roles, rule.roles),
    ]
    if rule.countries:
        conditions.append(_claim(claims.country, rule.countries))
    if rule.managed_device:
        conditions.append(_metadata(path_of(claims.managed_device), {"bool_match": True}))
    return {
        "permissions": [
            permission(Grant(tuple(map(str, apis[name].methods)), paths=apis[name].paths))
            for name in sorted(set(rule.apis))
        ],
        "principals": [_all(conditions)],
    }


def _claim(name: str, values: Iterable[str]) -> Object:
    """The claim is one of the values, or a list that has one of them: providers send either."""
    path = path_of(name)
    matchers = []
    for value in values:
        matchers.append({"string_match": exact(value)})
        matchers.append({"list_match": {"one_of": {"string_match": exact(value)}}})
    return _one(_metadata(path, matcher) for matcher in matchers)


def _metadata(path: Iterable[str], value: Object) -> Object:
    keys = [{"key": key} for key in (_CLAIMS, *path)]
    matcher = {"filter": _METADATA, "path": keys, "value": value}
    return {"sourced_metadata": {"metadata_matcher": matcher, "metadata_source": "DYNAMIC"}}


def _all(ids: Iterable[Object]) -> Object:
    return {"and_ids": {"ids": list(ids)}}


def _one(ids: Iterable[Object]) -> Object:
    return {"or_ids": {"ids": list(ids)}}


def _quoted(text: str) -> str:
    """The inside of an HTTP quoted-string (RFC 9110, section 5.6.4)."""
    printable = "".join(character for character in text if " " <= character <= "~")
    return printable.replace("\\", "\\\\").replace('"', '\\"')
