"""What a gate asks of a request that a flow lets come, in words."""

from collections.abc import Iterator

from cloister.explain.answer import Layer, Verdict
from cloister.flows import Flow, Grant
from cloister.spec import LLMDeployment, UserRule


def asked(deployment: LLMDeployment, flow: Flow) -> Iterator[Layer]:
    """Everything that is asked on the way of a flow, once it has reached the port."""
    requests = "; ".join(map(_request, flow.grants))
    if flow.target.component is None:
        yield Layer(Verdict.ASKS, f"port {flow.port}", flow.rule.scope)
        return
    if not flow.rule.gated:
        yield Layer(Verdict.ASKS, f"port {flow.port}", f"{requests}: asks for no identity, and tells counts only")
        return
    identity = f"{flow.source.identity}, by {deployment.name}'s own CA and with no second identity"
    yield Layer(Verdict.ASKS, "gate: certificate", identity)
    if requests:
        yield Layer(Verdict.ASKS, "gate: request", requests)
    else:
        yield Layer(Verdict.DENIES, "gate: request", "no API is given to it")
    if flow.people and (token := _token(deployment)):
        yield Layer(Verdict.ASKS, "gate: person", token)
    elif flow.people:
        yield Layer(Verdict.DENIES, "gate: person", "a token is asked for, and nobody's can be verified")


def _request(grant: Grant) -> str:
    where = " ".join((*grant.paths, *(f"{prefix}*" for prefix in grant.prefixes)))
    api = f" (API {grant.api})" if grant.api else ""
    new = ", new objects only" if grant.new_objects_only else ""
    masked = f", masked: {', '.join(grant.masked)}" if grant.masked else ""
    return f"{','.join(grant.methods)} {where}{api}{new}{masked}"


def _token(deployment: LLMDeployment) -> str:
    """What a person must bring; empty where nobody could."""
    users = deployment.spec.identity.users
    if users is None or not users.rules:
        return ""
    second = f"signed in with {users.mfa.shown()}" if users.mfa.required else "a second factor is not required"
    age = f", at most {users.max_session_age} ago" if users.max_session_age else ""
    rules = "; ".join(map(_rule, users.rules))
    return f"a token of {users.issuer} for {' or '.join(users.audiences)}, {second}{age}: {rules}"


def _rule(rule: UserRule) -> str:
    country = f" in {' or '.join(rule.countries)}" if rule.countries else ""
    device = " on a managed device" if rule.managed_device else ""
    return f"{' or '.join(rule.roles)} may use {', '.join(rule.apis)}{country}{device}"
