"""What was declared last and can be used, kept in the storage zone (docs/adr/0029-the-last-good-declaration.md)."""

from collections.abc import Iterator

from cloister import names
from cloister.facts import Facts, Settings
from cloister.render.meta import Object, child, compact
from cloister.spec import LLMDeployment
from cloister.zones import Zone

FILE = "spec.json"
MAX_BYTES = 1_000_000
"""A ConfigMap has room for 1 MiB. A longer declaration is not kept: none is better than an older one."""


def declaration(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """One ConfigMap. What is default is left out, so that a later version fills it in by its own rules."""
    text = compact(deployment.spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
    if len(text.encode()) <= MAX_BYTES:
        yield child(deployment, "v1", "ConfigMap", names.DECLARATION, zone=Zone.STORAGE) | {"data": {FILE: text}}
