"""A thin hold on kubectl, for what the harness itself has to do to a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tests.cluster import binaries
from tests.cluster.processes import wait_until
from tests.cluster.reading import Reader, ReadingError


class KubectlError(RuntimeError):
    """kubectl ended with an error; the message is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl as one user of one cluster."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output."""
        command = [
            str(binaries.path("kubectl")),
            f"--kubeconfig={self.kubeconfig}",
            # Not the shared cache in the home directory: it is kept by address, and ports come back.
            f"--cache-dir={self.kubeconfig.parent / 'kubectl-cache'}",
            *arguments,
        ]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Server-side apply, as the harness."""
        self("apply", "--server-side", "--force-conflicts", "--field-manager=cloister-tests", "-f", "-",
             stdin=_list(objects))  # fmt: skip

    def delete(self, objects: Iterable[Mapping[str, Any]], timeout: str = "60s") -> None:
        """Delete what exists of these objects, and wait until they are gone."""
        self("delete", "--ignore-not-found", f"--timeout={timeout}", "-f", "-", stdin=_list(objects))

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get -o json`, as far as `Reader` has it; a program for each question costs an eighth of a second."""
        try:
            return _reader(self.kubeconfig, self.kubeconfig.stat().st_mtime_ns).get(*arguments)
        except ReadingError as error:
            raise KubectlError(f"get {' '.join(arguments)}: {error}") from None

    def wait_until_served(self, *definitions: str) -> None:
        """Wait until the API server serves these custom resources. (`kubectl wait` fails where conditions are null.)"""
        for name in definitions:
            if not wait_until(partial(self._served, name), 60):
                raise KubectlError(f"crd/{name} is not established after 60 s")

    def _served(self, definition: str) -> bool:
        conditions = self.get("crd", definition).get("status", {}).get("conditions") or ()
        return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)

    def token(self, namespace: str, service_account: str, duration: str = "8760h") -> str:
        """A service account's token, by the TokenRequest API: the account's very own identity."""
        return self("create", "token", service_account, "-n", namespace, f"--duration={duration}").strip()


@lru_cache
def _reader(kubeconfig: Path, written: int) -> Reader:
    """``written`` is when: a kubeconfig written anew is another one."""
    return Reader(kubeconfig)


def _list(objects: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
