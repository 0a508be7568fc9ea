"""The Helm chart: golden cases by folder, what must hold in each of them, and what its schema refuses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloister import names
from cloister.cli.documents import read
from cloister.cli.offline import facts_from, objects
from cloister.controller.kinds import OWNED
from cloister.controller.settings import Settings
from cloister.zones import STORES
from tests.cluster import binaries
from tests.generate import CHART, ROOT, dump

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/values.yaml"))
CRD = ROOT / "crds" / "llmdeployments.cloister.dev.yaml"
Object = dict[str, Any]
DASHBOARD = "cloister-dashboard"


def helm(*arguments: str | Path, values: Object | None = None) -> str:
    """`helm template`, in a cluster that has the Prometheus operator."""
    command = [binaries.path("helm"), "template", "cloister", CHART, "--namespace=cloister-system", *arguments]
    command += ["--api-versions=monitoring.coreos.com/v1", "--values=-"]
    done = subprocess.run(
        [str(part) for part in command], input=json.dumps(values or {}), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return done.stdout


def render(values: Object | None = None) -> list[Object]:
    """The chart's objects."""
    return [document for document in yaml.load_all(helm(values=values), Loader=yaml.CSafeLoader) if document]


def one(objects: list[Object], kind: str, name: str = "cloister") -> Object:
    """The object of this kind and name."""
    (found,) = [thing for thing in objects if (thing["kind"], thing["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture(scope="module")
def chart() -> list[Object]:
    """The chart with its defaults."""
    return render()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Path, rewrite: bool) -> None:
    values = yaml.safe_load((case / "values.yaml").read_text())
    objects = [thing for thing in render(values) if thing["kind"] != "CustomResourceDefinition"]
    golden, text = case / "output.yaml", dump(*objects)
    if rewrite:
        golden.write_text(text)
    assert text == golden.read_text(), f"review the change, then run pytest --rewrite {__file__}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pods_are_hardened_whatever_the_values(case: Path) -> None:
    pod = one(render(yaml.safe_load((case / "values.yaml").read_text())), "Deployment", _fullname(case))["spec"]
    spec = pod["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= container["resources"].keys()


def _fullname(case: Path) -> str:
    return str(yaml.safe_load((case / "values.yaml").read_text()).get("fullnameOverride", "cloister"))


def test_only_the_operators_pod_has_a_token(chart: list[Object]) -> None:
    assert one(chart, "ServiceAccount")["automountServiceAccountToken"] is False
    assert one(chart, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


# --- rights ---


def rules(chart: list[Object]) -> Iterator[tuple[str, str, frozenset[str], tuple[str, ...]]]:
    """(group, resource, verbs, names) of the operator's ClusterRole."""
    for rule in one(chart, "ClusterRole")["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield group, resource, frozenset(rule["verbs"]), tuple(rule.get("resourceNames", ()))


def test_the_operator_has_no_wildcard_and_no_way_up(chart: list[Object]) -> None:
    forbidden = {"*", "escalate", "impersonate", "approve", "deletecollection"}
    for kind, name in (("ClusterRole", "cloister"), ("Role", "cloister")):
        for rule in one(chart, kind, name)["rules"]:
            assert not forbidden & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
    for group, resource, verbs, only in rules(chart):
        assert "bind" not in verbs or only == ("cloister-zone-view", "cloister-zone-logs"), (group, resource)


def test_the_operator_knows_secrets_only_by_name(chart: list[Object]) -> None:
    found = {(verbs, only) for _, resource, verbs, only in rules(chart) if resource == "secrets"}
    keyrings = tuple(names.keyring(store) for store in STORES)
    assert found == {(frozenset({"create"}), ()), (frozenset({"get", "patch", "update", "delete"}), keyrings)}


def test_the_operator_may_write_exactly_the_kinds_it_makes(chart: list[Object]) -> None:
    made = {(resource.group, resource.plural) for resource in OWNED}
    granted = {(group, resource) for group, resource, verbs, _ in rules(chart) if "delete" in verbs}
    assert granted == made | {("", "secrets")}
    for group, resource, verbs, _ in rules(chart):
        if (group, resource) in made:
            assert verbs >= {"get", "list", "watch", "create", "patch", "delete"}, resource


def test_the_operator_guard_knows_every_kind_that_the_operator_makes(chart: list[Object]) -> None:
    policy = one(chart, "ValidatingAdmissionPolicy", "operator-guard.cloister.dev")
    known = next(v["expression"] for v in policy["spec"]["variables"] if v["name"] == "known")
    for resource in OWNED:
        name = f"{resource.group}/{resource.plural}" if resource.group else resource.plural
        assert f'"{name}"' in known, name


def test_people_read_no_secret_and_enter_no_pod(chart: list[Object]) -> None:
    for name in ("cloister-zone-view", "cloister-zone-logs"):
        for rule in one(chart, "ClusterRole", name)["rules"]:
            assert set(rule["verbs"]) == {"get", "list", "watch"}
            assert not {"secrets", "configmaps", "pods/exec", "*"} & set(rule["resources"])
    logs = [r for rule in one(chart, "ClusterRole", "cloister-zone-logs")["rules"] for r in rule["resources"]]
    assert "pods/log" in logs


def test_the_policies_speak_of_the_names_in_the_code(chart: list[Object]) -> None:
    """The chart writes names down a second time; here is where the two are compared."""
    text = dump(*(thing for thing in chart if thing["kind"] == "ValidatingAdmissionPolicy"))
    for label in (names.LABEL_ZONE, names.LABEL_DEPLOYMENT, names.LABEL_MANAGED_BY):
        assert label in text
    assert names.ca("x", 1).startswith("cloister-ca-")
    assert names.self_signed_issuer("x").startswith("cloister-selfsigned-")
    for store in STORES:
        assert f'"{names.keyring(store)}"' in text


def containers() -> Iterator[tuple[str, str, str]]:
    """(containers or initContainers, name, image) of every pod that is rendered in any case."""
    for case in sorted((ROOT / "tests" / "cases").glob("*/input.yaml")):
        (document,) = read(str(case))
        facts = case.with_name("facts.yaml")
        for obj in objects(document.parsed(), facts_from(str(facts) if facts.exists() else None)):
            spec = obj.get("spec", {})
            template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
            for part in ("containers", "initContainers"):
                for container in template.get("spec", {}).get(part, ()):
                    yield part, container["name"], container["image"]


def test_the_zone_guard_knows_every_container_that_is_rendered(chart: list[Object]) -> None:
    variables = one(chart, "ValidatingAdmissionPolicy", "zone-guard.cloister.dev")["spec"]["variables"]
    expressions = {variable["name"]: variable["expression"] for variable in variables}
    known = {part: json.loads(expressions[part]) for part in ("containers", "initContainers")}
    found = list(containers())
    for part, images in known.items():
        assert {name for kind, name, _ in found if kind == part} == set(images)
    for part, name, image in found:
        assert re.search(known[part][name], image), (name, image)
        users = name in ("server", "training")
        assert bool(re.search(known[part][name], "registry.example.com/other:1")) == users, name
    assert not re.search(known["initContainers"]["gate"], "docker.io/envoyproxy/envoy-next:1")
    assert not re.search(known["initContainers"]["gate"], "evil.example/docker.io/envoyproxy/envoy:1")


def test_every_policy_is_bound_denies_and_fails_closed(chart: list[Object]) -> None:
    bound = {b["spec"]["policyName"]: b for b in chart if b["kind"] == "ValidatingAdmissionPolicyBinding"}
    policies = [thing for thing in chart if thing["kind"] == "ValidatingAdmissionPolicy"]
    assert {policy["metadata"]["name"] for policy in policies} == set(bound)
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
        for validation in policy["spec"]["validations"]:
            assert validation["reason"] == "Forbidden"
            assert "messageExpression" in validation or "message" in validation
    for binding in bound.values():
        assert binding["spec"]["validationActions"] == ["Deny", "Audit"]


# --- identity providers ---


def environment(objects: list[Object]) -> dict[str, Any]:
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def egress(objects: list[Object]) -> list[tuple[list[int], list[str]]]:
    """(ports, addresses) of what the operator may call."""
    return [
        (
            [port["port"] for port in rule["ports"]],
            [to["ipBlock"]["cidr"] for to in rule.get("to", ()) if "ipBlock" in to],
        )
        for rule in one(objects, "NetworkPolicy")["spec"]["egress"]
    ]


def test_every_variable_is_a_setting_and_the_defaults_agree(chart: list[Object]) -> None:
    found = {name.removeprefix("CLOISTER_").lower(): text for name, text in environment(chart).items() if text}
    assert set(found) <= set(Settings.model_fields)
    full = environment(render(yaml.safe_load((Path(__file__).parent / "full" / "values.yaml").read_text())))
    assert {name for name in full if not name.startswith("CLOISTER_")} == {"HTTPS_PROXY", "NO_PROXY"}
    assert {name.removeprefix("CLOISTER_").lower() for name in full if name.startswith("CLOISTER_")} <= set(
        Settings.model_fields
    )
    assert float(found["issuer_refresh_seconds"]) == Settings().issuer_refresh_seconds
    assert "issuer_ca_bundle" not in found
    assert "issuer_allowed_cidrs" not in found


def test_the_api_server_is_never_called_by_the_proxy() -> None:
    text = environment(render({"identityProviders": {"proxy": {"https": "http://proxy:3128"}}}))
    assert text["NO_PROXY"] == "$(KUBERNETES_SERVICE_HOST),.svc"
    assert {"HTTPS_PROXY", "NO_PROXY"}.isdisjoint(environment(render()))


def test_issuers_are_reached_by_default_and_closed_by_a_value(chart: list[Object]) -> None:
    assert ([443], ["0.0.0.0/0", "::/0"]) in egress(chart)
    (rule,) = [rule for rule in one(chart, "NetworkPolicy")["spec"]["egress"] if "ipBlock" in str(rule)]
    assert [to["ipBlock"]["except"] for to in rule["to"]] == [["169.254.0.0/16"], ["fe80::/10"]]
    closed = render({"networkPolicy": {"identityProviders": {"ports": []}, "apiServer": {"cidrs": ["192.0.2.1/32"]}}})
    assert egress(closed) == [([53, 53], []), ([443, 6443], ["192.0.2.1/32"])]


def test_a_private_ca_is_mounted_where_the_operator_looks() -> None:
    objects = render({"identityProviders": {"caBundle": {"configMap": "house-ca", "key": "root.pem"}}})
    spec = one(objects, "Deployment")["spec"]["template"]["spec"]
    volume = {"name": "issuer-ca", "configMap": {"name": "house-ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}}
    assert volume in spec["volumes"]
    (mounted,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "issuer-ca"]
    assert environment(objects)["CLOISTER_ISSUER_CA_BUNDLE"] == f"{mounted['mountPath']}/ca.crt"


# --- labels of one's own ---


def test_a_dashboard_without_a_label_is_one_all_the_same() -> None:
    for labels in ({"grafana_dashboard": None}, None, {}):
        found = one(render({"metrics": {"dashboard": {"enabled": True, "labels": labels}}}), "ConfigMap", DASHBOARD)
        assert "app.kubernetes.io/name" in found["metadata"]["labels"]
        assert None not in found["metadata"]["labels"].values()


# --- the CRD ---


def test_the_crd_is_a_copy_that_no_value_reaches() -> None:
    own = yaml.safe_load(CRD.read_text())
    assert one(render({"crds": {"keep": False}}), "CustomResourceDefinition", own["metadata"]["name"]) == own
    kept = one(render(), "CustomResourceDefinition", own["metadata"]["name"])
    assert kept["metadata"].pop("annotations") == {
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "helm.sh/resource-policy": "keep",
    }
    assert kept == own


def test_the_crd_fits_a_last_applied_annotation() -> None:
    assert len(json.dumps(yaml.safe_load(CRD.read_text()))) < 256 * 1024


# --- values ---

REFUSED: dict[str, tuple[Object, str]] = {
    "a misspelt value": ({"replica": 2}, "replica"),
    "a misspelt security value": ({"admission": {"enable": False}}, "enable"),
    "a misspelt nested value": ({"networkPolicy": {"apiServer": {"cidr": ["192.0.2.1/32"]}}}, "cidr"),
    "a writer that is no list": ({"admission": {"extraWriters": {"secrets": "someone"}}}, "secrets"),
    "a resource that is none": ({"admission": {"extraWriters": {"Secrets!": ["someone"]}}}, "Secrets!"),
    "a user that would end a string": ({"admission": {"installers": ['x"] || true || ["']}}, "installers"),
    "everyone as break-glass group": ({"admission": {"breakGlassGroup": "system:authenticated"}}, "breakGlassGroup"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "two operators that do not agree": ({"replicas": 2, "leaderElection": False}, "leaderElection"),
    "an issuer's CA under a path": ({"identityProviders": {"caBundle": {"key": "../ca"}}}, "caBundle"),
    "a network that is none": ({"identityProviders": {"allowedCIDRs": ["everywhere"]}}, "allowedCIDRs"),
    "keys that are never fetched again": ({"identityProviders": {"refreshSeconds": 0}}, "refreshSeconds"),
    "a proxy's password": ({"identityProviders": {"proxy": {"https": "http://a:b@proxy"}}}, "proxy"),
    "a misspelt port of issuers": ({"networkPolicy": {"identityProviders": {"port": [443]}}}, "port"),
    "an account that every pod has": ({"serviceAccount": {"name": "default"}}, "serviceAccount/name"),
    "the same by another name": ({"fullnameOverride": "default"}, "fullnameOverride"),
    "cert-manager's namespace": ({"certManager": {"namespace": "cloister-system"}}, "not Cloister's alone"),
    "a label that selects the pods": ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels"),
    "no replica": ({"replicas": 0}, "replicas"),
    "a monitor of no service": (
        {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
        "metrics.service.enabled",
    ),
}


@pytest.mark.parametrize(("values", "named"), REFUSED.values(), ids=REFUSED)
def test_refused(values: Object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        helm(values=values)


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-public", "kube-node-lease", "cert-manager"])
def test_a_namespace_of_others_is_refused(namespace: str) -> None:
    """Its pods could be entered by nobody, and in kube-system its controllers would get no tokens."""
    with pytest.raises(ValueError, match=f"namespace {namespace} is not Cloister's alone"):
        helm(f"--namespace={namespace}")


def test_schema_and_values_know_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def walk(node: Object, at: Object, path: str) -> None:
        if "properties" not in node:
            return
        assert node["additionalProperties"] is False, path
        known = set(node["properties"]) - {"global"}
        if path != "resources":  # Kubernetes' own
            assert known == set(at), path
        for key in known & set(at):
            if isinstance(at[key], dict):
                walk(node["properties"][key], at[key], f"{path}.{key}".lstrip("."))

    walk(schema, values, "")
