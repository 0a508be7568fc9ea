"""Service accounts: an identity for the certificate to name, and nothing else."""

from collections.abc import Iterator

from cloister.facts import Facts, Settings
from cloister.flows import components
from cloister.render.meta import Object, child
from cloister.spec import LLMDeployment


def service_accounts(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One a component. No role is ever bound to it and its token is mounted nowhere."""
    for component in components(deployment):
        account = child(deployment, "v1", "ServiceAccount", str(component), zone=component.zone, component=component)
        yield account | {"automountServiceAccountToken": False}
