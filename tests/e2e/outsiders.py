"""Pods outside the zones, to ask and to try from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outsider:
    """One pod, which waits for commands."""

    namespace: str
    name: str
    labels: Mapping[str, str] = field(hash=False)
    secret: str | None = None
    """With the certificate of a declared machine."""

    def objects(self, image: str) -> list[dict[str, Any]]:
        """Its pod, and the account that it runs under."""
        meta = {"name": self.name, "namespace": self.namespace}
        identity = [{"name": "identity", "secret": {"secretName": self.secret, "defaultMode": 0o440}}]
        volumes = identity if self.secret else []
        container = {
            "name": self.name,
            "image": image,
            "command": ["sleep", "infinity"],
            "volumeMounts": [{"name": volume["name"], "mountPath": "/identity"} for volume in volumes],
        }
        spec = {
            "serviceAccountName": self.name,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
            "containers": [container],
            "volumes": volumes,
        }
        return [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta | {"labels": dict(self.labels)}, "spec": spec},
        ]


FRONTEND = Outsider("web", "frontend", {"app": "frontend"}, "cloister-tiny-llm.frontend")
AUDITOR = Outsider("security", "auditor", {"app": "auditor"}, "cloister-tiny-llm.auditor")
STRANGER = Outsider("default", "stranger", {"app": "frontend"})
"""With the label of the client, in a namespace of its own."""
BYSTANDER = Outsider("web", "bystander", {"app": "another"})
"""In the namespace of the client, with another label."""
LIBRARIAN = Outsider("library", "librarian", {"app": "ingest"})
"""Where the texts were brought from, and closed as that is."""
NOTARY = Outsider("release", "notary", {"app": "release"})
"""Where the checkpoint was signed."""

ASKING = (FRONTEND, AUDITOR, STRANGER)
"""Who is needed to ask, to read records, and to be refused."""
ALL = (*ASKING, BYSTANDER, LIBRARIAN, NOTARY)
