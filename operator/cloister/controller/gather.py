"""What rendering must know of the cluster, and what is in the way of knowing it."""

import base64
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cloister import names
from cloister.controller.cluster import Object
from cloister.controller.conditions import is_ready
from cloister.controller.holds import receivers
from cloister.controller.observed import Observed
from cloister.controller.outcome import Obstacle, Outcome
from cloister.controller.people import People
from cloister.controller.rulesets import RuleSets
from cloister.controls import Family
from cloister.facts import CanaryRun, Facts
from cloister.flows import components, outside
from cloister.spec import LLMDeployment
from cloister.storageclass import encrypts, is_default
from cloister.zones import Component, Zone

CA_GENERATION = 1


class Gatherer:
    """Collects facts from the cache, and from what is followed for people and rules."""

    def __init__(self, observed: Observed, people: People, rule_sets: RuleSets, cert_manager_namespace: str) -> None:
        self._observed = observed
        self._people = people
        self._rule_sets = rule_sets
        self._cert_manager_namespace = cert_manager_namespace
        self._trust_bundles: dict[str, str] = {}
        """Deployment uid -> the last that was known: what runs stays as it is while cert-manager is away."""

    async def facts(self, deployment: LLMDeployment, run: CanaryRun | None, outcome: Outcome) -> Facts:
        """The facts, as far as they are known; what is wrong with their sources goes into the outcome."""
        trust_bundle = self._trust_bundle(deployment) or self._trust_bundles.get(deployment.uid)
        if trust_bundle:
            self._trust_bundles[deployment.uid] = trust_bundle
        if not self._observed.cert_manager_served():
            outcome.obstacles.append(_CERT_MANAGER_MISSING)
        elif trust_bundle is None:
            outcome.obstacles += self._unknown_authority(deployment)
        outcome.obstacles += self._storage_classes(deployment, outcome)
        outcome.missing_namespaces = {
            peer.namespace
            for peer in outside(deployment)
            if self._observed.get(("Namespace", "", peer.namespace)) is None
        }
        keys, revocations = await self._people.facts(deployment, outcome)
        return Facts(
            ca_generation=CA_GENERATION,
            trust_bundle=trust_bundle,
            cluster_ips=self.cluster_ips(deployment),
            jwks=keys,
            revocations=revocations,
            canary=run,
            injection_rules=await self._rule_sets.facts(deployment, outcome),
        )

    def forget(self, uid: str) -> None:
        """A deployment is gone."""
        self._trust_bundles.pop(uid, None)

    def cluster_ips(self, deployment: LLMDeployment) -> dict[Component, str]:
        """The addresses of the deployment's Services, as far as they are known now."""
        addresses = {}
        for component in receivers(deployment):
            service = self._observed.get(("Service", names.namespace(deployment.name, component.zone), str(component)))
            address = (service or {}).get("spec", {}).get("clusterIP")
            if address:
                addresses[component] = address
        return addresses

    def _trust_bundle(self, deployment: LLMDeployment) -> str | None:
        """The CA's certificate as cert-manager has answered requests with it: the Secret is never read.

        The CA's own request is gone when the CA is older than its Certificate (cert-manager keeps Secrets, and a
        deployment that is made again finds its CA there). Requests of leaves then name who has signed them.
        """
        name = names.ca(deployment.name, CA_GENERATION)
        authority = self._observed.get(("Certificate", self._cert_manager_namespace, name))
        if authority is None or not is_ready(authority):
            return None
        answers = [(request, "certificate") for request in self._answered(authority)]
        for component in components(deployment):
            namespace = names.namespace(deployment.name, component.zone)
            leaf = self._observed.get(("Certificate", namespace, names.leaf(component)))
            answers += [
                (request, "ca") for request in (self._answered(leaf) if leaf else ()) if _signed_by(request, name)
            ]
        for request, field in answers:
            certificate = authority_certificate(request["status"].get(field, ""), name)
            if certificate:
                return certificate
        return None

    def _unknown_authority(self, deployment: LLMDeployment) -> Iterator[Obstacle]:
        name = names.ca(deployment.name, CA_GENERATION)
        authority = self._observed.get(("Certificate", self._cert_manager_namespace, name))
        if authority is not None and is_ready(authority):
            yield Obstacle(
                Family.IDENTITY_ISSUED,
                "AuthorityUnknown",
                f"the CA {name} is issued, but no CertificateRequest tells its certificate. If this stays, delete"
                f" Secret {self._cert_manager_namespace}/{name}: cert-manager then issues it anew",
            )

    def _answered(self, certificate: Object) -> list[Object]:
        """The requests for a Certificate that cert-manager has granted, newest first."""
        requests = self._observed.of_kind("CertificateRequest", certificate["metadata"]["namespace"]).values()
        granted = [request for request in requests if _made_for(request, certificate) and is_ready(request)]
        return sorted(granted, key=_revision, reverse=True)

    def _storage_classes(self, deployment: LLMDeployment, outcome: Outcome) -> Iterator[Obstacle]:
        classes = self._observed.of_kind("StorageClass")
        default = next((name for name in sorted(classes) if is_default(classes[name])), None)
        there = ", ".join(sorted(classes)) or "none"
        for component, store in deployment.spec.storage.by_component().items():
            if store.backend and component is not Component.INTERACTION_LOGS:
                continue  # of the logs' class are the volumes of all auditors
            bound = self._claim_class(deployment, component)
            name = bound or store.storage_class_name or default
            if name is not None and name in classes:
                outcome.storage_classes[name] = encrypts(classes[name])
            elif bound:
                continue  # its volume is there, whatever became of the class
            elif name is None:
                yield Obstacle(
                    Family.STORAGE_SEPARATED,
                    "StorageClassNotFound",
                    f"spec.storage names no storageClassName for {component} and the cluster has no default class:"
                    f" name one of those that exist ({there}), or mark one as default",
                )
            else:
                yield Obstacle(
                    Family.STORAGE_SEPARATED,
                    "StorageClassNotFound",
                    f"storage class {name!r} of {component} does not exist: create it (those that exist: {there})",
                )

    def _claim_class(self, deployment: LLMDeployment, component: Component) -> str | None:
        claim = self._observed.get(
            ("PersistentVolumeClaim", names.namespace(deployment.name, Zone.STORAGE), str(component))
        )
        bound = claim and claim.get("spec", {}).get("volumeName")
        return claim["spec"].get("storageClassName") if claim and bound else None


_CERT_MANAGER_MISSING = Obstacle(
    Family.IDENTITY_ISSUED,
    "CertManagerMissing",
    "cert-manager is not installed: install it (https://cert-manager.io/docs/installation/)."
    " Identities are issued as soon as its CRDs are there; until then nothing is let through",
)


def _made_for(request: Object, certificate: Object) -> bool:
    metadata = request["metadata"]
    return metadata.get("annotations", {}).get("cert-manager.io/certificate-name") == certificate["metadata"][
        "name"
    ] and any(owner.get("uid") == certificate["metadata"]["uid"] for owner in metadata.get("ownerReferences", ()))


def _revision(request: Object) -> tuple[int, str]:
    metadata = request["metadata"]
    revision = metadata.get("annotations", {}).get("cert-manager.io/certificate-revision", "0")
    return (int(revision) if revision.isdigit() else 0), metadata["creationTimestamp"]


def _signed_by(request: Object, issuer: str) -> bool:
    reference = request["spec"]["issuerRef"]
    return bool(reference.get("name") == issuer and reference.get("kind") == "ClusterIssuer")


def authority_certificate(encoded: str, name: str) -> str | None:
    """PEM of the CA's own certificate; None for anything else, which must never become a trust anchor.

    Least of all what an intermediate is signed by: the user's PKI signs for everybody.
    """
    try:
        pem = base64.b64decode(encoded, validate=True)
        certificate = x509.load_pem_x509_certificate(pem)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (ValueError, x509.ExtensionNotFound):
        return None
    if not constraints.value.ca or certificate.subject.rfc4514_string() != f"CN={name}":
        return None
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
