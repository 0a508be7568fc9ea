"""From one LLMDeployment to every object it stands for. Pure: equal input gives equal output, and nothing is read.

To add an object: one builder, one line in :data:`RENDERERS`, one golden case, one rule in the chart's ClusterRole.
"""

from collections.abc import Callable, Iterator

from cloister.facts import Facts, Settings
from cloister.render.access import role_bindings
from cloister.render.auditor import auditor_configs, injection_rules, revocations
from cloister.render.canary import canaries, canary_accounts, canary_ground
from cloister.render.certificates import certificate_authority, client_certificates, leaves, trust_bundles
from cloister.render.declaration import declaration
from cloister.render.exporter import exporter
from cloister.render.gate import gate
from cloister.render.identity import service_accounts
from cloister.render.meta import Object, sealed
from cloister.render.namespaces import namespaces, quotas
from cloister.render.network import allow_flows, deny_all
from cloister.render.phases import phase, within
from cloister.render.storage import services, stores, volumes
from cloister.render.workloads import disruption_budgets, inference, training
from cloister.spec import LLMDeployment

Renderer = Callable[[LLMDeployment, Facts, Settings], Iterator[Object]]

RENDERERS: tuple[Renderer, ...] = (
    namespaces,
    deny_all,
    declaration,
    quotas,
    allow_flows,
    canary_ground,
    service_accounts,
    canary_accounts,
    role_bindings,
    canaries,
    certificate_authority,
    leaves,
    client_certificates,
    volumes,
    services,
    trust_bundles,
    gate,
    auditor_configs,
    revocations,
    injection_rules,
    disruption_budgets,
    stores,
    exporter,
    inference,
    training,
)


def render(deployment: LLMDeployment, facts: Facts, settings: Settings) -> list[Object]:
    """Every object of a deployment, in the order in which they are applied.

    Which objects there are depends on the deployment alone; facts decide only what is in them, so that a fact that is
    missing for a while never makes an object look superfluous. Only canaries come and go, with their runs.
    """
    objects = [sealed(obj) for renderer in RENDERERS for obj in renderer(deployment, facts, settings)]
    return sorted(objects, key=lambda obj: (phase(obj), within(obj)))
