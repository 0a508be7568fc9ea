"""The command lines and configuration files of what runs on the node outside of pods, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import binaries, components
from tests.cluster.components import SERVICE_RANGE, Layout

NODE = "node"
PODS = "10.244.0.0/16"
DNS = "10.96.0.10"
DOMAIN = "cluster.local"
API_PORT, ETCD_PORT, ETCD_PEER_PORT = 6443, 2379, 2380
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE = "cloister.test/pause:1"


@dataclass(frozen=True)
class NodeLayout(Layout):
    """Where a node keeps what in its directory."""

    @property
    def containerd_config(self) -> Path:
        """containerd's own configuration."""
        return self.directory / "containerd.toml"

    @property
    def kubelet_config(self) -> Path:
        """kubelet's own configuration."""
        return self.directory / "kubelet.yaml"

    @property
    def cni_programs(self) -> Path:
        """Plugins that containerd calls."""
        return self.directory / "cni" / "bin"

    @property
    def cni_networks(self) -> Path:
        """Where containerd looks for networks."""
        return self.directory / "cni" / "net.d"

    @property
    def network(self) -> Path:
        """The network that containerd gives to pods."""
        return self.cni_networks / "05-pods.conflist"

    @property
    def cilium_network(self) -> Path:
        """The network that Cilium describes when it is ready."""
        return self.directory / "cni" / "cilium.conflist"

    @property
    def tools(self) -> Path:
        """clang and llc under the names that Cilium calls them by."""
        return self.directory / "tools"

    @property
    def volumes(self) -> Path:
        """What the storage provisioner hands out."""
        return self.directory / "volumes"

    def kubeconfig_of(self, component: str) -> Path:
        """The kubeconfig of a component."""
        return self.directory / f"{component}.kubeconfig"


def kube_apiserver(layout: NodeLayout, address: str) -> list[str | Path]:
    """As on the control plane without a node, but reachable from the node's pods and able to reach kubelet."""
    pki = layout.pki
    return [
        *components.kube_apiserver(layout, API_PORT, ETCD_PORT),
        "--bind-address=0.0.0.0",
        f"--advertise-address={address}",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def kube_controller_manager(layout: NodeLayout) -> list[str | Path]:
    """As on the control plane without a node, with addresses for pods."""
    return [
        *components.kube_controller_manager(layout),
        "--allocate-node-cidrs",
        f"--cluster-cidr={PODS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
    ]


def kube_scheduler(layout: NodeLayout) -> list[str | Path]:
    """The default scheduler."""
    kubeconfig = layout.kubeconfig_of("scheduler")
    return [
        binaries.path("kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def containerd(layout: NodeLayout) -> list[str | Path]:
    """Debian's containerd, with a configuration of its own."""
    return ["/usr/bin/containerd", "--config", layout.containerd_config]


def containerd_config(layout: NodeLayout) -> str:
    """`restrict_oom_score_adj`: a machine without CAP_SYS_RESOURCE can't protect some processes more than itself."""
    return f"""version = 2
root = "{layout.directory}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{layout.cni_programs}"
    conf_dir = "{layout.cni_networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    # What runs may be looked at and measured, but nothing is unpacked twice.
    discard_unpacked_layers = true
"""


def kubelet(layout: NodeLayout, address: str) -> list[str | Path]:
    """The kubelet."""
    return [
        binaries.path("kubelet"),
        f"--config={layout.kubelet_config}",
        f"--kubeconfig={layout.kubeconfig_of('kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={address}",
        f"--root-dir={layout.directory / 'kubelet'}",
        f"--cert-dir={layout.pki}",
        "--v=2",
    ]


def kubelet_config(layout: NodeLayout, group: str) -> dict[str, Any]:
    """Defaults, but for where things lie, and for a disk that is mostly full with other things."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
        "clusterDNS": [DNS],
        "clusterDomain": DOMAIN,
        "resolvConf": str(layout.directory / "resolv.conf"),
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(layout.directory / "pods"),
        "staticPodPath": "",
        "seccompDefault": True,
        "registerNode": True,
        "serializeImagePulls": False,
        # How often mounted Secrets and ConfigMaps are looked after; by default a minute.
        "syncFrequency": "10s",
    }


def cilium_agent(layout: NodeLayout, unified_group: Path) -> list[str | Path]:
    """Cilium in place of kube-proxy, with direct routing and no part that lives outside this process.

    --policy-cidr-match-mode is left at its default: an ipBlock does not match nodes.
    """
    state = layout.directory / "cilium"
    return [
        binaries.path("cilium-agent"),
        f"--k8s-kubeconfig-path={layout.kubeconfig_of('cilium')}",
        f"--lib-dir={state / 'lib'}",
        f"--state-dir={state / 'state'}",
        "--socket-path=/run/cilium/cilium.sock",
        f"--cgroup-root={unified_group}",
        "--bpf-root=/sys/fs/bpf",
        f"--write-cni-conf-when-ready={layout.cilium_network}",
        "--cni-exclusive=false",
        "--ipam=kubernetes",
        "--routing-mode=native",
        f"--ipv4-native-routing-cidr={PODS}",
        "--enable-ipv4=true",
        "--enable-ipv6=false",
        "--enable-ipv4-masquerade=false",
        "--kube-proxy-replacement=true",
        "--devices=eth0",
        "--identity-allocation-mode=crd",
        "--enable-l7-proxy=false",
        "--enable-hubble=false",
        "--enable-health-checking=false",
        "--enable-endpoint-health-checking=false",
        "--enable-gateway-api=false",
        "--monitor-aggregation=medium",
    ]


def kube_proxy(layout: NodeLayout) -> list[str | Path]:
    """Services, where Cilium is not there to know them. Connections to Services come from the node's address, because
    answers on one bridge would not come back by the way on which their address was changed."""
    return [
        binaries.path("kube-proxy"),
        f"--kubeconfig={layout.kubeconfig_of('proxy')}",
        f"--hostname-override={NODE}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={PODS}",
        "--masquerade-all",
        # The kernel's limits are the machine's.
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def bridge_network(pods: str) -> dict[str, Any]:
    """A network by the reference plugins alone: every pod reaches every other, whatever NetworkPolicies say."""
    plugin = {
        "type": "bridge",
        "bridge": "pods",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "dataDir": "/run/cni"},
    }
    return {"cniVersion": "1.0.0", "name": "bridge", "plugins": [plugin]}
