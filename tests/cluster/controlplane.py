"""A control plane in a directory: etcd, API server and controller-manager, and what tests do to them."""

from __future__ import annotations

import json
import mmap
import shutil
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.cluster import binaries, components, kubeconfigs, ports
from tests.cluster.certmanager import CertManager
from tests.cluster.components import LOOPBACK, Layout
from tests.cluster.kubectl import Kubectl
from tests.cluster.pki import Authority, signing_key_pair
from tests.cluster.processes import ProcessTable
from tests.cluster.watchdog import Watchdog

_PORTS = ("etcd", "etcd-peer", "apiserver", "cert-manager-webhook", "cert-manager-metrics")


class ControlPlane:
    """A running control plane. Also a context manager, which stops it.

    Made by `start`, or by `open` for one that another process has started. `stop` removes nothing from the
    directory but etcd's data: logs and audit log can still be read. `remove` leaves nothing.
    """

    def __init__(self, directory: Path) -> None:
        """Prefer `start` or `open`."""
        self.directory = directory.resolve()
        self._layout = Layout(self.directory)
        self._processes = ProcessTable(self.directory)
        self._watchdog: Watchdog | None = None

    # --- life ---

    @classmethod
    def start(cls, directory: Path, *, detached: bool = False) -> Self:
        """Start a control plane in a directory, or start what is missing of one that is there.

        It ends with this Python process, even a killed one, unless `detached`: then it runs until `stop`.
        """
        cluster = cls(directory)
        cluster._prepare()
        binaries.paths(binaries.CONTROL_PLANE)
        if not detached:
            cluster._watchdog = Watchdog(cluster.directory)
        try:
            with ports.choosing():
                cluster._choose_ports()
                cluster._write_credentials()
                cluster._start_processes()
            if cluster.cert_manager.installed:
                cluster.cert_manager.start()
        except BaseException:
            cluster._processes.stop_all()
            cluster._release_watchdog()
            raise
        return cluster

    @classmethod
    def open(cls, directory: Path) -> Self:
        """The control plane that was started in this directory, maybe by another process."""
        cluster = cls(directory)
        if not cluster._layout.state.exists():
            raise FileNotFoundError(f"there is no control plane in {directory}")
        return cluster

    def stop(self) -> None:
        """End every process; keep logs, audit log and kubeconfigs."""
        self._processes.stop_all()
        self._release_watchdog()
        shutil.rmtree(self._layout.etcd, ignore_errors=True)

    def remove(self) -> None:
        """End every process and remove the directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- access ---

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (group system:masters)."""
        return self._layout.kubeconfig

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{LOOPBACK}:{self._ports['apiserver']}"

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the administrator."""
        return Kubectl(self.kubeconfig)

    def kubeconfig_for(self, user: str, groups: Iterable[str] = ()) -> Path:
        """A kubeconfig for any user in any groups, by a client certificate of the cluster's authority.

        RBAC decides what that user may do: none has any right yet, unless a group grants it.
        """
        groups = tuple(groups)
        config = kubeconfigs.for_certificate(self.server, self._ca, user, self._authority.issue(user, groups))
        return kubeconfigs.write(self.directory / "users" / kubeconfigs.file_name(user, groups), config)

    def kubeconfig_for_token(self, token: str) -> Path:
        """A kubeconfig that sends this bearer token."""
        config = kubeconfigs.for_token(self.server, self._ca, "token", token)
        return kubeconfigs.write(self.directory / "users" / kubeconfigs.file_name("token", [token]), config)

    def kubeconfig_for_service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a long-lived token of this service account, which must exist."""
        return self.kubeconfig_for_token(self.kubectl.token(namespace, name))

    # --- what tests look at ---

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: every write request, a JSON event a line, on file before the answer."""
        return self._layout.audit_log

    def audit_mark(self) -> int:
        """This moment in the audit log, for `audit_events`: an event that is being written comes after it."""
        with self.audit_log.open("rb") as log, mmap.mmap(log.fileno(), 0, access=mmap.ACCESS_READ) as events:
            return events.rfind(b"\n") + 1

    def audit_events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The audit log's events from byte `after` on, as `audit_mark` told it."""
        with self.audit_log.open("rb") as log:
            log.seek(after)
            for line in log:
                if line.endswith(b"\n"):  # the last one may still be written
                    yield json.loads(line)

    def log(self, name: str) -> Path:
        """The log of a process, by its name as in `running()`."""
        return self._processes.log(name)

    def running(self) -> list[str]:
        """The names of the processes that run."""
        return list(self._processes.running())

    def pid(self, name: str) -> int:
        """The process id of a running component."""
        if (identity := self._processes.find(name)) is None:
            raise self._processes.failure(name, "does not run")
        return identity.pid

    # --- what tests do to it ---

    def restart_apiserver(self, grace: float = 0.0) -> None:
        """Kill the API server (or let it end within `grace` seconds), start it, wait until it is ready."""
        self._processes.stop("kube-apiserver", grace)
        self._start_apiserver()

    def stop_controller_manager(self) -> None:
        """Kill the controller-manager: no garbage collection, namespace deletion or workload controllers."""
        self._processes.stop("kube-controller-manager")

    def start_controller_manager(self) -> None:
        """Start the controller-manager, if it does not run."""
        if not self._processes.find("kube-controller-manager"):
            self._processes.start("kube-controller-manager", components.kube_controller_manager(self._layout))

    def pause_controller_manager(self) -> None:
        """Freeze the controller-manager; `resume_controller_manager` lets it go on."""
        self._signal_controller_manager(signal.SIGSTOP)

    def resume_controller_manager(self) -> None:
        """Let a paused controller-manager go on."""
        self._signal_controller_manager(signal.SIGCONT)

    def install_cert_manager(self) -> None:
        """Install cert-manager's CRDs, RBAC and webhook; run it as its own service accounts. Idempotent."""
        self.cert_manager.install()

    def uninstall_cert_manager(self) -> None:
        """Stop cert-manager and delete all of it, with its CRDs and so every certificate and issuer."""
        self.cert_manager.uninstall()

    def create_storage_class(self, name: str = "standard", parameters: dict[str, str] | None = None) -> None:
        """A default StorageClass for which nobody provisions: claims stay Pending until a test binds them."""
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        self.kubectl.apply([{
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "annotations": annotations},
            "provisioner": "cloister.dev/none", "parameters": parameters or {},
        }])  # fmt: skip

    @cached_property
    def cert_manager(self) -> CertManager:
        """cert-manager on this control plane, installed or not."""
        return CertManager(self._layout, self._processes, self)

    # --- how it starts ---

    def _prepare(self) -> None:
        if not self._layout.state.exists() and self.directory.exists() and any(self.directory.iterdir()):
            # `remove` deletes the whole directory one day: it must never hold anything but this.
            raise FileExistsError(f"{self.directory} is neither empty nor a control plane's: choose another")
        for folder in (self.directory, self._layout.pki, self.directory / "log"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._layout.audit_policy.write_text(yaml.safe_dump(components.AUDIT_POLICY, sort_keys=False))

    def _choose_ports(self) -> None:
        """Once per directory: kubeconfigs that were handed out stay good."""
        if not self._layout.state.exists():
            self._layout.state.write_text(json.dumps({"ports": ports.free(_PORTS)}, indent=2))

    def _write_credentials(self) -> None:
        pki = self._layout.pki
        if (pki / "complete").exists():
            return
        etcd_authority = Authority.load_or_create(pki, "etcd-ca")
        etcd_authority.issue("etcd-peer", hosts=[LOOPBACK]).write(pki, "etcd-peer")
        etcd_authority.issue("kube-apiserver").write(pki, "etcd-client")
        self._authority.issue("kube-apiserver", hosts=components.API_SERVER_HOSTS).write(pki, "apiserver")
        tokens = signing_key_pair()
        tokens.write(pki, "service-accounts")[0].rename(pki / "service-accounts.pub")
        admin = self._authority.issue("kubernetes-admin", ["system:masters"])
        admin.write(pki, "admin")
        kubeconfigs.write(
            self.kubeconfig, kubeconfigs.for_certificate(self.server, self._ca, "kubernetes-admin", admin)
        )
        manager = "system:kube-controller-manager"
        kubeconfigs.write(
            self._layout.controller_manager_kubeconfig,
            kubeconfigs.for_certificate(self.server, self._ca, manager, self._authority.issue(manager)),
        )
        (pki / "complete").touch()

    def _start_processes(self) -> None:
        if not self._processes.find("etcd"):
            etcd, peer = self._ports["etcd"], self._ports["etcd-peer"]
            self._processes.start("etcd", components.etcd(self._layout, etcd, peer))
            self._processes.wait_ready("etcd", lambda: ports.answers(etcd))
        if not self._processes.find("kube-apiserver"):
            self._start_apiserver()
        self.start_controller_manager()
        self._processes.wait_ready("kube-controller-manager", self._service_accounts_are_made)

    def _start_apiserver(self) -> None:
        command = components.kube_apiserver(self._layout, self._ports["apiserver"], self._ports["etcd"])
        self._processes.start("kube-apiserver", command)
        self._processes.wait_ready("kube-apiserver", lambda: self._answers("/readyz"))

    def _service_accounts_are_made(self) -> bool:
        """The controller-manager's first visible deed, without which no pod could be created."""
        return self._answers("/api/v1/namespaces/default/serviceaccounts/default")

    def _answers(self, path: str) -> bool:
        """Whether the API server answers a GET with success. Not by kubectl, which is slow to give up."""
        trust = ssl.create_default_context(cadata=self._ca.decode())
        trust.load_cert_chain(self._layout.pki / "admin.crt", self._layout.pki / "admin.key")
        try:
            with urllib.request.urlopen(self.server + path, timeout=5, context=trust):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _signal_controller_manager(self, number: signal.Signals) -> None:
        if identity := self._processes.find("kube-controller-manager"):
            identity.signal(number)

    def _release_watchdog(self) -> None:
        if self._watchdog:
            self._watchdog.release()
            self._watchdog = None

    @property
    def _ports(self) -> dict[str, int]:
        chosen: dict[str, int] = json.loads(self._layout.state.read_text())["ports"]
        return chosen

    @property
    def _authority(self) -> Authority:
        return Authority.load_or_create(self._layout.pki, "ca")

    @property
    def _ca(self) -> bytes:
        return self._authority.pair.certificate
