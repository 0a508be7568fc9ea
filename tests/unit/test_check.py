"""`cloister check`: each check passes where all is as it must be, and says what is not."""

import datetime as dt
import re
from typing import Any

import pytest

from cloister import guards
from cloister.check import CHECKS, Reply, Result, State, run
from cloister.check.certmanager import DEFINITIONS, DEPLOYMENTS, ISSUER, WEBHOOKS
from cloister.check.cluster import NODE_LEASES, NODES, POD_SECURITY, RUNTIME_CLASSES, VERSION
from cloister.check.grants import BINDINGS, CLUSTER_BINDINGS, CLUSTER_ROLES, ZONES
from cloister.check.guards import BINDINGS_PATH, POLICIES_PATH
from cloister.check.installation import CRD, LEASES, OPERATORS
from cloister.check.network import API_SERVER, CILIUM_CONFIG, DAEMONSETS
from cloister.check.storage import CLASSES
from cloister.check.storage import DEPLOYMENTS as LLMDEPLOYMENTS
from cloister.check.webhooks import MUTATING_POLICIES, MUTATING_WEBHOOKS
from cloister.cli.check import lines
from cloister.guards import POLICIES
from tests.clusters import (
    HOME,
    NOW,
    ZONE,
    Change,
    at,
    given,
    installed,
    meta,
    rule,
    seen,
    webhook,
    webhook_rule,
)

CODES = [check.code for check in CHECKS]
DEV = {"kind": "Group", "name": "dev"}
CI = {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"}
RBAC = "rbac.authorization.k8s.io"


def answers(code: str, *changes: Change) -> list[Result]:
    """What one check answers."""
    return list(run(seen(*changes), [check for check in CHECKS if check.code == code]))


def put(path: str, *objects: Any) -> Change:
    """Other objects at a path."""
    return lambda state: state.update({path: list(objects)})


def absent(path: str) -> Change:
    """Nothing at a path."""
    return lambda state: state.update({path: None})


def within(path: str, *way: Any) -> Change:
    """Another value inside the first object at a path: the way to it, and the value."""

    def change(state: dict[str, Any]) -> None:
        *keys, last, value = way
        node = state[path][0]
        for key in keys:
            node = node[key]
        node[last] = value

    return change


def replied(probe: Any, status: int, message: str) -> Change:
    """Another answer to a probe."""
    return lambda state: state["replies"].update({probe: Reply(status, message)})


def refused(path: str) -> Change:
    """A path that may not be read."""
    return lambda state: state["refused"].update({path: "it is forbidden"})


def daemonset(name: str, *containers: Any) -> Change:
    """The one network plugin."""
    made = {
        "metadata": meta(name, "kube-system"),
        "spec": {"template": {"spec": {"containers": list(containers)}}},
        "status": {"numberReady": 3, "desiredNumberScheduled": 3},
    }
    return put(DAEMONSETS, made)


MODE = "NETWORK_POLICY_ENFORCING_MODE"


def without(path: str, name: str) -> Change:
    """One object less at a path."""

    def change(state: dict[str, Any]) -> None:
        state[path] = [one for one in state[path] if one["metadata"]["name"] != f"{name}.cloister.dev"]

    return change


EVERY = webhook_rule("*", "*", "*")
NEVER = {"name": "never", "expression": "false"}
SOME = {"matchLabels": {"watched": "yes"}}
AGENT = "amazon/aws-network-policy-agent:v1"

FINDINGS: list[tuple[str, Change, State, str]] = [
    ("CK101", within(VERSION, "gitVersion", "v1.29.9-eks-1"), State.ERROR, "at least 1.30 is needed"),
    ("CK101", within(VERSION, "gitVersion", "nonsense"), State.UNKNOWN, "no version"),
    ("CK102", replied(POD_SECURITY, 201, "created"), State.ERROR, "nothing enforces Pod Security"),
    ("CK102", replied(POD_SECURITY, 403, "namespaces is forbidden"), State.UNKNOWN, "forbidden"),
    ("CK102", lambda state: state["replies"].pop(POD_SECURITY), State.UNKNOWN, "not tried"),
    ("CK103", lambda state: state.update(here=NOW + dt.timedelta(seconds=40)), State.WARNING, "40 s apart"),
    ("CK103", within(NODE_LEASES, "spec", "renewTime", at(NOW + dt.timedelta(30))), State.WARNING, "ahead"),
    ("CK103", within(NODE_LEASES, "spec", "renewTime", at(NOW - dt.timedelta(30))), State.WARNING, "behind"),
    ("CK104", absent(RUNTIME_CLASSES), State.NOTE, "no runtime class"),
    ("CK104", put(RUNTIME_CLASSES, {"metadata": meta("nvidia"), "handler": "nvidia"}), State.NOTE, "there are nvidia"),
    ("CK201", absent(DEFINITIONS[0]), State.ERROR, "not installed"),
    ("CK201", within(DEFINITIONS[1], "spec", "versions", 0, "served", False), State.ERROR, "not served as v1"),
    ("CK202", within(DEPLOYMENTS, "metadata", "labels", "app.kubernetes.io/version", "v1.9.0"), State.ERROR, "1.11"),
    ("CK202", absent(DEPLOYMENTS), State.UNKNOWN, "label"),
    ("CK203", within(DEPLOYMENTS, "status", {}), State.ERROR, "0 of 1 pods"),
    ("CK203", put(DEPLOYMENTS), State.UNKNOWN, "no Deployment"),
    ("CK204", replied(ISSUER, 500, 'failed calling webhook "webhook.cert-manager.io"'), State.ERROR, "failed calling"),
    ("CK204", replied(ISSUER, 404, "page not found"), State.ERROR, "not installed"),
    ("CK204", replied(ISSUER, 403, "forbidden"), State.UNKNOWN, "forbidden"),
    ("CK204", lambda state: state["replies"].pop(ISSUER), State.UNKNOWN, "not tried"),
    ("CK301", daemonset("kube-flannel-ds"), State.ERROR, "Flannel"),
    ("CK301", daemonset("kindnet"), State.UNKNOWN, "no network plugin is known"),
    ("CK301", daemonset("aws-node", {"image": "amazon-k8s-cni"}), State.ERROR, "no network policy agent"),
    ("CK301", daemonset("aws-node", {"image": AGENT, "args": []}), State.ERROR, "--enable-network-policy"),
    ("CK301", daemonset("kube-router", {"image": "x", "args": ["--run-firewall=false"]}), State.ERROR, "firewall"),
    ("CK301", within(CILIUM_CONFIG, "data", {"enable-policy": "never"}), State.ERROR, "enable-policy is never"),
    ("CK301", within(DAEMONSETS, "status", "desiredNumberScheduled", 2), State.WARNING, "1 of 2 nodes only"),
    ("CK301", within(DAEMONSETS, "status", {}), State.ERROR, "ready on none of 0 nodes"),
    ("CK301", within(DAEMONSETS, "status", "numberReady", 0), State.ERROR, "ready on none of 1 nodes"),
    ("CK302", within(API_SERVER, "spec", "clusterIP", "fd00:96::1"), State.ERROR, "gates listen on IPv4 alone"),
    ("CK302", absent(API_SERVER), State.UNKNOWN, "has no address"),
    ("CK401", put(CLASSES), State.WARNING, "no default storage class"),
    (
        "CK401",
        lambda state: state[CLASSES].append({"metadata": state[CLASSES][0]["metadata"] | {"name": "slow"}}),
        State.WARNING,
        "are all the default",
    ),
    ("CK402", within(CLASSES, "parameters", {}), State.NOTE, "not known to encrypt"),
    ("CK402", absent(CLASSES), State.NOTE, "no storage class"),
    (
        "CK403",
        within(LLMDEPLOYMENTS, "spec", "storage", "checkpoints", "storageClassName", "gone"),
        State.ERROR,
        "spec.storage.checkpoints.storageClassName: 'gone' does not exist",
    ),
    ("CK403", put(RUNTIME_CLASSES), State.ERROR, "spec.inference.runtimeClassName: 'gvisor' does not exist"),
    ("CK501", absent(CRD), State.ERROR, "not installed"),
    ("CK501", within(CRD, "spec", "versions", 0, "served", False), State.ERROR, "not served as"),
    ("CK501", within(CRD, "status", {}), State.ERROR, "is not served as v1alpha1"),
    (
        "CK501",
        within(CRD, "spec", "versions", 0, "schema", "openAPIV3Schema", "properties", "extra", {"type": "string"}),
        State.WARNING,
        "has, unknown to this command, extra",
    ),
    (
        "CK501",
        within(CRD, "spec", "versions", 0, "schema", "openAPIV3Schema", "properties", "status", {"type": "object"}),
        State.WARNING,
        "lacks status.",
    ),
    ("CK502", put(OPERATORS), State.ERROR, "no Deployment"),
    ("CK502", within(OPERATORS, "status", {}), State.ERROR, "0 of 2 pods"),
    (
        "CK502",
        lambda state: state[OPERATORS][0].update(spec=state[OPERATORS][0]["spec"] | {"replicas": 0}, status={}),
        State.ERROR,
        "0 of 0 pods",
    ),
    ("CK502", within(OPERATORS, "status", {"readyReplicas": 1}), State.WARNING, "1 of 2 pods"),
    ("CK502", within(OPERATORS, "metadata", "labels", "app.kubernetes.io/version", "9.0"), State.WARNING, "9.0"),
    ("CK502", lambda state: state[OPERATORS].append(state[OPERATORS][0]), State.ERROR, "several operators"),
    ("CK503", put(LEASES), State.ERROR, "none has ever led"),
    ("CK503", within(LEASES, "spec", "holderIdentity", ""), State.ERROR, "nobody leads"),
    ("CK503", within(LEASES, "spec", "renewTime", at(NOW - dt.timedelta(seconds=16))), State.ERROR, "for 16 s"),
    ("CK601", without(POLICIES_PATH, "ca-guard"), State.ERROR, "ca-guard.cloister.dev: is not installed"),
    ("CK601", within(POLICIES_PATH, "spec", "failurePolicy", "Ignore"), State.ERROR, "can't judge"),
    (
        "CK601",
        within(POLICIES_PATH, "status", {"typeChecking": {"expressionWarnings": [{"fieldRef": "spec.x"}]}}),
        State.WARNING,
        "spec.x",
    ),
    ("CK601", within(POLICIES_PATH, "spec", "matchConditions", [NEVER]), State.ERROR, "not what was"),
    ("CK601", within(OPERATORS, "spec", "template", "spec", "containers", []), State.ERROR, "told of none"),
    ("CK601", put(OPERATORS), State.UNKNOWN, "no operator tells what they must be"),
    (
        "CK602",
        without(BINDINGS_PATH, "exec-guard-operator"),
        State.ERROR,
        "exec-guard.cloister.dev: binding exec-guard-operator.cloister.dev is not installed",
    ),
    ("CK602", within(BINDINGS_PATH, "spec", "matchResources", {"objectSelector": SOME}), State.ERROR, "not what was"),
    ("CK602", within(BINDINGS_PATH, "spec", "validationActions", ["Warn"]), State.ERROR, "does not deny"),
    ("CK602", put(POLICIES_PATH), State.ERROR, "nothing to bind"),
    ("CK603", within(POLICIES_PATH, "metadata", "labels", {}), State.WARNING, "of version unknown"),
    ("CK603", put(POLICIES_PATH), State.ERROR, "no policy"),
    ("CK701", given([rule("*", "*", "*")], DEV), State.NOTE, "Group dev"),
    ("CK701", given([rule("*", "*", "*")], DEV, ZONE), State.NOTE, f"in namespace {ZONE}"),
    ("CK702", given([rule("", "nodes/proxy", "get")], CI), State.WARNING, "ServiceAccount ci/deployer"),
    ("CK702", given([rule("", "*", "get")], DEV), State.WARNING, "in every namespace"),
    ("CK702", given([rule("", "*/proxy", "create")], DEV), State.WARNING, "nodes/proxy"),
    ("CK703", given([rule("", "users groups", "impersonate")], DEV), State.WARNING, "ClusterRoleBinding somebody"),
    ("CK703", given([rule("", "serviceaccounts", "*")], DEV, ZONE), State.WARNING, "RoleBinding somebody"),
    ("CK704", given([rule("", "secrets", "list")], DEV), State.WARNING, "read Secrets in every namespace"),
    ("CK704", given([rule("", "secrets", "get")], CI, "cert-manager", local=True), State.WARNING, "(Role power)"),
    ("CK704", given([rule("", "secrets", "get", "cloister-ca-bot-g1")], CI, "cert-manager"), State.WARNING, "ci/"),
    ("CK705", given([rule(RBAC, "clusterroles", "bind")], DEV), State.WARNING, "escalate or bind"),
    ("CK705", given([rule(RBAC, "roles", "escalate")], DEV, HOME), State.WARNING, HOME),
    ("CK706", given([rule("", "pods/exec", "create")], DEV, ZONE), State.NOTE, "refused in zones by exec-guard"),
    ("CK706", given([rule("", "pods/exec", "create")], DEV, HOME), State.NOTE, f"enter pods in namespace {HOME}"),
    ("CK706", given([rule("", "pods/exec", "create")], DEV), State.WARNING, "no guard refuses that in cert-manager"),
    ("CK706", given([rule("", "pods/exec", "get")], DEV, "cert-manager"), State.WARNING, "reads every CA's key"),
    ("CK707", given([rule("", "serviceaccounts/token", "create")], DEV, ZONE), State.NOTE, "exec-guard"),
    ("CK707", given([rule("", "serviceaccounts/token", "create")], CI), State.WARNING, "no guard refuses that"),
    (
        "CK708",
        given([rule("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete")], DEV),
        State.WARNING,
        "change admission policies",
    ),
    ("CK709", given([rule("", "persistentvolumes", "create")], DEV), State.WARNING, "create PersistentVolumes"),
    (
        "CK710",
        given([rule("", "pods", "create")], CI, "cert-manager"),
        State.WARNING,
        "may run pods in namespace cert-",
    ),
    ("CK710", given([rule("apps", "deployments", "patch")], DEV), State.WARNING, "may run pods in every namespace"),
    ("CK710", given([rule("batch", "*", "*")], DEV), State.WARNING, "no guard refuses that in cert-manager"),
    (
        "CK711",
        put(MUTATING_WEBHOOKS, webhook("mesh", [webhook_rule("", "pods")])),
        State.WARNING,
        "mesh (mesh.example.com): may change pods of zones",
    ),
    (
        "CK711",
        put(MUTATING_POLICIES[0], {"metadata": meta("p"), "spec": {"matchConstraints": {"resourceRules": [EVERY]}}}),
        State.WARNING,
        "MutatingAdmissionPolicy p",
    ),
]


@pytest.mark.parametrize("code", CODES)
def test_passes_where_all_is_as_it_must_be(code: str) -> None:
    found = answers(code)
    assert found
    assert {result.state for result in found} == {State.OK}


@pytest.mark.parametrize(("code", "change", "state", "message"), FINDINGS)
def test_says_what_is_not(code: str, change: Change, state: State, message: str) -> None:
    found = [result for result in answers(code, change) if result.state is state]
    assert any(message in f"{result.answer.subject}: {result.answer.message}" for result in found), found
    assert all(result.hint for result in found if state is not State.NOTE)


def test_every_check_has_a_finding_and_every_code_is_its_own() -> None:
    assert {code for code, *_ in FINDINGS} == set(CODES)
    assert sorted(set(CODES)) == CODES
    assert all(re.fullmatch(r"CK\d{3}", code) for code in CODES)


@pytest.mark.parametrize("check", CHECKS, ids=CODES)
def test_what_may_not_be_read_is_never_taken_for_ok(check: Any) -> None:
    for path in check.asks:
        found = answers(check.code, absent(path), refused(path))
        assert [(result.state, result.answer.message) for result in found] == [(State.UNKNOWN, "it is forbidden")]
    for path in check.helped_by + check.sometimes:
        found = answers(check.code, absent(path), refused(path))
        assert any("it is forbidden" in result.answer.message for result in found if result.state is State.UNKNOWN)


def test_settings_of_cilium_matter_where_cilium_is() -> None:
    hidden = absent(CILIUM_CONFIG), refused(CILIUM_CONFIG)
    assert [result.state for result in answers("CK301", *hidden)] == [State.UNKNOWN]
    assert [result.state for result in answers("CK301", daemonset("calico-node"), *hidden)] == [State.OK]


def test_the_policies_and_bindings_are_those_of_the_chart() -> None:
    found = {
        kind: {one["metadata"]["name"]: one["spec"] for one in installed("admission.yaml", kind)}
        for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    }
    assert set(found["ValidatingAdmissionPolicy"]) == set(POLICIES)
    bound = {name: spec["policyName"] for name, spec in found["ValidatingAdmissionPolicyBinding"].items()}
    assert bound == guards.BINDINGS


def test_flannel_beside_something_that_enforces() -> None:
    def beside(state: dict[str, Any]) -> None:
        state[DAEMONSETS].append({"metadata": meta("kube-flannel-ds", "kube-flannel"), "spec": {}})

    assert [result.state for result in answers("CK301", beside)] == [State.OK]


@pytest.mark.parametrize(
    ("env", "state", "said"),
    [
        ([{"name": MODE, "value": "strict"}], State.OK, "enforces NetworkPolicies, on 3 nodes"),
        ([{"name": MODE, "value": "standard"}], State.WARNING, f"{MODE} of its container aws-node is standard"),
        ([{"name": MODE, "valueFrom": {}}], State.WARNING, "is not set"),
        ([], State.WARNING, "leaves pods open for their first seconds"),
        (None, State.WARNING, "is not set"),
    ],
)
def test_amazons_agent_is_to_hold_pods_back(env: Any, state: State, said: str) -> None:
    agent = {"image": AGENT, "args": ["--enable-network-policy=true"]}
    (found,) = answers("CK301", daemonset("aws-node", {"image": "amazon-k8s-cni", "env": env}, agent))
    assert found.state is state
    assert said in found.answer.message


def test_who_runs_pods_in_zones_alone_is_the_guards_business() -> None:
    change = given([rule("", "pods", "create")], DEV, ZONE)
    assert [result.state for result in answers("CK710", change)] == [State.OK]


def test_cert_manager_in_the_operators_namespace_is_guarded() -> None:
    def moved(state: dict[str, Any]) -> None:
        for one in state[DEPLOYMENTS]:
            one["metadata"]["namespace"] = HOME

    found = answers("CK706", moved, given([rule("", "pods/exec", "create")], DEV))
    assert {result.state for result in found} == {State.NOTE, State.OK}


def test_without_the_guard_entering_pods_is_a_finding() -> None:
    def unbound(state: dict[str, Any]) -> None:
        state[BINDINGS_PATH] = [one for one in state[BINDINGS_PATH] if "exec" not in one["spec"]["policyName"]]

    for change in (unbound, without(BINDINGS_PATH, "exec-guard"), without(BINDINGS_PATH, "exec-guard-operator")):
        found = answers("CK706", given([rule("", "pods/exec", "create")], DEV), change)
        assert State.WARNING in {result.state for result in found}


IS_ZONE = {"key": "cloister.dev/zone", "operator": "Exists"}
NO_ZONE = {"key": "cloister.dev/zone", "operator": "DoesNotExist"}
PODS_OF_ZONES: dict[str, tuple[list[Any], dict[str, Any], bool]] = {
    "all pods": ([webhook_rule("", "pods")], {}, True),
    "everything": ([EVERY], {}, True),
    "pods that change": ([webhook_rule("", "pods", "UPDATE")], {}, True),
    "pods that go": ([webhook_rule("", "pods", "DELETE")], {}, False),
    "evictions": ([webhook_rule("", "pods/eviction")], {}, False),
    "what is in no namespace": ([webhook_rule("*", "*") | {"scope": "Cluster"}], {}, False),
    "zones left out": ([EVERY], {"namespaceSelector": {"matchExpressions": [NO_ZONE]}}, False),
    "only zones": ([EVERY], {"namespaceSelector": {"matchExpressions": [IS_ZONE]}}, True),
    "one namespace": ([EVERY], {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "a"}}}, False),
    "not the system's": (
        [EVERY],
        {"namespaceSelector": {"matchExpressions": [{"key": "name", "operator": "NotIn", "values": ["kube-system"]}]}},
        True,
    ),
    "pods that ask for it": ([EVERY], {"objectSelector": {"matchLabels": {"inject": "yes"}}}, False),
    "pods of one component": (
        [EVERY],
        {
            "objectSelector": {
                "matchExpressions": [
                    {"key": "app.kubernetes.io/component", "operator": "In", "values": ["checkpoints"]}
                ]
            }
        },
        True,
    ),
    "pods of jobs": (
        [EVERY],
        {"objectSelector": {"matchExpressions": [{"key": "job-name", "operator": "Exists"}]}},
        True,
    ),
}


@pytest.mark.parametrize(("rules", "selectors", "found"), PODS_OF_ZONES.values(), ids=PODS_OF_ZONES)
def test_webhooks_that_change_pods_of_zones(rules: list[Any], selectors: dict[str, Any], found: bool) -> None:
    for zones in ([], [put(ZONES)]):  # there are some, and they are still to come
        change = put(MUTATING_WEBHOOKS, webhook("w", rules, **selectors))
        states = {result.state for result in answers("CK711", change, *zones)}
        assert states == {State.WARNING if found else State.OK}


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "Group", "name": "system:nodes"},
        {"kind": "User", "name": "system:kube-scheduler"},
        {"kind": "ServiceAccount", "namespace": "kube-system", "name": "anything"},
        {"kind": "ServiceAccount", "namespace": HOME, "name": "cloister"},
        {"kind": "ServiceAccount", "namespace": "cert-manager", "name": "cert-manager"},
    ],
)
def test_built_in_holders_are_folded(subject: Any) -> None:
    found = answers("CK704", given([rule("", "secrets", "get")], subject))
    assert [result.state for result in found] == [State.OK]
    assert "1 of" in found[0].answer.message


@pytest.mark.parametrize(
    "name",
    [
        "system:authenticated",
        "system:authenticated:oauth",
        "system:unauthenticated",
        "system:serviceaccounts",
        "system:serviceaccounts:ci",
    ],
)
def test_everybody_is_nobodys_own(name: str) -> None:
    found = answers("CK704", given([rule("", "secrets", "get")], {"kind": "Group", "name": name}))
    assert State.WARNING in {result.state for result in found}


def test_a_binding_that_calls_itself_kubernetes_own_hides_nobody() -> None:
    def labelled(state: dict[str, Any]) -> None:
        state[CLUSTER_BINDINGS][-1]["metadata"]["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults"}

    found = answers("CK704", given([rule("", "secrets", "get")], DEV), labelled)
    assert [result.answer.subject for result in found if result.state is State.WARNING] == ["Group dev"]


@pytest.mark.parametrize(
    "change",
    [
        given([rule("", "secrets", "get")], DEV, "elsewhere"),
        given([rule("", "secrets", "create delete")], DEV),
        given([rule("apps", "secrets", "get")], DEV),
        lambda state: state[BINDINGS].append(
            {"metadata": meta("x", ZONE), "roleRef": {"kind": "Role", "name": "gone"}, "subjects": [DEV]}
        ),
        lambda state: state[CLUSTER_BINDINGS].append(
            {"metadata": meta("x"), "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}, "subjects": None}
        ),
        lambda state: state[CLUSTER_ROLES].append({"metadata": meta("aggregated"), "rules": None}),
    ],
    ids=["elsewhere", "other verbs", "other group", "a role that is gone", "nobody", "no rules"],
)
def test_what_gives_nothing_here(change: Change) -> None:
    assert {result.state for result in answers("CK704", change)} == {State.OK}


def test_a_node_that_does_not_answer_says_nothing_of_its_clock() -> None:
    late = within(NODE_LEASES, "spec", "renewTime", at(NOW - dt.timedelta(1)))
    found = answers("CK103", late, within(NODES, "status", {}))
    assert {result.state for result in found} == {State.OK}


def test_webhooks_tell_the_version_where_deployments_do_not() -> None:
    made = {
        "metadata": meta("cert-manager-webhook", app__version="v1.12.0"),
        "webhooks": [{"name": "webhook.cert-manager.io", "clientConfig": {"service": {"namespace": "pki"}}}],
    }
    found = answers("CK202", absent(DEPLOYMENTS), put(WEBHOOKS, made))
    assert [(result.state, result.answer.message) for result in found] == [(State.OK, "cert-manager v1.12.0")]
    # And where it runs, so that its account is known as its own there.
    account = {"kind": "ServiceAccount", "namespace": "pki", "name": "cert-manager"}
    reader = given([rule("", "secrets", "get")], account)
    assert {r.state for r in answers("CK704", absent(DEPLOYMENTS), put(WEBHOOKS, made), reader)} == {State.OK}


def test_lines_show_each_way_out_once() -> None:
    def two(state: dict[str, Any]) -> None:
        given([rule("", "secrets", "get")], DEV)(state)
        given([rule("", "secrets", "get")], CI)(state)

    results = tuple(answers("CK704", two))
    text = [line.plain for line in lines(results, everything=False)]
    assert text[0].split() == ["STATE", "CODE", "WHAT"]
    assert sum("Group dev" in line or "ci/deployer" in line for line in text) == 2
    assert sum(line.startswith("    give it by Role") for line in text) == 1
    assert text[-1] == "0 error, 2 warning, 0 unknown, 0 note, 1 ok"
    assert any(line.startswith("ok") for line in map(str, lines(results, everything=True)))
    assert [line.plain for line in lines((), everything=False)] == ["0 error, 0 warning, 0 unknown, 0 note, 0 ok"]
