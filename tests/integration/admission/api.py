"""Requests to a real API server as any user, and what can be said about an answer."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

MASTERS = "system:masters"
"""Passes RBAC unasked. Users here are in it unless RBAC is in question, so that a refusal can only be admission's."""

Object = dict[str, Any]

_PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_NOWHERE = ("does not have a host assigned", "no endpoints available", "address not allowed")
"""What a CONNECT request gets that came past admission, to a pod that runs on no node."""


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    code: int
    body: Object

    @property
    def message(self) -> str:
        """The refusal's text, or nothing."""
        return str(self.body.get("message", "")) if self.code >= 400 else ""

    def refused_by(self, *policies: str) -> bool:
        """Whether one of these policies, and not RBAC or a malformed request, refused."""
        named = (f"ValidatingAdmissionPolicy '{policy}'" in self.message for policy in policies)
        return self.code == 403 and any(named)

    @property
    def refused_by_rbac(self) -> bool:
        """Whether nobody had granted it."""
        return self.code == 403 and "is forbidden: User" in self.message

    @property
    def allowed(self) -> bool:
        """Whether nothing refused. What already exists came past admission as well."""
        exists = self.body.get("reason") == "AlreadyExists"
        return self.code < 300 or exists or any(text in self.message for text in _NOWHERE)

    def __str__(self) -> str:
        return f"{self.code} {self.message or self.body.get('kind')}"


@dataclass(frozen=True)
class User:
    """Somebody who sends requests."""

    server: Server
    name: str
    groups: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    master: bool = True
    """Whether RBAC lets them do anything."""

    def create(self, path: str, body: Object, *, real: bool = False) -> Answer:
        """POST to a collection or a subresource. Unless `real`, a dry run: admission answers."""
        return self._send("POST", path, body, real=real)

    def patch(self, path: str, body: Any, kind: str = "merge", *, real: bool = False) -> Answer:
        """PATCH an object or a subresource."""
        query = {"fieldManager": "test", "force": "true"} if kind == "apply" else {}
        return self._send("PATCH", path, body, real=real, content=_PATCHES[kind], query=query)

    def replace(self, path: str, body: Object, *, real: bool = False) -> Answer:
        """PUT an object or a subresource."""
        return self._send("PUT", path, body, real=real)

    def delete(self, path: str, *, real: bool = False, **query: str) -> Answer:
        """DELETE an object, or a whole collection."""
        return self._send("DELETE", path, None, real=real, query=query)

    def connect(self, path: str, **query: str) -> Answer:
        """The request that starts an exec, attach, port-forward or proxy session."""
        return self._send("POST", path, None, real=True, query=query)

    def get(self, path: str) -> Answer:
        """Read."""
        return self._send("GET", path, None, real=True)

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        real: bool,
        content: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Answer:
        headers = urllib3.HTTPHeaderDict({"Impersonate-User": self.name, "Content-Type": content})
        for group in (*([MASTERS] if self.master else []), *self.groups):
            headers.add("Impersonate-Group", group)
        for key, value in self.extra.items():
            headers.add(f"Impersonate-Extra-{key.replace('/', '%2f')}", value)
        fields = dict(query or {}) | ({} if real else {"dryRun": "All"})
        return self.server.send(method, path, body, headers, fields)


class Server:
    """An API server, reached with an administrator's kubeconfig."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        """Take the server and the client certificate from the kubeconfig's only entries."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        for name, data in (
            ("ca", cluster["certificate-authority-data"]),
            ("certificate", user["client-certificate-data"]),
            ("key", user["client-key-data"]),
        ):
            (scratch / name).write_bytes(base64.b64decode(data))
        self._url: str = cluster["server"]
        self._pool = urllib3.PoolManager(
            retries=False,
            timeout=urllib3.Timeout(30),
            ca_certs=str(scratch / "ca"),
            cert_file=str(scratch / "certificate"),
            key_file=str(scratch / "key"),
        )

    def user(self, name: str, *groups: str, **extra: str) -> User:
        """Anyone."""
        return User(self, name, groups, extra)

    def send(self, method: str, path: str, body: Any, headers: urllib3.HTTPHeaderDict, query: dict[str, str]) -> Answer:
        """One request. A refusal is an answer like any other."""
        url = f"{self._url}/{path}?{urlencode(query)}"
        data = None if body is None else json.dumps(body)
        reply = self._pool.request(method, url, headers=headers, body=data)
        text = reply.data.decode(errors="replace")
        try:
            return Answer(reply.status, json.loads(text))
        except json.JSONDecodeError:
            return Answer(reply.status, {"message": text})
