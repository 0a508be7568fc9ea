"""The deployment's own certificate authority, and a leaf for every workload and declared machine.

Own, so that no sibling deployment's certificate is ever trusted here. The CA's key lies in cert-manager's namespace
only; zones get the certificate, in a ConfigMap. Fields: cert-manager API reference, cert-manager.io/v1.
"""

from collections.abc import Iterator

from cloister import names
from cloister.facts import Facts, Settings
from cloister.flows import components, outside, peer
from cloister.render.meta import Object, child
from cloister.spec import LLMDeployment
from cloister.zones import Zone

_API = "cert-manager.io/v1"
_CA_HOURS = 365 * 24
_ECDSA = {"algorithm": "ECDSA", "size": 256}


def certificate_authority(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The CA certificate, what signs it, and the issuer over it."""
    name = names.ca(deployment.name, facts.ca_generation)
    external = deployment.spec.identity.issuer_ref
    if external:
        signer = {"name": external.name, "kind": external.kind, "group": external.group}
    else:
        signer = _issuer(names.self_signed_issuer(deployment.name))
        root = child(deployment, _API, "ClusterIssuer", signer["name"], owned=True)
        yield root | {"spec": {"selfSigned": {}}}
    certificate = child(deployment, _API, "Certificate", name, namespace=settings.cert_manager_namespace, owned=True)
    yield certificate | {
        "spec": {
            "isCA": True,
            "commonName": name,
            "secretName": name,
            **_lifetime(_CA_HOURS),
            # Renewal in place keeps the key, so leaves signed before it stay valid under the renewed certificate.
            "privateKey": {**_ECDSA, "rotationPolicy": "Never"},
            "usages": ["cert sign", "crl sign", "digital signature"],
            "issuerRef": signer,
        }
    }
    issuer = child(deployment, _API, "ClusterIssuer", name, owned=True)
    yield issuer | {"spec": {"ca": {"secretName": name}}}


def leaves(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """A certificate for each component, in its zone; only the gate mounts the Secret."""
    for component in components(deployment):
        certificate = child(
            deployment, _API, "Certificate", names.leaf(component), zone=component.zone, component=component
        )
        spec = _leaf(deployment, facts, names.leaf(component), peer(deployment, component).identity)
        spec["usages"].append("server auth")
        spec["dnsNames"] = [names.service_host(deployment.name, component)]
        yield certificate | {"spec": spec}


def client_certificates(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """A certificate for each declared machine, in that machine's own namespace."""
    for machine in outside(deployment):
        name = names.client_certificate(deployment.name, machine.service_account)
        certificate = child(deployment, _API, "Certificate", name, namespace=machine.namespace, owned=True)
        yield certificate | {"spec": _leaf(deployment, facts, name, machine.identity)}


def trust_bundles(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """What the gates of each zone trust: this deployment's CA, and no other."""
    for zone in Zone:
        bundle = child(deployment, "v1", "ConfigMap", names.TRUST_BUNDLE, zone=zone)
        yield bundle | {"data": {"ca.crt": facts.trust_bundle or ""}}


def _leaf(deployment: LLMDeployment, facts: Facts, secret: str, identity: str) -> Object:
    return {
        "secretName": secret,
        **_lifetime(deployment.spec.identity.certificate_hours),
        "privateKey": {**_ECDSA, "rotationPolicy": "Always"},
        "usages": ["digital signature", "client auth"],
        "uris": [identity],
        "issuerRef": _issuer(names.ca(deployment.name, facts.ca_generation)),
    }


def _issuer(name: str) -> dict[str, str]:
    return {"name": name, "kind": "ClusterIssuer", "group": "cert-manager.io"}


def _lifetime(hours: int) -> dict[str, str]:
    """Renewed at two thirds, in the form that Go prints durations, so that reading back gives what was written."""
    minutes = hours * 60 // 3
    return {"duration": f"{hours}h0m0s", "renewBefore": f"{minutes // 60}h{minutes % 60}m0s"}
