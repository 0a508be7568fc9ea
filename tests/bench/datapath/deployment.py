"""The deployment that the gate and the auditor are rendered for: the example, with limits that no loop meets."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cloister.facts import Facts
from cloister.render.auditor import auditor_settings
from cloister.render.gate import gate_files
from cloister.render.meta import Object
from cloister.sidecar import Auditor
from cloister.spec import LLMDeployment
from cloister.zones import Component
from tests.gate.identities import Authority, Leaf, Provider
from tests.gate.model import ENDLESS
from tests.gate.specs import deployment, example

API = "chat"
MACHINE = "spiffe://cluster.local/ns/batch/sa/nightly"
"""Speaks for itself (``users: NotRequired``)."""
FRONTEND = "spiffe://cluster.local/ns/web/sa/frontend"
"""Speaks for people."""
_OWN = "spiffe://cluster.local/ns/support-bot-inference/sa/inference"
HOST = "inference.support-bot-inference.svc"
_HOURS = 6 * 3600


@dataclass
class Deployed:
    """What the operator would have made."""

    authority: Authority = field(default_factory=Authority)
    provider: Provider = field(default_factory=Provider)
    inspects: bool = False
    """Whether prompts and replies are inspected as the example has it. Without, the auditor checks and records, as the
    others do; what inspection costs is a path of its own."""

    @cached_property
    def spec(self) -> LLMDeployment:
        """The example."""
        spec = example("support-bot")
        spec["inference"]["limits"] = {"requestsPerMinute": 1_000_000, "maxBodyBytes": 1 << 18}
        # A closed loop behaves like nobody, and would be asked to sign in again.
        spec["inference"]["behaviour"] = {"action": "Flag" if self.inspects else "Off"}
        if not self.inspects:
            spec["inference"]["guard"] = dict.fromkeys(("sensitiveOutput", "promptInjection", "extraction"), "Off")
        spec["inference"]["guard"]["budgets"] = dict.fromkeys(("people", "machines"), ENDLESS)
        return deployment(spec)

    @cached_property
    def leaf(self) -> Leaf:
        """The gate's."""
        return self.authority.issue(_OWN, hosts=(HOST,))

    def gate_files(self) -> dict[str, Object]:
        """Envoy's configuration."""
        return gate_files(self.spec, Component.INFERENCE, Facts(jwks=self.provider.jwks()))

    def auditor(self) -> Auditor:
        """The auditor's."""
        return auditor_settings(self.spec, Component.INFERENCE)

    def token(self) -> str:
        """A person's, which lasts for the whole run."""
        now = int(time.time())
        changes: dict[str, Any] = {"roles": ["support-lead"], "exp": now + _HOURS, "auth_time": now}
        return self.provider.token("ES256", "ec", **changes)
