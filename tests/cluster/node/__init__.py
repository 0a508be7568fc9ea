"""A real node for end-to-end tests and the demo: kubelet, containerd, Cilium, CoreDNS, cert-manager and storage.

Everything runs in namespaces of its own (`machine`): one process holds them, and when that one ends, however it ends,
the kernel ends all the others and takes network, mounts and sockets with it.

    from tests.cluster.node.node import Node

    with Node.start(directory) as node:
        node.kubectl("get", "pods", "-A")

Reading order: `packages` (what Debian brings), `machine` (what holds it), `commands` (what runs), `node`, `addons`
(what runs in pods), `images`.
"""
