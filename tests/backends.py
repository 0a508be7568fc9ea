"""Stores in an object store, for tests of what follows from that."""

import copy
from typing import Any

from tests.edits import REMOVED

BACKEND: dict[str, Any] = {
    "type": "S3",
    "bucket": "llm-data",
    "prefix": "support-bot/",
    "secretRef": {"name": "object-store"},
    "addresses": ["203.0.113.0/24"],
}


def backed(store: str = "checkpoints", **changes: Any) -> dict[str, Any]:
    """Changes of the example support-bot: that store lies in an object store."""
    return {
        f"spec.storage.{store}.size": REMOVED,
        f"spec.storage.{store}.backend": copy.deepcopy(BACKEND) | changes,
    }
