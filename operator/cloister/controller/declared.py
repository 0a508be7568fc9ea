"""The last declaration that could be used, where this process has not seen it (docs/adr/0029)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from cloister import names
from cloister.names import Key
from cloister.render.declaration import FILE
from cloister.spec import LLMDeployment, SpecError, parse
from cloister.zones import Zone

Object = dict[str, Any]


def last_good(raw: Object, live: Callable[[Key], Object | None]) -> LLMDeployment | None:
    """What the storage zone keeps for a resource. None where there is nothing, or nothing that can be believed: the
    namespace and the object must be those of this very resource, for anybody may make a namespace of that name."""
    metadata = raw["metadata"]
    mine = names.owner_labels(metadata["name"], metadata["uid"])
    namespace = names.namespace(metadata["name"], Zone.STORAGE)
    zone, kept = live(("Namespace", "", namespace)), live(("ConfigMap", namespace, names.DECLARATION))
    if zone is None or kept is None or not (_marked(zone, mine) and _marked(kept, mine)):
        return None
    try:
        return parse({"metadata": metadata, "spec": json.loads((kept.get("data") or {})[FILE])})
    except (KeyError, ValueError, RecursionError, SpecError):
        return None


def _marked(obj: Object, labels: Mapping[str, str]) -> bool:
    found = obj["metadata"].get("labels", {})
    return all(found.get(label) == value for label, value in labels.items())
