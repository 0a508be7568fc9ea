"""CL2nn: declared machines outside the zones, and people with kubectl."""

import datetime as dt
from collections.abc import Iterator

from cloister.lint.finding import Hit, Rule, Severity
from cloister.spec import LLMDeployment, UserToken
from cloister.zones import Zone

_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")


def _mute(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for index, client in enumerate(deployment.spec.inference.clients):
        if client.users is UserToken.NOT_REQUIRED and not client.apis:
            who = f"{client.namespace}/{client.service_account}"
            yield Hit(f"spec.inference.clients[{index}].apis", f"{who} speaks for itself, but may call nothing", [])


def _nobody(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if not deployment.spec.inference.clients:
        yield Hit("spec.inference.clients", "nobody can reach the model", [])


def _unused_api(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    spec = deployment.spec
    if not spec.inference.clients:
        return  # CL202 says it
    used: set[str] = set()
    for client in spec.inference.clients:
        by_rules = {api for rule in (spec.identity.users.rules if spec.identity.users else ()) for api in rule.apis}
        declared = set(client.apis)
        used |= declared if client.users is UserToken.NOT_REQUIRED else (declared & by_rules or by_rules - declared)
    for api in spec.inference.apis:
        if api not in used:
            yield Hit(f"spec.inference.apis.{api}", "no client and no rule for people is given it")


def _whole_namespace(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, machine in deployment.spec.machines():
        if not machine.pod_selector:
            message = f"every pod in {machine.namespace} can connect to the gate (which still asks who it is)"
            yield Hit(f"{field}.podSelector", message)


def _any_scraper(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for index, scraper in enumerate(deployment.spec.metrics.scrapers):
        if not scraper.pod_selector:
            message = f"every pod in {scraper.namespace} can read the counts, and nothing asks who it is"
            yield Hit(f"spec.metrics.scrapers[{index}].podSelector", message)


def _system_namespace(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, machine in deployment.spec.machines():
        if machine.namespace in _SYSTEM:
            message = "the cluster's own programs run there; a certificate there is theirs to take"
            yield Hit(f"{field}.namespace", message, machine.namespace)


def _other_zone(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, machine in deployment.spec.machines():
        if machine.namespace.rpartition("-")[2] in list(Zone) and "-" in machine.namespace:
            message = "looks like a zone of another deployment, which reaches nothing outside its own flows"
            yield Hit(f"{field}.namespace", message, machine.namespace)


def _default_account(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    for field, machine in deployment.spec.machines():
        if machine.service_account == "default":
            message = "is the account of every pod that names none"
            yield Hit(f"{field}.serviceAccount", message, machine.service_account)


def _declared_twice(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    seen: dict[tuple[str, str, str], str] = {}
    for field, machine in deployment.spec.machines():
        if field.startswith("spec.inference."):
            continue  # refused by the API server
        key = field.partition("[")[0], machine.namespace, machine.service_account
        first = seen.setdefault(key, field)
        if first != field:
            yield Hit(field, f"{machine.namespace}/{machine.service_account} is already declared as {first}")


def _access_twice(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    seen: dict[tuple[str, Zone], int] = {}
    for index, access in enumerate(deployment.spec.access):
        first = seen.setdefault((access.group, access.zone), index)
        if first != index:
            message = f"{access.group} is already given the {access.zone} zone by access[{first}]"
            yield Hit(f"spec.access[{index}]", message)


MACHINES = (
    Rule(
        "CL201",
        Severity.ERROR,
        "A machine that speaks for itself without an API",
        "list under apis what it may call",
        _mute,
    ),
    Rule("CL202", Severity.WARNING, "No client at all", "declare spec.inference.clients", _nobody),
    Rule(
        "CL203",
        Severity.WARNING,
        "An API that nobody may call",
        "give it to a client or a rule for people, or remove it",
        _unused_api,
    ),
    Rule(
        "CL204",
        Severity.INFO,
        "A machine without a pod selector",
        "set podSelector to labels of the machine's pods",
        _whole_namespace,
    ),
    Rule(
        "CL205",
        Severity.WARNING,
        "A machine in a namespace of the cluster itself",
        "run it in a namespace of its own",
        _system_namespace,
    ),
    Rule(
        "CL206",
        Severity.WARNING,
        "A machine in what looks like another deployment's zone",
        "let a machine outside the zones carry data from one deployment to another",
        _other_zone,
    ),
    Rule(
        "CL207",
        Severity.WARNING,
        "A machine under the default service account",
        "give the machine a service account of its own",
        _default_account,
    ),
    Rule(
        "CL208",
        Severity.WARNING,
        "A reader or writer of one store declared twice",
        "merge the prefixes into one entry",
        _declared_twice,
    ),
    Rule(
        "CL210",
        Severity.WARNING,
        "Two roles for one group in one zone",
        "keep one of them; logs includes view",
        _access_twice,
    ),
    Rule(
        "CL211",
        Severity.WARNING,
        "A scraper without a pod selector",
        "set podSelector to labels of Prometheus' pods",
        _any_scraper,
    ),
)
