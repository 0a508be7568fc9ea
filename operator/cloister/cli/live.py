"""Reads LLMDeployments from the cluster, with the user's own kubeconfig."""

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import yaml

from cloister import names
from cloister.cli.documents import Document
from cloister.cli.errors import UserError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_MERGE = "application/merge-patch+json"
TIMEOUT = (5, 20)
"""Seconds to connect and to read: a cluster that is away says so soon."""


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


class Cluster:
    """The deployments of the cluster of one kubeconfig context."""

    def __init__(self, context: str | None, kubeconfig: str | None) -> None:
        api = client_of(context, kubeconfig)
        from kubernetes import client  # noqa: PLC0415

        self._server = api.configuration.host
        self._api = client.CustomObjectsApi(api)

    def get(self, name: str) -> Document:
        """One deployment."""
        raw = self._call("get_cluster_custom_object", f"{names.PLURAL} {name!r}", name=name)
        return Document(self._server, raw)

    def all(self) -> list[Document]:
        """Every deployment, by name."""
        answer = self._call("list_cluster_custom_object", names.PLURAL)
        # Items of a list carry neither kind nor version where an older API server sends them.
        found = [{"apiVersion": names.API_VERSION, "kind": names.KIND, **item} for item in answer["items"]]
        return [Document(self._server, raw) for raw in sorted(found, key=lambda raw: raw["metadata"]["name"])]

    def annotate(self, name: str, annotation: str, value: str) -> None:
        """Set an annotation of one deployment, and nothing else."""
        body = {"metadata": {"annotations": {annotation: value}}}
        self._call(
            "patch_cluster_custom_object", f"{names.PLURAL} {name!r}", name=name, body=body, _content_type=_MERGE
        )

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        **query: str,
    ) -> tuple[int, Mapping[str, Any]]:
        """One request to any path: status and answer, refusals included. UserError when there is no answer."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        api = self._api.api_client
        headers = {"Accept": "application/json", "Content-Type": content_type}
        _, url, headers, _, _ = api.param_serialize(method, path, header_params=headers, auth_settings=["BearerToken"])
        try:
            answer = api.call_api(
                method, f"{url}?{urlencode(query)}" if query else url, headers, body, _request_timeout=TIMEOUT
            )
            content = answer.read()
        except (HTTPError, OSError) as error:
            raise unreachable(self._server, error) from None
        try:
            found = json.loads(content)
        except ValueError:
            found = {"message": content.decode(errors="replace")}
        return answer.status, found if isinstance(found, dict) else {}

    def _call(self, method: str, what: str, **arguments: Any) -> Mapping[str, Any]:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            answer: Mapping[str, Any] = getattr(self._api, method)(
                group=names.GROUP,
                version=names.VERSION,
                plural=names.PLURAL,
                _request_timeout=TIMEOUT,
                **arguments,
            )
        except ApiException as error:
            verb = "patch" if method.startswith("patch") else "read"
            raise UserError(_explained(error.status, error.body, what, self._server, verb)) from None
        except (HTTPError, OSError) as error:
            raise unreachable(self._server, error) from None
        return answer


def unreachable(server: str, error: BaseException) -> UserError:
    """The API server does not answer."""
    hint = "is this the right context? (`kubectl config current-context`)"
    return UserError(f"{server}: can't be reached: {_cause(error)}; {hint}")


def _explained(status: int | None, body: str | None, what: str, server: str, verb: str = "read") -> str:
    match status:
        case 401:
            return f"{server}: does not know you (401): sign in again, or choose another --context"
        case 403:
            needed = "get and list" if verb == "read" else verb
            return f"{server}: you may not {verb} {names.PLURAL}.{names.GROUP} (403): ask for {needed} on them"
        case 404 if "page not found" in (body or ""):
            return f"{server}: knows no {names.PLURAL}.{names.GROUP}: Cloister is not installed there"
        case 404:
            return f"{server}: has no {what}"
    try:
        message = json.loads(body or "")["message"]
    except (ValueError, KeyError, TypeError):
        message = "no reason given"
    return f"{server}: answered {status}: {message}"


def _cause(error: BaseException) -> str:
    """The innermost reason of urllib3's nested errors, in its own words."""
    reason = getattr(error, "reason", None)
    while isinstance(reason, BaseException):
        error, reason = reason, getattr(reason, "reason", None)
    text = str(error.__cause__ or error).rpartition(": ")[2]
    return re.sub(r"^\[Errno -?\d+\] ", "", text).lower() or type(error).__name__
