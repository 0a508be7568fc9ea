"""Requests to the API server, with the user's own kubeconfig."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import yaml

from cloister.cli.errors import UserError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT = (5, 20)
"""Seconds to connect and to read: a cluster that is away says so soon."""


@dataclass(frozen=True)
class Response:
    """What the API server answered, refusals included."""

    status: int
    body: Mapping[str, Any]
    date: str
    """When, by its own clock; empty where it does not say."""

    @property
    def message(self) -> str:
        """Why it was refused, in the API server's words."""
        return str(self.body.get("message", f"status {self.status}"))


def client_of(context: str | None, kubeconfig: str | None) -> "ApiClient":
    """A client of the cluster of one kubeconfig context; UserError where there is none."""
    # Imported here: the client takes half a second to load, which `lint` and `render` need not wait for.
    from kubernetes import client, config  # noqa: PLC0415

    settings = client.Configuration()
    try:
        load: Callable[..., None] = config.load_kube_config
        load(kubeconfig or os.environ.get("KUBECONFIG"), context, settings, persist_config=False)
    except config.ConfigException as error:
        hint = "name one with --kubeconfig and --context, or set KUBECONFIG"
        raise UserError(f"kubeconfig: {str(error).rstrip('.')}: {hint}") from None
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        # A broken file makes the loader stumble where it happens to stand.
        raise UserError(f"kubeconfig: can't be read: {error}") from None
    settings.retries = 0
    return client.ApiClient(settings)


def ask(
    api: "ApiClient",
    method: str,
    path: str,
    body: Any = None,
    content_type: str = "application/json",
    query: Iterable[tuple[str, str]] = (),
) -> Response:
    """One request to any path. UserError when there is no answer."""
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    headers = {"Accept": "application/json", "Content-Type": content_type}
    asked = urlencode(list(query))
    try:
        request = api.param_serialize(
            method, f"{path}?{asked}" if asked else path, None, None, headers, body, auth_settings=["BearerToken"]
        )
        answer = api.call_api(*request, _request_timeout=TIMEOUT)
        content: bytes = answer.read()  # type: ignore[no-untyped-call]
    except (HTTPError, OSError) as error:
        raise unreachable(api.configuration.host, error) from None
    try:
        found = json.loads(content)
    except ValueError:
        found = {"message": content.decode(errors="replace").strip()}
    return Response(answer.status, found if isinstance(found, dict) else {}, answer.headers.get("date", ""))


def unreachable(server: str, error: BaseException) -> UserError:
    """The API server does not answer."""
    hint = "is this the right context? (`kubectl config current-context`)"
    return UserError(f"{server}: can't be reached: {_cause(error)}; {hint}")


def unknown_here(server: str) -> UserError:
    """The API server answered 401."""
    return UserError(f"{server}: does not know you (401): sign in again, or choose another --context")


def _cause(error: BaseException) -> str:
    """The innermost reason of urllib3's nested errors, in its own words."""
    reason = getattr(error, "reason", None)
    while isinstance(reason, BaseException):
        error, reason = reason, getattr(reason, "reason", None)
    text = str(error.__cause__ or error).rpartition(": ")[2]
    return re.sub(r"^\[Errno -?\d+\] ", "", text).lower() or type(error).__name__
