"""What the admission tests act on: the chart's policies, three zones with one of everything, and users."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import yaml

from tests.cluster import binaries
from tests.integration.admission.api import Answer, Object, Server, User
from tests.integration.admission.objects import (
    APPS,
    BATCH,
    CERT_MANAGER,
    CILIUM,
    CLIENTS,
    CORE,
    DEFINITION,
    DEFINITIONS,
    DEPLOYMENT,
    DEPLOYMENTS,
    HOME,
    INFERENCE,
    NODE,
    RELABELLED,
    STORAGE,
    TRAINING,
    autoscaler,
    budget,
    certificate,
    certificate_request,
    claim,
    cron_job,
    custom_kind,
    custom_object,
    issuer,
    job,
    meta,
    service,
    stateful_set,
    zone,
)  # fmt: skip

T = TypeVar("T")

CHART = Path(__file__).parents[3] / "charts" / "cloister"

CONTROLLER = "system:serviceaccount:kube-system:"
CILIUM_AGENT = f"{CONTROLLER}cilium"
EXTERNAL_SECRETS = "system:serviceaccount:external-secrets:external-secrets"
APPROVER = "system:serviceaccount:cert-manager:approver"
VALUES: Object = {
    "admission": {
        "extraWriters": {
            "secrets": [EXTERNAL_SECRETS],
            "cert-manager.io/certificaterequests/status": [APPROVER],
        }
    }
}


def render_policies(values: Object) -> list[Object]:
    """The admission policies and bindings, as helm renders them from the chart."""
    command = [
        str(binaries.path("helm")),
        "template",
        "cloister",
        str(CHART),
        f"--namespace={HOME}",
        "--values=-",
    ]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    return [document for document in documents if document["apiVersion"].startswith("admissionregistration")]


@dataclass
class World:
    """The API server, the users and what was made for the tests."""

    server: Server
    audit_log: Path | None

    @cached_property
    def admin(self) -> User:
        """A cluster administrator, who is refused like anyone."""
        return self.server.user("kubernetes-admin")

    @cached_property
    def operator(self) -> User:
        """The operator."""
        return self.server.user(f"system:serviceaccount:{HOME}:cloister", "system:serviceaccounts")

    @cached_property
    def cert_manager(self) -> User:
        """cert-manager's controller."""
        return self.server.user("system:serviceaccount:cert-manager:cert-manager")

    @cached_property
    def fire_fighter(self) -> User:
        """An administrator who breaks the glass, and says why."""
        return self.server.user("jane", "cloister:break-glass", **{"cloister.dev/reason": "ticket 42"})

    @cached_property
    def kubelet(self) -> User:
        """The kubelet of the node that the Job's pod is bound to."""
        return self.server.user(f"system:node:{NODE}", "system:nodes")

    def named(self, name: str) -> User:
        """The user of a row of files/zone-writers.yaml."""
        return self.kubelet if name == "system:node:*" else self.server.user(name)

    def controller(self, name: str) -> User:
        """One of kube-controller-manager's controllers."""
        return self.server.user(CONTROLLER + name)

    def first(self, path: str, select: Callable[[Object], bool] = lambda _: True) -> Object:
        """The first object of a collection that is as wanted, waited for."""
        return eventually(
            lambda: next(item for item in self.admin.get(path).body.get("items", []) if select(item)),
            StopIteration,
            f"an object in {path}",
        )

    @cached_property
    def bound_pod(self) -> str:
        """The Job's pod, bound to the node."""
        return str(self.first(f"{CORE}/namespaces/{INFERENCE}/pods", _belongs_to("Job"))["metadata"]["name"])

    @cached_property
    def pending_pod(self) -> str:
        """The StatefulSet's pod, bound to no node."""
        return str(self.first(f"{CORE}/namespaces/{INFERENCE}/pods", _belongs_to("StatefulSet"))["metadata"]["name"])

    def make_surroundings(self) -> None:
        """The operator's namespace and account, a client's namespace, a node, and kinds of a network plugin."""
        for name in (HOME, CLIENTS):
            self._made(self.admin.create(f"{CORE}/namespaces", {"metadata": {"name": name}}, real=True))
        accounts, account = f"{CORE}/namespaces/{HOME}/serviceaccounts", {"metadata": {"name": "cloister"}}
        self._made(self.admin.create(accounts, account, real=True))
        node = {"metadata": {"name": NODE}, "spec": {"unschedulable": True}}
        self._made(self.admin.create(f"{CORE}/nodes", node, real=True))
        # As a zone would be that somebody relabelled before the policies were there: nobody may any more.
        relabelled = zone("canary", **{"app.kubernetes.io/managed-by": "Helm"})
        self._made(self.admin.create(f"{CORE}/namespaces", relabelled, real=True))
        for body in (custom_kind("CiliumEndpoint"), custom_kind("CiliumNetworkPolicy")):
            self._made(self.admin.create(DEFINITIONS, body, real=True))
            path = f"{CILIUM}/namespaces/{CLIENTS}/{body['spec']['names']['plural']}"
            eventually(lambda path=path: self.admin.get(path).body["items"], KeyError, path)  # type: ignore[misc]
        self._made(self.admin.create(DEFINITIONS, yaml.safe_load(DEFINITION.read_text()), real=True))
        eventually(lambda: self.admin.get(DEPLOYMENTS).body["items"], KeyError, DEPLOYMENTS)

    def make_zones(self) -> None:
        """The zones, each written into at once: the operator waits for no cache to know its namespace."""
        for name in ("training", "inference", "storage"):
            self._made(self.operator.create(f"{CORE}/namespaces", zone(name), real=True))
            self._made(self._config_map(f"{DEPLOYMENT}-{name}"))
            path = f"{CORE}/namespaces/{DEPLOYMENT}-{name}/serviceaccounts/default"
            eventually(lambda path=path: self.admin.get(path).body["metadata"], KeyError, path)  # type: ignore[misc]

    def fill_zones(self) -> None:
        """One of everything, each by whoever makes it in a real cluster."""
        self._issue()
        quota = {"hard": {"services.nodeports": "0", "pods": "10"}}
        keyring = {"metadata": meta("keyring-checkpoints", STORAGE), "stringData": {"k": "v"}}
        inference, storage = f"namespaces/{INFERENCE}", f"namespaces/{STORAGE}"
        made: list[tuple[User, str, Object]] = [
            (self.operator, f"{CORE}/{inference}/services", service("model", INFERENCE)),
            (self.operator, f"{CORE}/{inference}/resourcequotas", {"metadata": meta("quota"), "spec": quota}),
            (self.operator, f"{CORE}/{inference}/persistentvolumeclaims", claim("claim", INFERENCE)),
            (self.operator, f"{APPS}/{inference}/statefulsets", stateful_set("model", INFERENCE)),
            (self.operator, f"{BATCH}/{inference}/jobs", job("job", INFERENCE)),
            (self.operator, f"{BATCH}/{inference}/cronjobs", cron_job("cron", INFERENCE)),
            (self.operator, f"apis/policy/v1/{inference}/poddisruptionbudgets", budget("model", INFERENCE)),
            (self.operator, f"{CORE}/{storage}/secrets", keyring),
            (self.operator, f"{APPS}/{storage}/statefulsets", stateful_set("store", STORAGE)),
            (
                self.admin,
                f"apis/autoscaling/v2/{inference}/horizontalpodautoscalers",
                autoscaler("model", INFERENCE),
            ),
            (
                self.cert_manager,
                f"{CERT_MANAGER}/{inference}/certificaterequests",
                certificate_request("plain", "somebody-elses", INFERENCE),
            ),
            (
                self.server.user(CILIUM_AGENT),
                f"{CILIUM}/{inference}/ciliumendpoints",
                custom_object("CiliumEndpoint", "endpoint"),
            ),
        ]
        for user, path, body in made:
            self._made(user.create(path, body, real=True))
        binding = {"metadata": {"name": self.bound_pod}, "target": {"kind": "Node", "name": NODE}}
        path = f"{CORE}/{inference}/pods/{self.bound_pod}/binding"
        self._made(self.server.user("system:kube-scheduler").create(path, binding, real=True))

    def _issue(self) -> None:
        """A CA and a leaf under it, through the real cert-manager."""
        root, authority = f"cloister-selfsigned-{DEPLOYMENT}", f"cloister-ca-{DEPLOYMENT}-g1"
        issuers = f"{CERT_MANAGER}/clusterissuers"
        for body in (issuer(root, {"selfSigned": {}}), issuer(authority, {"ca": {"secretName": authority}})):
            self._made(self.operator.create(issuers, body, real=True))
        ca = certificate(authority, "cert-manager", root, isCA=True)
        self._made(self.operator.create(f"{CERT_MANAGER}/namespaces/cert-manager/certificates", ca, real=True))
        leaf = certificate("cloister-inference", INFERENCE, authority)
        self._made(self.operator.create(f"{CERT_MANAGER}/namespaces/{INFERENCE}/certificates", leaf, real=True))

    def _config_map(self, namespace: str) -> Answer:
        body = {"metadata": meta("trust-bundle", namespace), "data": {"ca.crt": ""}}
        return self.operator.create(f"{CORE}/namespaces/{namespace}/configmaps", body, real=True)

    @staticmethod
    def _made(answer: Answer) -> None:
        assert answer.allowed, answer

    def audited(self, key: str, *texts: str) -> bool:
        """Whether the API server's audit log has an annotation of this key with these texts.

        True where there is no log to look into: a cluster of the user's own.
        """
        if self.audit_log is None:
            return True
        with self.audit_log.open() as log:
            found = [json.loads(line).get("annotations", {}).get(key, "") for line in log]
        return any(all(text in annotation for text in texts) for annotation in found)

    def tear_down(self) -> None:
        """Remove all of it while the policies are in force, as the people do who may."""
        zones = [f"{CORE}/namespaces/{name}" for name in (TRAINING, INFERENCE, STORAGE, RELABELLED)]
        for path in zones:
            self.fire_fighter.delete(path, real=True)
        for name in filter(None, [self.__dict__.get("bound_pod")]):  # no kubelet runs that would end it
            self.kubelet.delete(f"{CORE}/namespaces/{INFERENCE}/pods/{name}", real=True, gracePeriodSeconds="0")
        self.admin.delete(f"{CORE}/namespaces/{CLIENTS}", real=True)
        self.admin.delete(f"{CORE}/nodes/{NODE}", real=True)
        authority = f"cloister-ca-{DEPLOYMENT}-g1"
        self.operator.delete(f"{CERT_MANAGER}/namespaces/cert-manager/certificates/{authority}", real=True)
        for name in (authority, f"cloister-selfsigned-{DEPLOYMENT}"):
            self.operator.delete(f"{CERT_MANAGER}/clusterissuers/{name}", real=True)
        self.fire_fighter.delete(f"{CORE}/namespaces/cert-manager/secrets/{authority}", real=True)
        for path in zones:
            self.gone(path)

    def gone(self, path: str) -> None:
        """Wait until an object is no more."""

        def look() -> None:
            if (answer := self.admin.get(path)).code != 404:
                raise LookupError(answer.body.get("status"))

        eventually(look, LookupError, f"the end of {path}")


def eventually(attempt: Callable[[], T], error: type[Exception], what: str, seconds: float = 60) -> T:
    """Call until it no longer raises."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except error:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {seconds} s") from None
            time.sleep(0.2)


def _belongs_to(kind: str) -> Callable[[Object], bool]:
    return lambda item: any(owner["kind"] == kind for owner in item["metadata"].get("ownerReferences", []))
