"""What `kubectl get -o json` answers, without starting a program: tests wait for objects by asking again and again."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient, ApiException
from kubernetes.config import new_client_from_config

Object = dict[str, Any]

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery"""


class ReadingError(RuntimeError):
    """The API server refused, or did not answer; the message has its reason."""


@dataclass(frozen=True)
class Served:
    """A resource of the API server."""

    root: str
    """`/api/v1`, or `/apis/GROUP/VERSION`."""
    plural: str
    namespaced: bool
    head: tuple[str, str]
    """(apiVersion, kind)."""

    def path(self, namespace: str, name: str) -> str:
        """Of an object, or without a name of all of them."""
        within = f"/namespaces/{namespace or 'default'}" if self.namespaced else ""
        return f"{self.root}{within}/{self.plural}" + (f"/{name}" if name else "")


class Reader:
    """Reads as one user of one cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        """By whatever means the kubeconfig has."""
        self._client: ApiClient = new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self._served: dict[str, Served] = {}

    def get(self, *arguments: str) -> Object:
        """One object, or a List of them. Takes RESOURCE, NAME, `-n`, `-l` and `--field-selector` as kubectl does."""
        asked = _arguments().parse_args(arguments)
        served = self._resource(asked.resource)
        selectors = {"labelSelector": asked.selector, "fieldSelector": asked.field_selector}
        query = urlencode({name: value for name, value in selectors.items() if value})
        found = self._ask(served.path(asked.namespace, asked.name) + (f"?{query}" if query else ""))
        if not asked.name:
            # A list says once what its items are.
            head = dict(zip(("apiVersion", "kind"), served.head, strict=True))
            found["items"] = [head | item for item in found["items"]]
        for one in found.get("items", [found]):
            one["metadata"].pop("managedFields", None)  # as kubectl does, unless it is asked for them
        return found

    def _resource(self, name: str) -> Served:
        if name not in self._served:  # what is not there may have been installed since
            self._served = self._discovered()
        if name not in self._served:
            raise ReadingError(f"the server doesn't have a resource type {name!r}")
        return self._served[name]

    def _discovered(self) -> dict[str, Served]:
        """Every resource by every name that it has; the first group, and its first version, keep a name."""
        found: dict[str, Served] = {}
        for root in ("/api", "/apis"):
            for group in self._ask(root, _DISCOVERY)["items"]:
                of_group = group["metadata"].get("name", "")
                for version in group["versions"]:
                    api_version = f"{of_group}/{version['version']}" if of_group else version["version"]
                    for one in version.get("resources", ()):
                        head = (api_version, one["responseKind"]["kind"])
                        served = Served(f"{root}/{api_version}", one["resource"], one["scope"] == "Namespaced", head)
                        for name in (one["resource"], one["singularResource"], *one.get("shortNames", ())):
                            found.setdefault(name, served)
                            found.setdefault(f"{name}.{of_group}", served)
        return found

    def _ask(self, path: str, accept: str = "application/json") -> Object:
        request = self._client.param_serialize(
            "GET", path, header_params={"Accept": accept}, auth_settings=["BearerToken"]
        )
        try:
            answer = self._client.call_api(*request)
            body: bytes = answer.read()  # type: ignore[no-untyped-call]
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise ReadingError(str(error)) from None
        try:
            found: Object = json.loads(body)
        except ValueError:
            raise ReadingError(f"{answer.status}: {body[:300]!r}") from None
        if answer.status >= 400:
            raise ReadingError(f"({found.get('reason')}): {found.get('message')}")
        return found


@lru_cache
def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("get", exit_on_error=False, add_help=False)
    parser.add_argument("resource")
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("-n", "--namespace", default="")
    parser.add_argument("-l", "--selector")
    parser.add_argument("--field-selector")
    return parser
