"""A real Kubernetes control plane for tests, benchmarks and the demo, from nothing but Go modules.

etcd, kube-apiserver, kube-controller-manager and cert-manager are built once from pinned, checksummed modules
(`tests/cluster/go/`), cached, and run as ordinary local processes. There is no node: no pod ever runs.

    from tests.cluster import ControlPlane

    with ControlPlane.start(directory) as cluster:
        cluster.install_cert_manager()
        cluster.kubectl("get", "namespaces")

Reading order: `catalogue` (what is built), `builder` (how), `components` (what runs), `controlplane`,
`certmanager`, `processes`.
"""

from tests.cluster.controlplane import ControlPlane
from tests.cluster.external import ExternalCluster, NotOnThisClusterError
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.processes import ProcessError

__all__ = [
    "ControlPlane",
    "ExternalCluster",
    "Kubectl",
    "KubectlError",
    "NotOnThisClusterError",
    "ProcessError",
]
