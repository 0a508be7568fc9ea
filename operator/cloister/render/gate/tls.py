"""TLS on both sides of a gate: its own leaf, the deployment's trust bundle, and exactly which identities are peers."""

from collections.abc import Iterable

from cloister import sidecar
from cloister.render.gate.xds import Object, discovery, named, typed, watched

_LEAF = "leaf"
_BUNDLE = "bundle"
_SDS_TYPE = "envoy.extensions.transport_sockets.tls.v3.Secret"
_TRANSPORT = "envoy.transport_sockets.tls"

# Forward secrecy and authenticated encryption only; TLS 1.3 has no weak suites to leave out.
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
# The first is hybrid with ML-KEM: what is recorded today stays closed to tomorrow's quantum computer.
_CURVES = ("X25519MLKEM768", "X25519", "P-256", "P-384")


def leaf() -> Object:
    """``leaf.json``: the certificate and key that cert-manager renews in place."""
    certificate = {
        "certificate_chain": _file(sidecar.LEAF_DIR, "tls.crt"),
        "private_key": _file(sidecar.LEAF_DIR, "tls.key"),
        "watched_directory": {"path": sidecar.LEAF_DIR},
    }
    return discovery([typed(_SDS_TYPE, name=_LEAF, tls_certificate=certificate)])


def bundle() -> Object:
    """``bundle.json``: the CAs of this deployment. Without the file nobody is trusted and no handshake succeeds."""
    context = {
        "trusted_ca": _file(sidecar.BUNDLE_DIR, "ca.crt"),
        "watched_directory": {"path": sidecar.BUNDLE_DIR},
    }
    return discovery([typed(_SDS_TYPE, name=_BUNDLE, validation_context=context)])


def downstream(identities: Iterable[str]) -> Object:
    """Mutual TLS for callers: one of the identities, under this deployment's CA."""
    return named(
        _TRANSPORT,
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=_common(identities, "TLSv1_2", ["h2", "http/1.1"]),
        require_client_certificate=True,
        # A resumed session skips the verification of the certificate: each connection proves itself anew.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )


def upstream(identity: str, host: str) -> Object:
    """Mutual TLS to another gate of the deployment, which must be exactly the one that is meant."""
    return named(
        _TRANSPORT,
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context=_common([identity], "TLSv1_3", ["http/1.1"]),
        sni=host,
        max_session_keys=0,
    )


def _file(volume: str, name: str) -> Object:
    """A file of a mounted volume, through the symlink whose swap Envoy watches. The kubelet makes the plain name of a
    file that is new only after the swap (Kubernetes, atomic_writer.go): asked for that, Envoy could come too early,
    and would not come again."""
    return {"filename": f"{volume}/..data/{name}"}


def _common(identities: Iterable[str], minimum: str, protocols: list[str]) -> Object:
    # An empty list would mean "anyone under this CA" (CertificateValidationContext.match_typed_subject_alt_names).
    allowed = [{"san_type": "URI", "matcher": {"exact": identity}} for identity in identities]
    assert allowed, "a TLS context without peers would let every peer in"
    return {
        "tls_params": {
            "tls_minimum_protocol_version": minimum,
            "tls_maximum_protocol_version": "TLSv1_3",
            "cipher_suites": list(_CIPHERS),
            "ecdh_curves": list(_CURVES),
        },
        "alpn_protocols": protocols,
        # Watched where the files are that these name, not where they are themselves: a bundle that is not there yet
        # is a rejected update to Envoy, which it would not look at again when the bundle comes.
        "tls_certificate_sds_secret_configs": [{"name": _LEAF, "sds_config": watched("leaf.json", sidecar.LEAF_DIR)}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": allowed},
            "validation_context_sds_secret_config": {
                "name": _BUNDLE,
                "sds_config": watched("bundle.json", sidecar.BUNDLE_DIR),
            },
        },
    }
