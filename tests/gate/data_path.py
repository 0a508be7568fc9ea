"""The whole data path as it is rendered: the real Envoy, the real auditor behind it, and a model server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cloister import sidecar
from cloister.render.auditor import auditor_settings
from cloister.zones import Component
from tests.auditor.running import Auditor, settings, surroundings
from tests.gate.model import OUR_CA, OWN, inference_files
from tests.gate.running import Gate, mounted_gate, running
from tests.gate.specs import deployment


@contextmanager
def data_path(spec: dict[str, Any]) -> Iterator[tuple[Gate, Auditor]]:
    """Gate and auditor, configured by what the operator renders of one resource; only paths and ports differ."""
    with mounted_gate() as mounted, surroundings() as auditor:
        leaf = OUR_CA.issue(OWN)
        mounted.identify(leaf.chain, leaf.key)
        mounted.trust(OUR_CA.pem)
        mounted.configure(inference_files(spec))
        rendered = auditor_settings(deployment(spec), Component.INFERENCE).model_dump(mode="json", exclude_none=True)
        here = settings(auditor.root, auditor.model)
        rendered["journal"] |= {name: here["journal"][name] for name in ("directory", "recipients", "upstream")}
        rendered["journal"]["content"] = "Full"
        for name in ("upstream", "health_port", "metrics_port"):
            rendered[name] = here[name]
        rendered["people"].pop("revocations", None)
        if "behaviour" in rendered:
            rendered["behaviour"]["directory"] = str(auditor.journal / "behaviour")
        if "extraction" in rendered:
            rendered["extraction"]["state"] = str(auditor.journal / "extraction.json")
        rendered["listen"] = mounted.path(sidecar.AUDITOR_SOCKET)
        auditor.config = rendered
        with running(mounted) as gate:
            auditor.start()  # takes the place of the gate's stub, on the same socket
            yield gate, auditor
