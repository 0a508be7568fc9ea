"""Every call to the API server that the operator makes itself: JSON dicts in and out, paths from the kinds table.

The `kubernetes` package's asyncio client does transport and credentials; its generated models are not used.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import ApiException

import cloister
from cloister import names
from cloister.controller import errors, metrics
from cloister.controller.kinds import BY_KIND, EVENT, Resource

Object = dict[str, Any]

_TIMEOUT_SECONDS = 30
_PAGE = 500
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


async def client() -> ApiClient:
    """A client with the credentials of this process: the kubeconfig of $KUBECONFIG, else the pod's account."""
    configuration = Configuration()
    if os.environ.get("KUBECONFIG") or not os.environ.get("KUBERNETES_SERVICE_HOST"):
        await config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=os.environ.get("KUBECONFIG"), client_configuration=configuration, persist_config=False
        )
    else:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    made = ApiClient(configuration)
    made.user_agent = f"cloister/{cloister.__version__}"
    return made


class Cluster:
    """The API server."""

    def __init__(self, api: ApiClient) -> None:
        self.api = api

    @classmethod
    async def connect(cls) -> Self:
        """Load credentials; nothing is sent yet."""
        return cls(await client())

    async def close(self) -> None:
        """Close the connections."""
        await self.api.close()  # type: ignore[no-untyped-call]

    # --- reading ---

    async def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """One object; NotFoundError when there is none."""
        found, _ = await self._call("GET", BY_KIND[kind].path(namespace, name))
        return found

    async def list(self, resource: Resource, selector: str = "", namespace: str = "") -> tuple[list[Object], str]:
        """Every object of a kind, in all namespaces or in one, page by page, and the version of the list."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        items: list[Object] = []
        while True:
            page, _ = await self._call("GET", resource.path(namespace), query)
            # Items of a list come without them.
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            items += [head | item for item in page["items"]]
            following = page["metadata"].get("continue")
            if not following:
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = following

    async def list_named(self, resource: Resource, namespace: str, name: str) -> tuple[Object | None, str]:
        """One object by a list of it alone, and the version from which it can be watched, there or not."""
        page, _ = await self._call("GET", resource.path(namespace), _only(name))
        items = page["items"]
        return (items[0] if items else None), page["metadata"]["resourceVersion"]

    async def watch_named(
        self, resource: Resource, namespace: str, name: str, version: str, seconds: int
    ) -> AsyncIterator[tuple[str, Object]]:
        """(ADDED, MODIFIED or DELETED, object) as it happens to one object, for so long, or until the API server ends
        it: then the object must be listed again."""
        query = _only(name) | {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        what = f"GET {resource.path(namespace)} ({name})"
        with _network_errors(what):
            response = await self._send("GET", resource.path(namespace), query, None, _JSON, seconds + _TIMEOUT_SECONDS)
            try:
                if response.status != 200:
                    raise errors.from_response(response.status, await response.read(), what)
                async for line in response.response.content:
                    event = json.loads(line)
                    if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                        return
                    yield event["type"], event["object"]
            finally:
                response.response.close()

    # --- writing ---

    async def apply(self, obj: Object) -> tuple[Object, bool]:
        """Server-side apply, forced. Also tells whether the object was created by it."""
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        applied, status = await self._write("apply", "PATCH", obj, query=query, content_type=_APPLY)
        return applied, status == 201

    async def create(self, obj: Object) -> Object:
        """POST: AlreadyExistsError when it is there."""
        resource, namespace = BY_KIND[obj["kind"]], obj["metadata"].get("namespace", "")
        metrics.API_WRITES.labels("create", obj["kind"]).inc()
        created, _ = await self._call("POST", resource.path(namespace), _managed(), obj)
        return created

    async def replace(self, obj: Object) -> Object:
        """PUT. The object carries the resourceVersion that was read: ConflictError when it has changed since."""
        replaced, _ = await self._write("replace", "PUT", obj, query=_managed())
        return replaced

    async def delete(self, obj: Object, propagation: str = "Background") -> Object | None:
        """Delete this very object, told by its uid. What is left of it, when something still holds it."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": obj["metadata"]["uid"]},
        }
        answer, _ = await self._write("delete", "DELETE", obj, body=options)
        return None if answer.get("kind") == "Status" else answer

    async def patch_status(self, obj: Object, status: Object) -> Object:
        """Merge patch of the status subresource; a None in it removes a field."""
        patched, _ = await self._write(
            "patch-status",
            "PATCH",
            obj,
            subresource="status",
            query=_managed(),
            body={"status": status},
            content_type=_MERGE,
        )
        return patched

    async def post_event(self, event: Object) -> None:
        """Create an Event."""
        metrics.API_WRITES.labels("create", EVENT.kind).inc()
        await self._call("POST", EVENT.path(event["metadata"]["namespace"]), _managed(), event)

    # --- how ---

    async def _write(
        self,
        verb: str,
        method: str,
        obj: Object,
        *,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> tuple[Object, int]:
        kind, metadata = obj["kind"], obj["metadata"]
        metrics.API_WRITES.labels(verb, kind).inc()
        path = BY_KIND[kind].path(metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._call(method, path, query or {}, obj if body is None else body, content_type)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> tuple[Object, int]:
        """One request. Nothing is retried here: the queue does that, where it can be seen."""
        with _network_errors(f"{method} {path}"):
            response = await self._send(method, path, query, body, content_type, _TIMEOUT_SECONDS)
            content = await response.read()
        if not 200 <= response.status <= 299:
            raise errors.from_response(response.status, content, f"{method} {path}")
        answer: Object = json.loads(content)
        return answer, response.status

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        content_type: str,
        seconds: float,
    ) -> Any:
        headers = {"Accept": _JSON, "Content-Type": content_type}
        _, url, headers, _, _ = await self.api.param_serialize(
            method, path, header_params=headers, auth_settings=["BearerToken"]
        )
        if query:
            url += "?" + urlencode(query)
        # The body is plain JSON already: the client's own serialization would only copy it.
        return await self.api.call_api(method, url, headers, body, _request_timeout=seconds)


def _only(name: str) -> dict[str, str]:
    return {"fieldSelector": f"metadata.name={name}"}


def _managed() -> dict[str, str]:
    return {"fieldManager": names.FIELD_MANAGER}


@contextmanager
def _network_errors(what: str) -> Iterator[None]:
    """Whatever keeps an answer away is one kind of error to the operator."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError, ApiException) as error:
        raise errors.UnavailableError(f"{what}: {type(error).__name__}: {error}") from error
