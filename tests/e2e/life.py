"""The life of the example on a node, step by step, as its README tells it: each step is what a person would run."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from cloister import names
from tests.cluster import binaries
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.node import addons, images
from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until
from tests.e2e.keys import Keys
from tests.e2e.outsiders import ASKING, Outsider
from tests.gate.identities import Provider
from tests.installed import BREAK_GLASS, CHART, NAMESPACE, RELEASE

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "tiny-llm"
NAME = "tiny-llm"
ISSUER = "https://login.example.com/"
CUSTODIAN = "key-custodian"
"""Who puts the unsealing key into the zone."""
_NAMESPACES = ("library", "release", "web", "security")
NO_CANARY = f"!{names.LABEL_RUN}"
"""Canaries come and go, with the labels of those for whom they try."""
_PLACEHOLDERS = {"trainer": "tiny-llm-trainer", "server": "tiny-llm-server", "clients": "tiny-llm-clients"}


class LifeError(RuntimeError):
    """A step did not end as it should; the message says what the cluster knows about it."""


class Life:
    """One deployment of the example on a node; ``folder`` keeps its keys, ``runs`` are the images that shall run."""

    def __init__(self, node: Node, folder: Path, runs: Sequence[str] = images.ALL) -> None:
        self.node, self.folder, self.kubectl = node, folder, node.kubectl
        self._runs = tuple(runs)
        self.keys = Keys(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.provider = Provider(issuer=ISSUER, audience=NAME)
        self.said: dict[str, str] = {}
        """What machines said."""
        self.released: dict[str, str] = {}
        self.applied: float | None = None
        """When the resource was applied, on the monotonic clock."""

    def load_images(self) -> None:
        """Make every image known to the node, as a registry would when it is asked."""
        assert self.images

    # --- steps, in order ---

    def install(self) -> None:
        """`helm install`; returns when the operator's pod is ready."""
        reference = {name: self.images[name].split("@") for name in images.PRODUCT}
        image = {name: {"repository": repository, "digest": digest} for name, (repository, digest) in reference.items()}
        writers = {"secrets": [CUSTODIAN], "persistentvolumeclaims": [addons.PROVISIONER]}
        values = {
            "image": image["cloister"],
            "gate": {"image": image["gate"] | {"tag": ""}},
            "store": {"image": image["store"] | {"tag": ""}},
            "replicas": 1,
            "admission": {"extraWriters": writers},
        }
        command = [
            str(binaries.path("helm")), "upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}",
            "--create-namespace", f"--kubeconfig={self.node.kubeconfig}", "--values=-", "--wait", "--timeout=3m",
        ]  # fmt: skip
        done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
        if done.returncode:
            raise LifeError(f"helm: {done.stderr.strip()}\n{self._described(NAMESPACE)}")

    def prepare(self) -> None:
        """Namespaces of the clients, the identity provider's keys, and the three pairs of keys."""
        self.kubectl.apply([_object("v1", "Namespace", name) for name in _NAMESPACES])
        jwks = _object("v1", "ConfigMap", "login-example-com-jwks", "web")
        self.kubectl.apply([jwks | {"data": {"jwks.json": self.provider.jwks()}}])
        self.keys.make()

    def apply(self) -> None:
        """`kubectl apply` of the resource; returns when the stores run."""
        self.applied = time.monotonic()
        self.kubectl.apply([self.resource])
        self.wait("the stores", lambda: self._pods_ready("tiny-llm-storage", 3), namespace="tiny-llm-storage")

    def ingest(self) -> str:
        """The texts are brought by the machine that may; what it says."""
        return self._client("ingest")

    def train(self) -> str:
        """Training runs to its end; what it says."""
        self.patch(training={"suspend": False})
        namespace = "tiny-llm-training"

        def done() -> bool:
            jobs = self.kubectl.get("jobs", "-n", namespace, "-l", NO_CANARY)["items"]
            return bool(jobs) and jobs[0].get("status", {}).get("succeeded", 0) > 0

        self.wait("training", done, namespace=namespace, timeout=400)
        selector = f"-lapp.kubernetes.io/component=training,{NO_CANARY}"
        return self.kubectl("logs", "-n", namespace, selector, "-c", "training", "--tail=-1")

    def release(self) -> dict[str, str]:
        """The checkpoint is signed by the machine that may; what the resource must then say."""
        entries = {"release.key": (self.folder / "release.key").read_text()}
        self.kubectl.apply([_secret("tiny-llm-release", "release", entries)])
        said: dict[str, str] = json.loads(self._client("release"))
        return said

    def serve(self, released: Mapping[str, str]) -> None:
        """The key into the zone, the release into the resource; returns when a replica is ready."""
        self.hand_over("tiny-llm-unseal", "tiny-llm-inference", key=(self.folder / "unseal.key").read_text())
        model = {name: released[name] for name in ("object", "sha256")}
        self.patch(inference={"replicas": 1, "model": model})
        namespace = "tiny-llm-inference"
        self.wait("the model server", lambda: self._pods_ready(namespace, 1), namespace=namespace, timeout=300)

    def hand_over(self, name: str, namespace: str, **entries: str) -> None:
        """A Secret into a zone, by the one who may put it there."""
        self._grant_custodian()
        Kubectl(self.node.kubeconfig_for(CUSTODIAN)).apply([_secret(name, namespace, entries)])

    def people(self, outsiders: Iterable[Outsider] = ASKING) -> None:
        """Pods of an application, of an auditor and of a stranger, to ask and to try from."""
        outsiders = tuple(outsiders)
        self.kubectl.apply([obj for outsider in outsiders for obj in outsider.objects(self.images["people"])])
        for outsider in outsiders:
            pod = f"pod/{outsider.name}"
            self.kubectl("wait", "--for=condition=Ready", "--timeout=180s", "-n", outsider.namespace, pod)

    def keep_training(self) -> None:
        """A training pod that stays, and does nothing: what can be reached from it does not depend on that."""
        idle = {"image": self.images["people"], "command": ["sleep"], "args": ["infinity"]}
        self.patch(training=idle | {"suspend": False, "resources": {"requests": {"cpu": "10m"}}})
        namespace = f"{NAME}-training"

        def ready() -> bool:
            pods = self.kubectl.get("pods", "-n", namespace, "--field-selector=status.phase=Running")["items"]
            return any(_says(pod, "sleep") and is_ready(pod) for pod in pods)

        self.wait("a training pod that stays", ready, namespace=namespace)

    def remember(self) -> None:
        """Keep what was said beside the node that it was said on."""
        self._memory.write_text(json.dumps({"said": self.said, "released": self.released}))

    @property
    def remembered(self) -> bool:
        """Whether all this happened before; then it is known again what was said."""
        if not self._memory.exists():
            return False
        known = json.loads(self._memory.read_text())
        self.said, self.released = known["said"], known["released"]
        return True

    @property
    def _memory(self) -> Path:
        return self.folder / "life.json"

    # --- what people do ---

    def ask(self, prompt: str, *options: str, token: str | None = None) -> dict[str, Any]:
        """What the application gets when it asks for a person; without ``token``, for one who may."""
        url = "--url=https://inference.tiny-llm-inference.svc:8443/v1"
        said = self.run(
            "web", "frontend", "python", "/app/ask.py", url, f"--prompt={prompt}", *options,
            stdin=self.token() if token is None else token,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(said)
        return found

    def token(self, **changes: Any) -> str:
        """A person's token, good for a few minutes."""
        now = int(dt.datetime.now(dt.UTC).timestamp())
        claims: dict[str, Any] = {"roles": ["reader"], "auth_time": now} | changes
        return self.provider.token(kid="rsa", **claims)

    def reach(self, namespace: str, pod: str, *targets: str) -> dict[str, str]:
        """What comes of connections from a pod."""
        found: dict[str, str] = json.loads(self.run(namespace, pod, "python", "/app/reach.py", *targets))
        return found

    def run(self, namespace: str, pod: str, *command: str, stdin: str = "") -> str:
        """What a command prints in a pod outside the zones."""
        return self.kubectl("exec", "-i", "-n", namespace, pod, "--", *command, stdin=stdin)

    # --- the resource ---

    @cached_property
    def images(self) -> dict[str, str]:
        """Every image by its digest; those that shall run are loaded."""
        return {name: images.reference(name) for name in images.ALL} | self.node.load_images(self._runs)

    @property
    def resource(self) -> dict[str, Any]:
        """The example with images and keys of its own. Training is short: what it learns is not what is looked at."""
        resource: dict[str, Any] = yaml.safe_load((EXAMPLE / "llmdeployment.yaml").read_text())
        spec = resource["spec"]
        spec["training"]["image"] = self.images["tiny-llm-trainer"]
        spec["inference"]["image"] = self.images["tiny-llm-server"]
        spec["inference"]["model"]["publicKey"] = str(self.keys.release.public)
        spec["audit"]["recipients"] = [str(self.keys.audit.public)]
        changed = {"--seal-for": f"--seal-for={self.keys.unseal.public}", "--steps": "--steps=120"}
        spec["training"]["args"] = [changed.get(word.split("=")[0], word) for word in spec["training"]["args"]]
        return resource

    def patch(self, **blocks: Any) -> None:
        """Change blocks of the resource's spec."""
        self.kubectl("patch", "llmd", NAME, "--type=merge", "-p", json.dumps({"spec": blocks}))

    # --- waiting ---

    @cached_property
    def fire_fighter(self) -> Kubectl:
        """kubectl of an administrator of the break-glass group, whom the guards let through, on the record."""
        return Kubectl(self.node.kubeconfig_for("fire-fighter", ["system:masters", BREAK_GLASS]))

    def settled(self) -> None:
        """Wait until the operator has seen the latest change and everything runs."""

        def well() -> bool:
            try:
                found = self.kubectl.get("llmd", NAME)
                replicas = self.kubectl.get("deployments", "-n", NAMESPACE)["items"][0]["status"]
            except KubectlError:
                return False
            status = found["status"]
            conditions = {c["type"]: c for c in status["conditions"]}
            return (
                status["observedGeneration"] == found["metadata"]["generation"]
                and conditions["WorkloadsReady"]["status"] == "True"
                and conditions["Reconciling"]["status"] == "False"
                and replicas.get("readyReplicas") == replicas.get("updatedReplicas") == replicas.get("replicas")
                and self._pods_ready("tiny-llm-storage", 3)
                and self._pods_ready("tiny-llm-inference", 1)
            )

        self.wait("everything to be well", well, namespace="tiny-llm-inference", timeout=120)

    def wait(self, what: str, condition: Any, *, namespace: str, timeout: float = 240) -> None:
        """Wait for a condition; LifeError with what the cluster says, when it does not come."""
        if not wait_until(condition, timeout):
            status = self.kubectl.get("llmd", NAME).get("status", {})
            raise LifeError(f"waited {timeout:.0f} s for {what}\n{json.dumps(status)}\n{self._described(namespace)}")

    def _pods_ready(self, namespace: str, number: int) -> bool:
        pods = self.kubectl.get("pods", "-n", namespace, "-l", NO_CANARY)["items"]
        return sum(map(is_ready, pods)) >= number

    def _described(self, namespace: str) -> str:
        described = self.kubectl("describe", "pods", "-n", namespace)
        events = self.kubectl("get", "events", "-n", namespace, "--sort-by=.lastTimestamp")
        return f"{described[-5000:]}\n{events[-3000:]}"

    # --- pods outside the zones ---

    def _client(self, name: str) -> str:
        """Run the Job of clients/<name>.yaml to its end; what it says."""
        objects = list(yaml.safe_load_all((EXAMPLE / "clients" / f"{name}.yaml").read_text()))
        for obj in objects:
            if obj["kind"] == "Job":
                (container,) = obj["spec"]["template"]["spec"]["containers"]
                container["image"] = self.images["tiny-llm-clients"]
                container["args"] = [
                    "--max-loss=6.9" if word.startswith("--max-loss") else word for word in container["args"]
                ]
        self.kubectl.apply(objects)

        def ended() -> bool:
            status = self.kubectl.get("job", name, "-n", name_space).get("status", {})
            return bool(status.get("succeeded") or any(c["type"] == "Failed" for c in status.get("conditions", ())))

        name_space = objects[0]["metadata"]["namespace"]
        self.wait(f"Job {name}", ended, namespace=name_space)
        said = self.kubectl("logs", "-n", name_space, f"job/{name}", "--tail=-1")
        if not self.kubectl.get("job", name, "-n", name_space)["status"].get("succeeded"):
            raise LifeError(f"Job {name} failed: {said}\n{self._described(name_space)}")
        return said

    def _grant_custodian(self) -> None:
        """To write Secrets; the zone guard lets nobody else do it, whatever rights they have."""
        group = "rbac.authorization.k8s.io"
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "get", "patch"]}]
        self.kubectl.apply(
            [
                _object(f"{group}/v1", "ClusterRole", CUSTODIAN) | {"rules": rules},
                _object(f"{group}/v1", "ClusterRoleBinding", CUSTODIAN)
                | {
                    "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": CUSTODIAN},
                    "subjects": [{"apiGroup": group, "kind": "User", "name": CUSTODIAN}],
                },
            ]
        )


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether its kubelet says so."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def _says(pod: Mapping[str, Any], command: str) -> bool:
    return any(command in container.get("command", ()) for container in pod["spec"]["containers"])


def _secret(name: str, namespace: str, entries: Mapping[str, str]) -> dict[str, Any]:
    return _object("v1", "Secret", name, namespace) | {"stringData": dict(entries)}


def _object(version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
