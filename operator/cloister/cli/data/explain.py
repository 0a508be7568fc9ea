"""What a store's refusals, and failures on the way to it, mean to the person who asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    SSLError,
)

from cloister.cli.data.client import Store, TLSError
from cloister.cli.data.places import Place
from cloister.cli.errors import UserError
from cloister.cli.output import shown

WRITE, READ, LIST = "write", "read", "list"

_DENIED = {"AccessDenied", "403"}
_ABSENT = {"NoSuchKey", "404"}
_BUSY = {"SlowDown", "ServiceUnavailable", "503", "TooManyRequests", "429"}


@contextmanager
def explained(store: Store, place: Place, verb: str) -> Iterator[None]:
    """Turns whatever botocore raises about a place into a UserError."""
    try:
        yield
    except ClientError as error:
        raise UserError(_answer(error, store, place, verb)) from error
    except TLSError as error:
        raise UserError(_handshake(str(error), store)) from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise UserError(
            f"{store.endpoint}: can't be reached: {_why(error)}. A pod reaches a store where {place.field} names its"
            " namespace and service account, and its own namespace allows the egress and DNS"
        ) from error
    except (ConnectionClosedError, SSLError) as error:
        raise UserError(
            f"{store.endpoint}: closed the connection: {_why(error)}. If that is so every time, nothing declares"
            f" {store.identity.name} there"
        ) from error
    except (BotoCoreError, HTTPClientError) as error:
        raise UserError(f"{place}: {_why(error)}") from error


def _answer(error: ClientError, store: Store, place: Place, verb: str) -> str:
    found: dict[str, Any] = error.response.get("Error", {})
    code, message = shown(str(found.get("Code", ""))), shown(str(found.get("Message", "")))
    said = f" ({message})" if message and not message.isdigit() else ""
    if code in _DENIED:
        role = "writers" if verb == WRITE else "readers"
        return (
            f"{place}: access denied{said}: {store.identity.name} may not {verb} below this prefix. Its rights are in"
            f" {place.field}.{role} of the deployment"
        )
    if code in _ABSENT:
        return f"{place}: there is no such object"
    if code == "NoSuchBucket":
        return f"{place}: {store.endpoint} has no bucket {place.bucket}: does --endpoint lead to another store?"
    if code in _BUSY:
        return f"{place}: the store is busy or starting{said}, and was asked several times: try again later"
    if code == "PreconditionFailed":
        return f"{place}: is there already, and this store only takes new objects"
    return f"{place}: the store answered {code}{said}"


def _handshake(reason: str, store: Store) -> str:
    reason = shown(reason)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            f"{store.endpoint}: is not {store.host} of the deployment whose {store.identity.bundle.name} lies in"
            f" {store.identity.bundle.parent}, and got no data: {reason}"
        )
    return (
        f"{store.endpoint}: the gate does not admit {store.identity.name}: {reason}. Is it declared for"
        f" {store.component}, and is its certificate of this deployment and up to date?"
    )


def _why(error: Exception) -> str:
    kwargs: dict[str, Any] = getattr(error, "kwargs", {})
    return shown(str(kwargs.get("error") or error))
