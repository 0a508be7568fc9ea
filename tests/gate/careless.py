"""A gate's configuration as somebody might spoil it."""

from collections.abc import Iterator
from typing import Any


def unverified(value: Any) -> Iterator[str]:
    """Take every verification of callers out of listeners; tells what was taken."""
    if isinstance(value, dict):
        if value.pop("require_client_certificate", False):
            yield "require_client_certificate"
            common = value["common_tls_context"]
            for field in [name for name in common if "validation_context" in name]:
                del common[field]
                yield field
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from unverified(part)
