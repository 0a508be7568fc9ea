"""Reads LLMDeployments from the cluster, with the user's own kubeconfig."""

import json
from collections.abc import Mapping
from typing import Any

from cloister import names
from cloister.cli.api import TIMEOUT, Response, ask, client_of, unknown_here, unreachable
from cloister.cli.documents import Document
from cloister.cli.errors import UserError

_MERGE = "application/merge-patch+json"


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
    ) -> Response:
        """One request to any path. UserError when there is no answer."""
        return ask(self._api.api_client, method, path, body, content_type, query.items())

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
            if error.status == 401:
                raise unknown_here(self._server) from None
            verb = "patch" if method.startswith("patch") else "read"
            raise UserError(_explained(error.status, error.body, what, self._server, verb)) from None
        except (HTTPError, OSError) as error:
            raise unreachable(self._server, error) from None
        return answer


def _explained(status: int | None, body: str | None, what: str, server: str, verb: str = "read") -> str:
    match status:
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
