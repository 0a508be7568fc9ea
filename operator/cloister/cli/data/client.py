"""S3 over mutual TLS. The gate knows the caller by its certificate, so requests carry no signature and no credentials.

Nothing but the arguments decides where data goes: boto3's own environment variables and files, and proxies, would send
it elsewhere, or under another name, and are not read.
"""

import os
import re
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import SSLError
from botocore.httpsession import URLLib3Session

from cloister import names
from cloister.cli.data.identity import Identity
from cloister.cli.errors import UserError
from cloister.cli.output import shown
from cloister.zones import GATE_PORT, Component

CONNECTIONS = 4
ATTEMPTS = 5
CONNECT_SECONDS, READ_SECONDS = 10, 120
_FINAL = ("CERTIFICATE_VERIFY_FAILED", "ALERT")
"""In OpenSSL's reasons: this side refused, or the other side did."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ENDPOINT = re.compile(r"https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?")


class TLSError(Exception):
    """One side did not accept the other. Asking again would not help, so nothing retries this."""


@dataclass(frozen=True)
class Store:
    """One store, and who asks it."""

    component: Component
    endpoint: str
    host: str
    """The name that its certificate carries, whatever the endpoint is."""
    identity: Identity
    client: Any


def connect(deployment: str, component: Component, identity: Identity, endpoint: str | None = None) -> Store:
    """A client for one store. Nothing is dialled yet."""
    if not _LABEL.fullmatch(deployment):
        raise UserError(f"--deployment {shown(deployment)}: is no name of a deployment")
    host = names.service_host(deployment, component)
    if endpoint is None:
        endpoint = f"https://{host}:{GATE_PORT}"
    elif not _ENDPOINT.fullmatch(endpoint):
        raise UserError(f"--endpoint {shown(endpoint)}: give https://HOST:PORT, without a path")
    return Store(component, endpoint, host, identity, _client(endpoint, host, identity))


class _Connections(URLLib3Session):  # type: ignore[misc] # botocore has no types
    """Shows the caller's certificate, and takes the one with the store's name and no other.

    botocore's own options can't trust an intermediate authority, nor expect a name that differs from the address.
    """

    def __init__(self, host: str, identity: Identity) -> None:
        self._host, self._identity = host, identity
        super().__init__(
            verify=str(identity.bundle),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            max_pool_connections=CONNECTIONS,
        )

    def _get_pool_manager_kwargs(self, **extra: Any) -> dict[str, Any]:
        own = {"ssl_context": self._identity.context, "server_hostname": self._host}
        kwargs: dict[str, Any] = super()._get_pool_manager_kwargs(**own, **extra)
        return kwargs

    def answer(self, request: Any, **_: Any) -> Any:
        """Sends a request in botocore's place."""
        try:
            return self.send(request)
        except SSLError as error:
            reason = str(error.kwargs.get("error", error))
            if any(sign in reason for sign in _FINAL):
                raise TLSError(reason) from error
            raise  # only an end of the connection that TLS did not announce


def _client(endpoint: str, host: str, identity: Identity) -> Any:
    nowhere = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    session = boto3.session.Session(
        botocore_session=botocore.session.Session(session_vars=nowhere), region_name="us-east-1"
    )
    client = session.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            signature_version=UNSIGNED,
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            request_checksum_calculation="when_supported",
            response_checksum_validation="when_supported",
            use_fips_endpoint=False,
            use_dualstack_endpoint=False,
        ),
    )
    client.meta.events.register("before-send.s3", _Connections(host, identity).answer)
    return client
