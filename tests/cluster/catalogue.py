"""The programs the tests need, as data: where each comes from, which version, and where it lies once built.

What a machine already has is preferred: `KUBEBUILDER_ASSETS` for the control plane, any kubectl on `PATH`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

GO_MODULES = Path(__file__).parent / "go"

#: For `go build`: static and without paths, so that the cache may be copied between machines.
BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}


@dataclass(frozen=True)
class Binary:
    """One program, built from a package of one of the Go modules under `go/`."""

    name: str
    version: str
    module: str
    package: str
    expected_seconds: int
    """A rough build time with an empty Go build cache on two cores, in the order of `PROGRAMS`."""
    version_variable: str = ""
    """The Go variable that holds the version, which a module build does not set by itself."""
    in_assets: bool = False
    """Whether a `KUBEBUILDER_ASSETS` directory may provide it."""
    on_path: bool = False
    """Whether any version on `PATH` will do."""
    made_of: str = ""
    """The Go module whose program this is, where `package` is a smaller main package of our own."""
    tags: str = ""
    """Build tags by which a program leaves out what the tests don't use."""

    @property
    def origin(self) -> str:
        """The package or module whose version counts."""
        return self.made_of or self.package

    @property
    def module_directory(self) -> Path:
        """The folder with the go.mod and go.sum that pin this program and everything it is made of."""
        return GO_MODULES / self.module

    @property
    def linker_flags(self) -> str:
        """No symbol table, and the version where the program would not know it."""
        stamp = f" -X {self.version_variable}={self.version}" if self.version_variable else ""
        return f"-s -w{stamp}"

    @property
    def build_arguments(self) -> tuple[str, ...]:
        """What follows `go build`, but for the output path."""
        tags = ("-tags", self.tags) if self.tags else ()
        return ("-trimpath", *tags, "-ldflags", self.linker_flags, self.package)


@dataclass(frozen=True)
class ModuleFiles:
    """Data files that a module carries, cached so that a later run needs neither Go nor the module."""

    name: str
    version: str
    module: str
    go_module: str
    folders: tuple[str, ...]

    @property
    def module_directory(self) -> Path:
        """The folder with the go.mod and go.sum that pin the module."""
        return GO_MODULES / self.module

    @property
    def build_arguments(self) -> tuple[str, ...]:
        """What identifies these files, for the cache key."""
        return (self.go_module, *self.folders)


KUBERNETES = "v1.37.2"
#: Not the newest: later versions moved their commands into Go modules that are not published.
CERT_MANAGER = "v1.11.5"
CILIUM = "v1.20.2"
LOCAL_PATH = "v0.0.30"
#: Its Go module's version: what runs is Prometheus 3.15.0. Later ones need a newer Go than `gotoolchain` fetches.
PROMETHEUS = "v0.315.0"


def _kubernetes(name: str, seconds: int, *, in_assets: bool = False, on_path: bool = False) -> Binary:
    return Binary(
        name, KUBERNETES, "k8s", f"k8s.io/kubernetes/cmd/{name}", seconds,
        "k8s.io/component-base/version.gitVersion", in_assets=in_assets, on_path=on_path,
    )  # fmt: skip


def _cert_manager(command: str, seconds: int) -> Binary:
    return Binary(
        f"cert-manager-{command}", CERT_MANAGER, "cert-manager",
        f"github.com/cert-manager/cert-manager/cmd/{command}", seconds,
        "github.com/cert-manager/cert-manager/pkg/util.AppVersion",
    )  # fmt: skip


PROGRAMS: dict[str, Binary] = {
    binary.name: binary
    for binary in (
        Binary("etcd", "v3.6.16", "etcd", "go.etcd.io/etcd/server/v3", 35, in_assets=True),
        _kubernetes("kube-apiserver", 355, in_assets=True),
        _kubernetes("kube-controller-manager", 40, in_assets=True),
        _kubernetes("kubectl", 40, in_assets=True, on_path=True),
        _cert_manager("controller", 120),
        _cert_manager("webhook", 6),
        _cert_manager("cainjector", 5),
        Binary(
            "helm", "v4.3.1", "helm", "helm.sh/helm/v4/cmd/helm", 130,
            "helm.sh/helm/v4/internal/version.version",
        ),
        Binary(
            "kubeconform", "v0.8.0", "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", 5,
            "main.version",
        ),
        Binary(
            "kube-score", "v1.20.0", "kube-score", "github.com/zegl/kube-score/cmd/kube-score", 35,
            "main.version",
        ),
        Binary(
            "rclone", "v1.76.0", "rclone", "cloister.dev/tests/cluster/rclone", 130,
            "github.com/rclone/rclone/fs.Version", made_of="github.com/rclone/rclone",
        ),
        Binary(
            "promtool", PROMETHEUS, "prometheus", "github.com/prometheus/prometheus/cmd/promtool", 120,
            "github.com/prometheus/common/version.Version",
            tags="remove_all_sd",  # service discovery: the SDKs of every cloud, minutes of compiling
        ),
        _kubernetes("kubelet", 115),
        _kubernetes("kube-scheduler", 20),
        _kubernetes("kube-proxy", 20),
        Binary(
            "cilium-agent", CILIUM, "cilium", "github.com/cilium/cilium/daemon", 300,
            "github.com/cilium/cilium/pkg/version.ciliumVersion",
        ),
        Binary(
            "cilium-cni", CILIUM, "cilium", "github.com/cilium/cilium/plugins/cilium-cni", 15,
            "github.com/cilium/cilium/pkg/version.ciliumVersion",
        ),
        Binary("coredns", "v1.15.0", "coredns", "github.com/coredns/coredns", 140),
        Binary(
            "local-path-provisioner", LOCAL_PATH, "local-path", "github.com/rancher/local-path-provisioner", 40,
            "main.VERSION",
        ),
    )
}  # fmt: skip

CERT_MANAGER_FILES = ModuleFiles(
    "cert-manager-files", CERT_MANAGER, "cert-manager", "github.com/cert-manager/cert-manager",
    ("deploy/charts/cert-manager", "deploy/crds"),
)  # fmt: skip

CILIUM_FILES = ModuleFiles(
    "cilium-files", CILIUM, "cilium", "github.com/cilium/cilium", ("bpf", "pkg/k8s/apis/cilium.io/client/crds")
)
LOCAL_PATH_FILES = ModuleFiles(
    "local-path-files", LOCAL_PATH, "local-path", "github.com/rancher/local-path-provisioner", ("deploy",)
)

#: What `up` needs, and what it needs with cert-manager.
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
WITH_CERT_MANAGER = (*CONTROL_PLANE, "cert-manager-controller", "cert-manager-webhook", "helm")
#: What a node needs.
NODE = (
    *WITH_CERT_MANAGER, "cert-manager-cainjector", "rclone", "kubelet", "kube-scheduler", "coredns",
    "local-path-provisioner",
)  # fmt: skip
#: And to connect its pods.
NETWORKS = {"cilium": ("cilium-agent", "cilium-cni"), "bridge": ("kube-proxy",)}
#: What `make test` does without.
ONLY_FOR_NODE = ("kubelet", "kube-scheduler", "coredns", "local-path-provisioner", *sum(NETWORKS.values(), ()))


def provided(binary: Binary) -> Path | None:
    """The program as the machine already has it, if it does."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and binary.in_assets and (found := Path(assets, binary.name)).is_file():
        return found
    if binary.on_path and (on_path := shutil.which(binary.name)):
        return Path(on_path)
    return None


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/cloister/bin`, by default in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cloister" / "bin"


def cached(item: Binary | ModuleFiles) -> Path:
    """Where the built program (or the folder of files) lies, whether or not it is there yet."""
    folder = cache_root() / f"{item.name}-{item.version}-{cache_key(item)}"
    return folder / item.name


def cache_key(item: Binary | ModuleFiles) -> str:
    """Changes with anything that changes the result: dependencies, checksums, our own sources, flags, platform."""
    digest = hashlib.sha256()
    for part in (
        *(source.read_bytes() for source in sorted(item.module_directory.glob("*.go"))),
        (item.module_directory / "go.mod").read_bytes(),
        (item.module_directory / "go.sum").read_bytes(),
        " ".join(item.build_arguments).encode(),
        repr(sorted(BUILD_ENVIRONMENT.items())).encode(),
        f"{platform.system()}/{platform.machine()}".encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]
