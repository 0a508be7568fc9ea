"""Throw-away authorities, leaves with SPIFFE IDs, and people's tokens, good and bad."""

import base64
import datetime as dt
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Leaf:
    """A certificate chain and its key, PEM."""

    chain: str
    key: str

    def write(self, directory: Path, name: str = "client") -> tuple[Path, Path]:
        """Files for the standard library's ssl."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_text(self.chain)
        key.write_text(self.key)
        return certificate, key


@dataclass
class Authority:
    """A CA; ``parent`` makes it an intermediate one."""

    name: str = "test CA"
    parent: "Authority | None" = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        issuer = self.parent or self
        self.certificate = (
            _builder(self.name, issuer.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(issuer.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *uris: str, hosts: tuple[str, ...] = (), expired: bool = False) -> Leaf:
        """A leaf with these URIs, for both sides of a connection."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(host) for host in hosts]
        builder = _builder("leaf", self.name, key.public_key(), expired=expired)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        signed = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(self.key, hashes.SHA256())
        return Leaf(
            signed.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
        )


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey, *, expired: bool = False
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    end = now - dt.timedelta(minutes=1) if expired else now + dt.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(end)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def encoded(data: bytes) -> str:
    """base64url without padding, as in RFC 7515."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(value: object) -> str:
    return encoded(json.dumps(value).encode())


def _number(value: int, length: int | None = None) -> str:
    return encoded(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


class Provider:
    """An identity provider: it signs whatever it is asked to."""

    def __init__(self, issuer: str = "https://login.example.com/", audience: str = "support-bot") -> None:
        self.issuer, self.audience = issuer, audience
        self._rsa = rsa.generate_private_key(65537, 2048)
        self._ec = ec.generate_private_key(ec.SECP256R1())
        self._ed = ed25519.Ed25519PrivateKey.generate()

    def jwk(self, kind: str = "RSA") -> dict[str, Any]:
        """One public key."""
        if kind == "RSA":
            public = self._rsa.public_key().public_numbers()
            return {"kty": "RSA", "kid": "rsa", "use": "sig", "n": _number(public.n), "e": _number(public.e)}
        if kind == "OKP":
            return {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encoded(self._ed.public_key().public_bytes_raw())}
        point = self._ec.public_key().public_numbers()
        return {"kty": "EC", "kid": "ec", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}

    def jwks(self, *more: dict[str, Any]) -> str:
        """The public keys, and any other that a test wants in the document."""
        return json.dumps({"keys": [self.jwk("RSA"), self.jwk("EC"), *more]})

    @property
    def public_pem(self) -> bytes:
        """The public RSA key as the classic forger uses it: as an HMAC secret."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._rsa.public_key().public_bytes(serialization.Encoding.PEM, form)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of somebody who may use `chat`; a change to None leaves the claim out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": [self.audience],
            "sub": "alice",
            "sid": "session-1",
            "iat": now,
            "exp": now + 600,
            "amr": ["pwd", "otp"],
            "roles": ["support-agent"],
            "country": "DE",
            "managed_device": True,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, alg: str = "RS256", kid: str | None = None, secret: bytes = b"", **changes: Any) -> str:
        """A token, signed as ``alg`` says."""
        header = {"alg": alg, "typ": "JWT"} | ({"kid": kid} if kid else {})
        signed = f"{_part(header)}.{_part(self.claims(**changes))}"
        return f"{signed}.{encoded(self._signature(alg, signed.encode(), secret))}"

    def _signature(self, alg: str, data: bytes, secret: bytes) -> bytes:
        match alg:
            case "RS256":
                return self._rsa.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case "ES256":
                r, s = decode_dss_signature(self._ec.sign(data, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case "EdDSA" | "Ed25519":
                return self._ed.sign(data)
            case "HS256":
                return hmac.new(secret, data, hashlib.sha256).digest()
            case _:
                return b""
