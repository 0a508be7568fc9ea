"""CL1nn: the people who may send prompts."""

import datetime as dt
from collections.abc import Iterator

from cloister.lint.finding import Hit, Rule, Severity
from cloister.spec import Client, LLMDeployment, UserToken
from cloister.spec.behaviour import BehaviourAction


def people_clients(deployment: LLMDeployment) -> Iterator[tuple[str, Client]]:
    """The clients that speak for people, with their fields."""
    for index, client in enumerate(deployment.spec.inference.clients):
        if client.users is UserToken.REQUIRED:
            yield f"spec.inference.clients[{index}]", client


def _no_users(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.identity.users is None:
        for field, client in people_clients(deployment):
            who = f"{client.namespace}/{client.service_account}"
            yield Hit(f"{field}.users", f"{who} speaks for people, but spec.identity.users is missing", "Required")


def _no_rules(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    users = deployment.spec.identity.users
    if users and not users.rules:
        yield Hit("spec.identity.users.rules", "people may sign in, but no rule gives anybody an API", [])


def _unused_users(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.identity.users and not any(people_clients(deployment)):
        yield Hit("spec.identity.users", "people are declared, but no client speaks for them")


def _default_sign_in(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    users = deployment.spec.identity.users
    if users and users.mfa.required and not (users.mfa.amr or users.mfa.acr):
        yield Hit("spec.identity.users.mfa", "only a token whose amr has the value mfa counts as a second factor")


def _disjoint(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    users = deployment.spec.identity.users
    by_rules = {api for rule in (users.rules if users else ()) for api in rule.apis}
    for field, client in people_clients(deployment):
        if by_rules and client.apis and not by_rules & set(client.apis):
            yield Hit(f"{field}.apis", "no rule for people names any of these APIs", list(client.apis))


def _unreachable_rule(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    users = deployment.spec.identity.users
    clients = [client for _, client in people_clients(deployment)]
    if not users or not clients or any(not client.apis for client in clients):
        return
    offered = {api for client in clients for api in client.apis}
    for index, rule in enumerate(users.rules):
        for api in rule.apis:
            if api not in offered:
                yield Hit(
                    f"spec.identity.users.rules[{index}].apis",
                    "no client that speaks for people offers it",
                    api,
                )


def _anywhere(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    users = deployment.spec.identity.users
    for index, rule in enumerate(users.rules if users else ()):
        if not rule.managed_device and not rule.countries:
            field = f"spec.identity.users.rules[{index}].managedDevice"
            yield Hit(field, "these people are admitted on any device, from any country", False)


def _endless_session(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    users = deployment.spec.identity.users
    if users and users.max_session_age is None:
        yield Hit("spec.identity.users.maxSessionAge", "a sign-in counts for as long as its tokens are renewed")


def _unwatched(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    action = deployment.spec.inference.behaviour.action
    if action is not BehaviourAction.ENFORCE:
        what = "is only told" if action is BehaviourAction.FLAG else "is not looked at"
        yield Hit("spec.inference.behaviour.action", f"how callers behave {what} (ZT-07)", action.value)


PEOPLE = (
    Rule(
        "CL101",
        Severity.ERROR,
        "A client speaks for people who are not declared",
        "declare spec.identity.users, or set users: NotRequired if the client speaks for itself",
        _no_users,
    ),
    Rule("CL102", Severity.ERROR, "No rule for people", "add at least one rule with roles and apis", _no_rules),
    Rule(
        "CL103",
        Severity.WARNING,
        "People without a client",
        "add a client without users: NotRequired, or leave spec.identity.users out",
        _unused_users,
    ),
    Rule(
        "CL104",
        Severity.INFO,
        "How a second factor shows is not declared",
        "list the values of amr or acr that your identity provider puts into the token after a second factor",
        _default_sign_in,
    ),
    Rule(
        "CL105",
        Severity.ERROR,
        "A client and the rules for people have no API in common",
        "let a rule name one of the client's APIs, or leave the client's apis out",
        _disjoint,
    ),
    Rule(
        "CL106",
        Severity.WARNING,
        "A rule for people names an API that none of their clients offers",
        "add the API to a client that speaks for people, or remove it from the rule",
        _unreachable_rule,
    ),
    Rule(
        "CL107",
        Severity.INFO,
        "A rule that asks for neither device nor country",
        "set managedDevice: true, or list countries",
        _anywhere,
    ),
    Rule(
        "CL108",
        Severity.WARNING,
        "Sessions without an end",
        "set maxSessionAge, such as 8h; tokens must then carry auth_time",
        _endless_session,
    ),
    Rule(
        "CL109",
        Severity.WARNING,
        "Behaviour without consequences",
        "leave behaviour.action out, so that a session can end between two requests",
        _unwatched,
    ),
)
