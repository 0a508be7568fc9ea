"""CK1nn: the cluster itself."""

import datetime as dt
import json
import re
from collections.abc import Iterator

from cloister.check.answer import Answer, Check, error, note, ok, unknown, warning
from cloister.check.view import Object, Probe, View, time_of

VERSION = "version"
NODES = "api/v1/nodes"
NODE_LEASES = "apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
RUNTIME_CLASSES = "apis/node.k8s.io/v1/runtimeclasses"
OLDEST = (1, 30)
"""ValidatingAdmissionPolicy, which guards the zones, is v1 from here on; native sidecars are on by default."""

_UNKNOWN_LEVEL = "cloister-check"
POD_SECURITY = Probe(
    "api/v1/namespaces",
    json.dumps({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "generateName": "cloister-check-",
            "labels": {"pod-security.kubernetes.io/enforce": _UNKNOWN_LEVEL},
        },
    }),
)  # fmt: skip
"""A level that does not exist: nobody but Pod Security admission minds."""

_SKEW = dt.timedelta(seconds=10)
_RENEWED = dt.timedelta(seconds=60)
"""A kubelet renews its lease every ten seconds, and is held for lost after forty."""
_SANDBOXES = ("gvisor", "runsc", "kata", "firecracker")


def _version(view: View) -> Iterator[Answer]:
    found = view.one(VERSION) or {}
    text = str(found.get("gitVersion", ""))
    match = re.match(r"v(\d+)\.(\d+)", text)
    if not match:
        yield unknown("", f"{text!r} is no version of Kubernetes")
        return
    version = int(match[1]), int(match[2])
    needed = f"at least {OLDEST[0]}.{OLDEST[1]} is needed"
    yield ok("", f"Kubernetes {text}") if version >= OLDEST else error("", f"Kubernetes {text}: {needed}")


def _pod_security(view: View) -> Iterator[Answer]:
    reply = view.replies.get(POD_SECURITY)
    if reply is None:
        yield unknown("", "was not tried")
    elif _UNKNOWN_LEVEL in reply.message and "pod-security" in reply.message:
        yield ok("", "refuses a level that does not exist, so it looks at namespaces")
    elif reply.status < 300:
        yield error("", "a namespace with a level that does not exist is let through: nothing enforces Pod Security")
    else:
        yield unknown("", f"the API server answered {reply.status}: {reply.message}")


def _clocks(view: View) -> Iterator[Answer]:
    skew = abs(view.here - view.there)
    apart = f"{skew.total_seconds():.0f} s apart from the API server's"
    if skew > _SKEW:
        yield warning("this machine", f"its clock is {apart}")
    else:
        yield ok("this machine", f"its clock is {apart}")
    ready = {node["metadata"]["name"] for node in view.all(NODES) if _is_ready(node)}
    for lease in view.all(NODE_LEASES):
        name, renewed = lease["metadata"]["name"], time_of(lease["spec"].get("renewTime"))
        if name not in ready or renewed is None:
            continue  # a kubelet that does not answer says nothing of its clock
        ahead = (renewed - view.there).total_seconds()
        if ahead > _SKEW.total_seconds():
            yield warning(f"node {name}", f"its clock is at least {ahead:.0f} s ahead of the API server's")
        elif -ahead > _RENEWED.total_seconds():
            yield warning(f"node {name}", f"it is ready, and its clock is some {-ahead:.0f} s behind the API server's")
        else:
            yield ok(f"node {name}", "renewed its lease at a time that agrees with the API server's")


def _is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(found.get("type") == "Ready" and found.get("status") == "True" for found in conditions)


def _sandbox(view: View) -> Iterator[Answer]:
    classes = {str(found["metadata"]["name"]): str(found.get("handler", "")) for found in view.all(RUNTIME_CLASSES)}
    sandboxed = sorted(name for name, handler in classes.items() if any(word in handler for word in _SANDBOXES))
    if sandboxed:
        yield ok(", ".join(sandboxed), "runs containers in a sandbox")
    else:
        others = f" (there are {', '.join(sorted(classes))})" if classes else ""
        yield note("", f"no runtime class is known to be a sandbox{others}")


CLUSTER = (
    Check(
        "CK101",
        "The version of Kubernetes",
        f"upgrade the cluster to {OLDEST[0]}.{OLDEST[1]} or newer",
        _version,
        asks=(VERSION,),
    ),
    Check(
        "CK102",
        "Pod Security admission",
        "turn the admission plugin PodSecurity on; the zones are labelled for it",
        _pod_security,
        probes=(POD_SECURITY,),
    ),
    Check(
        "CK103",
        "Clocks",
        "let every machine follow NTP: certificates and tokens are judged by the clock",
        _clocks,
        helped_by=(NODES, NODE_LEASES),
    ),
    Check(
        "CK104",
        "A sandbox for the model server",
        "install gVisor or Kata Containers and their RuntimeClass",
        _sandbox,
        asks=(RUNTIME_CLASSES,),
    ),
)
