"""`spec.identity`: the deployment's own certificate authority, and the people who may send prompts."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from cloister.spec.fields import DnsLabel, DnsName, Duration, HttpsUrl, Model, TrustDomain, Word, cel, rules

_OWN_ISSUERS = ["cloister-ca-", "cloister-selfsigned-"]
_NOT_OURS = "is the CA of a deployment: trust would reach from one deployment into another"


class IssuerRef(Model):
    """A cert-manager issuer of the user's, which then signs this deployment's CA."""

    name: DnsName = Field(
        description="Name of the issuer; not one of Cloister's own.",
        json_schema_extra=rules(cel(f"!({_OWN_ISSUERS}.exists(own, self.startsWith(own)))", _NOT_OURS)),
    )
    kind: Annotated[str, Field(pattern="^ClusterIssuer$", max_length=13)] = Field(
        "ClusterIssuer", description="Only a ClusterIssuer can sign across namespaces."
    )
    group: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$", max_length=253)] = Field(
        "cert-manager.io", description="API group of the issuer."
    )


DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class ConfigMapRef(Model):
    """A ConfigMap of the user's."""

    name: DnsName = Field(description="Name of the ConfigMap.")
    namespace: DnsLabel = Field(description="Its namespace.")
    key: DataKey = Field("jwks.json", description="The key in its data that holds the document.")


class RevocationsRef(ConfigMapRef):
    """A ConfigMap of the user's with a list of revocations."""

    key: DataKey = Field("revocations.json", description="The key in its data that holds the list.")


class Jwks(Model):
    """Where the public keys of the identity provider come from (RFC 7517), if not from itself."""

    config_map_ref: ConfigMapRef = Field(description="A ConfigMap that holds the JWKS document.")


class RevocationSource(Model):
    """Who is no longer admitted although the token is still valid: a document with `subjects` (values of `sub`),
    `sessions` (`sid`), `tokens` (`jti`) and `issuedBefore` (`sub`, or `*` for everybody, to seconds since 1970)."""

    config_map_ref: RevocationsRef = Field(description="A ConfigMap that holds the list, as JSON or YAML.")


DEFAULT_AMR = ("mfa",)
"""What `amr` must carry (RFC 8176) where a second factor is required and nothing says how it shows."""


class Mfa(Model):
    """How a multi-factor sign-in shows in the token."""

    required: bool = Field(True, description="Whether a second factor is demanded; false needs an exception for ZT-06.")
    amr: Annotated[tuple[Word, ...], Field(max_length=16)] = Field(
        (), description="Values of `amr` (RFC 8176) of which the token must carry at least one."
    )
    acr: Annotated[tuple[Word, ...], Field(max_length=16)] = Field(
        (),
        description="Values of `acr` (OpenID Connect Core, section 2), any of which is strong enough. Where amr is"
        " given as well, the token must carry one of each.",
    )

    def wanted(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Claims, and the values of which the token must carry one; of every claim."""
        amr = self.amr or (() if self.acr else DEFAULT_AMR)
        return tuple((claim, values) for claim, values in (("amr", amr), ("acr", self.acr)) if values)

    def shown(self) -> str:
        """The same for people."""
        return " and ".join(" or ".join(values) for _, values in self.wanted())


class Claims(Model):
    """The names under which the identity provider puts what rules ask for."""

    roles: Word = Field("roles", description="Claim with the list of roles.")
    country: Word = Field("country", description="Claim with the ISO 3166 code of the country.")
    managed_device: Word = Field("managed_device", description="Claim that is true on a managed device.")
    device: Word = Field("device_id", description="Claim that names the device; only a new one says something.")

    def paths(self) -> dict[str, tuple[str, ...]]:
        """Where each of these claims lies in the token, by the name of its field here."""
        return {field: path_of(claim) for field, claim in self}


def path_of(claim: str) -> tuple[str, ...]:
    """Where a claim lies in the token: `realm_access.roles` is nested, `https://example.com/roles` is one name."""
    return (claim,) if "/" in claim or ":" in claim or not all(claim.split(".")) else tuple(claim.split("."))


class UserRule(Model):
    """Who may use what. A person is admitted when one rule agrees in all its parts."""

    roles: Annotated[tuple[Word, ...], Field(min_length=1, max_length=32)] = Field(
        description="The person has at least one of these roles."
    )
    apis: Annotated[tuple[DnsLabel, ...], Field(min_length=1, max_length=16)] = Field(
        description="APIs, by their names under spec.inference.apis."
    )
    countries: Annotated[
        tuple[Annotated[str, Field(pattern="^[A-Z]{2}$", max_length=2)], ...], Field(max_length=250)
    ] = Field((), description="ISO 3166 codes; empty means any country.")
    managed_device: bool = Field(True, description="Whether the device must be a managed one.")


class Users(Model):
    """The people who may send prompts, as their own identity provider (OIDC) vouches for them."""

    issuer: HttpsUrl = Field(description="The `iss` of their tokens, exactly.")
    audiences: Annotated[tuple[Word, ...], Field(min_length=1, max_length=8)] = Field(
        description="Any of which must be in the token's `aud`."
    )
    jwks: Jwks | None = Field(
        None,
        description="The identity provider's public keys; left out, the operator fetches them from the issuer (OpenID"
        " Connect Discovery 1.0).",
    )
    revocations: RevocationSource | None = Field(
        None, description="Who is no longer admitted although the token is still valid."
    )
    mfa: Mfa = Field(default_factory=Mfa, description="The second factor.")
    claims: Claims = Field(default_factory=Claims, description="Names of the claims that rules ask for.")
    max_session_age: Duration | None = Field(
        None, description="The longest time since `auth_time`. With it, a token without `auth_time` is refused."
    )
    rules: Annotated[tuple[UserRule, ...], Field(max_length=32)] = Field(
        (), description="A person is denied unless a rule allows."
    )


class Identity(Model):
    """Who is who: machines by certificate, people by token."""

    trust_domain: TrustDomain = Field(
        "cluster.local",
        description="SPIFFE trust domain of every identity in this deployment; it can't change.",
    )
    issuer_ref: IssuerRef | None = Field(None, description="Puts the deployment's own CA under your PKI.")
    certificate_ttl: Annotated[str, Field(pattern=r"^([1-9]|[1-9][0-9]|1[0-5][0-9]|16[0-8])h$", max_length=4)] = Field(
        "24h",
        alias="certificateTTL",
        description="Life of a leaf certificate, 1h to 168h; renewed at 2/3 of it.",
    )
    users: Users | None = Field(None, description="Without it, no client that speaks for people is admitted.")

    @property
    def certificate_hours(self) -> int:
        """Life of a leaf certificate in hours."""
        return int(self.certificate_ttl.removesuffix("h"))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Field and message of each: the rules of CEL above, for a resource that was stored before they were."""
        if self.issuer_ref and self.issuer_ref.name.startswith(tuple(_OWN_ISSUERS)):
            yield "spec.identity.issuerRef.name", f"{self.issuer_ref.name!r} {_NOT_OURS}: name an issuer of your own"
