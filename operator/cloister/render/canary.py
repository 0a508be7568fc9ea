"""The canaries: two Jobs for each post while a run is under way, and the ground on which strangers stand.

No policy lets a canary do in a zone what a workload may not: it has a workload's labels, and so its policies.
"""

from collections.abc import Iterator

from cloister import names, sidecar
from cloister.canaries import UDP_PORT, Post, posts, probes, ready_port, tcp_ports
from cloister.facts import CanaryRun, Facts, Settings
from cloister.probing import Listener, Prober
from cloister.render.meta import Object, child, retains_storage
from cloister.render.pods import LINUX, resources, restricted
from cloister.render.workloads import placement
from cloister.spec import LLMDeployment, PodShape
from cloister.zones import GROUND, PLACES, Component, Zone

_DEADLINE_SECONDS = 300
"""After which a run that is stuck gives its pods back; images have been pulled by then."""
_KEPT_SECONDS = 600
"""The operator takes a run away when it has read it. This is for when there is no operator."""


def canary_accounts(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """An account without token and role in each place: canaries have the labels of workloads, not their identities."""
    for place in PLACES:
        account = child(deployment, "v1", "ServiceAccount", names.CANARY, zone=place)
        yield account | {"automountServiceAccountToken": False}


def canary_ground(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """What opens the ground, for canaries alone: in from every place, out to every place. No zone is opened by it."""

    def rules(end: str, role: str) -> list[Object]:
        peers = [
            {
                "namespaceSelector": {
                    "matchLabels": {names.LABEL_NAMESPACE_NAME: names.namespace(deployment.name, place)}
                },
                "podSelector": {"matchLabels": {names.LABEL_ROLE: role}},
            }
            for place in PLACES
        ]
        ports = [("TCP", port) for port in tcp_ports(deployment)] + [("UDP", UDP_PORT)]
        return [{end: peers, "ports": [{"protocol": protocol, "port": port} for protocol, port in ports]}]

    for direction, end, own, other in (
        ("Ingress", "from", names.LISTENER, names.PROBER),
        ("Egress", "to", names.PROBER, names.LISTENER),
    ):
        name = f"{names.CANARY}-{direction.lower()}"
        policy = child(deployment, "networking.k8s.io/v1", "NetworkPolicy", name, zone=GROUND)
        yield policy | {
            "spec": {
                "podSelector": {"matchLabels": {names.LABEL_ROLE: own}},
                "policyTypes": ["Ingress", "Egress"],
                direction.lower(): rules(end, other),
            }
        }


def canaries(deployment: LLMDeployment, facts: Facts, settings: Settings) -> Iterator[Object]:
    """The Jobs of the run that is under way. A prober is made when every listener is ready, by which it is then told
    their addresses: pods have no DNS."""
    run = facts.canary
    for post in posts(deployment) if run else ():
        assert run
        listener = Listener(
            run=run.id, post=post.name, tcp=tcp_ports(deployment), udp=(UDP_PORT,), ready=ready_port(deployment)
        ).model_dump_json()
        prober = Prober(run=run.id, post=post.name, probes=probes(deployment, post, run)).model_dump_json(
            exclude_defaults=True
        )
        ready = {"readinessProbe": {"tcpSocket": {"port": ready_port(deployment)}, "periodSeconds": 1}}
        yield _job(deployment, settings, run, post, names.LISTENER, ["listen", listener], ready)
        yield _job(deployment, settings, run, post, names.PROBER, ["probe", prober], {})


def _job(
    deployment: LLMDeployment,
    settings: Settings,
    run: CanaryRun,
    post: Post,
    role: str,
    arguments: list[str],
    extra: Object,
) -> Object:
    job = child(
        deployment,
        "batch/v1",
        "Job",
        names.canary(run.id, role, post.name),
        zone=post.place,
        component=post.component,
        owned=post.place is Zone.STORAGE and retains_storage(deployment),
    )
    job["metadata"]["labels"] |= {names.LABEL_ROLE: role, names.LABEL_RUN: run.id}
    container = {
        "name": names.CANARY,
        "image": settings.image,
        "command": ["python", "-m", "cloister.jobs.canary"],
        "args": arguments,
        "env": [{"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}],
        "resources": resources("10m", "48Mi", "128Mi"),
        "securityContext": restricted(sidecar.CANARY_UID, sidecar.CANARY_UID),
        **extra,
    }
    return job | {
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {
                "metadata": {
                    "labels": dict(post.pods)
                    | names.owner_labels(deployment.name, deployment.uid)
                    | {names.LABEL_ZONE: str(post.place), names.LABEL_ROLE: role, names.LABEL_RUN: run.id}
                },
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": names.CANARY,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "dnsPolicy": "None",
                    "dnsConfig": {"nameservers": ["127.0.0.1"]},
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    # Where the workload runs: enforcement is a matter of the node.
                    **placement_of(deployment, post),
                },
            },
        }
    }


def placement_of(deployment: LLMDeployment, post: Post) -> Object:
    """Where the canaries of a post may run: where the pods may that they stand for."""
    shapes: dict[Component | None, PodShape | None] = {
        Component.INFERENCE: deployment.spec.inference,
        Component.TRAINING: deployment.spec.training,
    }
    shape = shapes.get(post.component)
    return placement(shape) if shape else {"nodeSelector": dict(LINUX)}
