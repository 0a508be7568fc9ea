"""Who asks: the certificate, key and trust bundle of a declared client, as cert-manager's Secret holds them."""

import datetime as dt
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from cloister.cli.errors import UserError

CERTIFICATE, KEY, BUNDLE = "tls.crt", "tls.key", "ca.crt"
"""Keys of a Secret of type kubernetes.io/tls, and cert-manager's own."""
MOUNTS = Path("/var/run/cloister")
"""Where the Secret of a deployment is looked for: in a folder of the deployment's name."""


@dataclass(frozen=True)
class Identity:
    """Somebody with a certificate."""

    name: str
    """SPIFFE ID."""
    bundle: Path
    context: ssl.SSLContext
    """Trusts the bundle and nothing else, and shows the certificate."""


def read(folder: Path, now: dt.datetime) -> Identity:
    """The identity in a folder; a UserError names the file that is wrong."""
    certificate, bundle = folder / CERTIFICATE, folder / BUNDLE
    leaf = _leaf(certificate)
    if leaf.not_valid_after_utc <= now:
        raise UserError(
            f"{certificate}: has expired at {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}: bring the new one"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A deployment's CA may be an intermediate one, and then it is trusted in its own right.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load(bundle, lambda: context.load_verify_locations(cafile=bundle))
    _load(folder / KEY, lambda: context.load_cert_chain(certificate, folder / KEY))
    return Identity(_spiffe_id(leaf, certificate), bundle, context)


def _leaf(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:
        raise UserError(f"{path}: holds no certificate in PEM") from None


def _spiffe_id(leaf: x509.Certificate, path: Path) -> str:
    """The one URI of the certificate (X509-SVID, section 2)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (found,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        raise UserError(f"{path}: carries not exactly one SPIFFE ID: it is no certificate of a client") from None
    return found


def _load(path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        raise UserError(f"{path}: can't be used: {error.reason or error}") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: {error.strerror}: mount the Secret cloister-<deployment>.<service account> of this namespace there,"
        " or name its folder by --identity"
    )
