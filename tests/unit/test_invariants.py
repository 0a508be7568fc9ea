"""What must hold of the objects of every valid deployment. Goldens show what changed; these say whether it may."""

import copy
import ipaddress
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from cloister import names
from cloister.canaries import STRANGER, posts, probes
from cloister.facts import CanaryRun, Facts, Settings
from cloister.flows import Flow, Grant, Peer, components, flows, gated
from cloister.probing import ProberReport, plan_digest
from cloister.render import render
from cloister.render.auditor import auditor_settings
from cloister.render.phases import Phase, is_canary, phase
from cloister.s3 import Level, allowed
from cloister.spec import LLMDeployment
from cloister.zones import GROUND, NODE_DNS, PLACES, STORES, Component, Verb, Zone
from tests import strategies
from tests.edits import deployment as example

Object = dict[str, Any]

SETTINGS = Settings()
MANY = settings(max_examples=settings().max_examples // 2)  # each property meets deployments of its own
KEY_HOLDERS = {"leaf": "gate", "keyring": "keeper", "unseal-key": names.FETCH, "backend": "store"} | {
    "export-keys": names.EXPORTER
}
"""Volume with a key -> the one container that mounts it."""
PERSISTED_BYTES = 2**20
ALLOWED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}

everything = given(strategies.deployments(), strategies.facts())


def rendered(deployment: LLMDeployment, facts: Facts) -> list[Object]:
    return render(deployment, facts, SETTINGS)


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [obj for obj in objects if obj["kind"] in kinds]


def templates(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """(workload, pod template) of every workload."""
    yield from (made for made in every_template(objects) if not is_canary(made[0]))


def canary_templates(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """(Job, pod template) of every canary."""
    yield from (made for made in every_template(objects) if is_canary(made[0]))


def every_template(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """(object, pod template) of everything that makes pods."""
    for obj in objects:
        match obj["kind"]:
            case "StatefulSet" | "Job":
                yield obj, obj["spec"]["template"]
            case "CronJob":
                yield obj, obj["spec"]["jobTemplate"]["spec"]["template"]


def containers(template: Object) -> list[Object]:
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def backed(deployment: LLMDeployment, component: Component) -> bool:
    """Whether it is a store whose objects lie in an object store."""
    store = deployment.spec.storage.by_component().get(component)
    return store is not None and store.backend is not None


def selects(selector: Object, labels: Object) -> bool:
    return selector.items() <= labels.items()


def walk(value: Any) -> Iterator[Any]:
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


# Network


@MANY
@everything
def test_every_zone_denies_both_directions_to_every_pod(deployment: LLMDeployment, facts: Facts) -> None:
    denying = {
        policy["metadata"]["namespace"]
        for policy in of_kind(rendered(deployment, facts), "NetworkPolicy")
        if policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    assert denying == {names.namespace(deployment.name, place) for place in PLACES}


@MANY
@everything
def test_deny_comes_before_everything_but_namespaces(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    assert [phase(obj) for obj in objects] == sorted(phase(obj) for obj in objects)
    assert all(phase(obj) is Phase.DENY for obj in objects if obj["metadata"]["name"] == names.DENY_ALL)
    first = next(index for index, obj in enumerate(objects) if any(templates([obj])))
    last = max(index for index, obj in enumerate(objects) if obj["kind"] in ("NetworkPolicy", "Certificate"))
    assert last < first
    allowed = max(index for index, obj in enumerate(objects) if obj["kind"] == "NetworkPolicy")
    assert all(allowed < index < first for index, obj in enumerate(objects) if is_canary(obj))


@MANY
@everything
def test_every_policy_denies_both_ways_so_that_no_single_one_is_missed(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    policies = of_kind(objects, "NetworkPolicy")
    assert all(policy["spec"]["policyTypes"] == ["Ingress", "Egress"] for policy in policies)
    for workload, template in templates(objects):
        selecting = [
            policy
            for policy in policies
            if policy["metadata"]["namespace"] == workload["metadata"]["namespace"]
            and selects(policy["spec"]["podSelector"].get("matchLabels", {}), template["metadata"]["labels"])
        ]
        assert len(selecting) > 1


@MANY
@everything
def test_no_peer_is_empty_or_a_whole_network(deployment: LLMDeployment, facts: Facts) -> None:
    for policy in of_kind(rendered(deployment, facts), "NetworkPolicy"):
        for direction, end in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, ()):
                assert set(rule) == {end, "ports"}
                assert rule[end]
                assert all(
                    set(port) == {"protocol", "port"} and isinstance(port["port"], int) for port in rule["ports"]
                )
                for peer in rule[end]:
                    if set(peer) == {"ipBlock"}:
                        assert direction == "egress"
                        assert set(peer["ipBlock"]) == {"cidr"}
                        assert ipaddress.ip_network(peer["ipBlock"]["cidr"]).prefixlen >= 8
                        continue
                    assert set(peer) == {"namespaceSelector", "podSelector"}
                    assert set(peer["namespaceSelector"]) == {"matchLabels"}
                    assert set(peer["namespaceSelector"]["matchLabels"]) == {names.LABEL_NAMESPACE_NAME}


@MANY
@everything
def test_no_object_names_a_network_that_is_not_declared(deployment: LLMDeployment, facts: Facts) -> None:
    stores = [store.backend for store in deployment.spec.storage.by_component().values() if store.backend]
    declared = {NODE_DNS, *(address for backend in stores for address in backend.addresses)} if stores else set()
    export = deployment.spec.audit.export
    declared |= {network for sink in (export.sinks().values() if export else ()) for network in sink.networks}
    for obj in of_kind(rendered(deployment, facts), "NetworkPolicy", "Service", "StatefulSet", "Job", "CronJob"):
        for value in walk(obj):
            if isinstance(value, str) and value in declared:
                assert obj["kind"] == "NetworkPolicy"
                assert obj["metadata"]["namespace"] == names.namespace(deployment.name, Zone.STORAGE)
            elif isinstance(value, str) and "/" in value and value[0].isdigit():
                with pytest.raises(ValueError, match="does not appear to be"):
                    ipaddress.ip_network(value)


Passage = tuple[str, str, str, tuple[tuple[str, str], ...], str, tuple[tuple[str, str], ...], int]
"""(direction, policy's namespace, -, its pods, peer's namespace, peer's pods, port)."""


def passages_of_policies(objects: list[Object]) -> set[Passage]:
    found: set[Passage] = set()
    for policy in of_kind(objects, "NetworkPolicy"):
        if policy["metadata"]["labels"][names.LABEL_ZONE] == GROUND:
            continue  # no zone
        spec = policy["spec"]
        own = tuple(sorted(spec["podSelector"].get("matchLabels", {}).items()))
        for direction, end in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, ()):
                for peer in rule[end]:
                    at_network = peer.get("ipBlock", {}).get("cidr")
                    namespace = at_network or peer["namespaceSelector"]["matchLabels"][names.LABEL_NAMESPACE_NAME]
                    pods = tuple(sorted(peer.get("podSelector", {}).get("matchLabels", {}).items()))
                    for port in rule["ports"]:
                        at = policy["metadata"]["namespace"]
                        found.add((direction, at, port["protocol"], own, namespace, pods, port["port"]))
    return found


def passages_of_flows(declared: tuple[Flow, ...]) -> set[Passage]:
    def passages(direction: str, own: Peer, other: Peer, flow: Flow) -> Iterator[Passage]:
        selectors = [tuple(sorted(end.pods.items())) for end in (own, other)]
        for protocol in flow.rule.protocols:
            for place in other.addresses or (other.namespace,):
                yield direction, own.namespace, protocol, selectors[0], place, selectors[1], flow.port

    received = [passages("ingress", flow.target, flow.source, flow) for flow in declared if flow.target.component]
    sent = [passages("egress", flow.source, flow.target, flow) for flow in declared if flow.source.component]
    return {passage for each in (*received, *sent) for passage in each}


@MANY
@everything
def test_policies_are_exactly_the_flows_in_both_directions(deployment: LLMDeployment, facts: Facts) -> None:
    assert passages_of_policies(rendered(deployment, facts)) == passages_of_flows(flows(deployment))


# Gates

Admission = tuple[str, str, str]
"""(identity, method, path or prefix)."""


def admissions_of_gate(objects: list[Object], component: Component) -> set[Admission]:
    (config,) = [
        obj
        for obj in of_kind(objects, "ConfigMap")
        if (obj["metadata"]["name"], obj["metadata"]["namespace"].rpartition("-")[2])
        == (names.gate_config(component), component.zone)
    ]
    if "admission.json" not in config["data"]:
        return set()
    (extension,) = json.loads(config["data"]["admission.json"])["resources"]
    found = set()
    assert extension["typed_config"]["rules"]["action"] == "ALLOW"
    for policy in extension["typed_config"]["rules"]["policies"].values():
        (principal,) = policy["principals"]
        identity, alone = principal["and_ids"]["ids"]
        name = identity["authenticated"]["principal_name"]["exact"]
        assert alone["header"]["string_match"]["exact"] == name
        for granted in policy["permissions"]:
            admit = _store_admissions if component.is_store else _model_admissions
            found |= {(name, method, path) for method, path in admit(granted["and_rules"]["rules"])}
    return found


def _model_admissions(rules: list[Object]) -> Iterator[tuple[str, str]]:
    methods, paths, no_query = rules
    assert no_query["not_rule"]["header"]["string_match"] == {"contains": "?"}
    for method in methods["or_rules"]["rules"]:
        for path in paths["or_rules"]["rules"]:
            yield method["header"]["string_match"]["exact"], path["url_path"]["path"]["exact"]


def _store_admissions(rules: list[Object]) -> Iterator[tuple[str, str]]:
    levels, no_copy = rules
    assert no_copy["not_rule"]["header"]["name"] == "x-amz-copy-source"
    for level in levels["or_rules"]["rules"]:
        paths, *_, forms = level["and_rules"]["rules"]
        for form in forms["or_rules"]["rules"]:
            method, query, *_ = form["and_rules"]["rules"]
            assert query["header"]["string_match"]["safe_regex"]["regex"].startswith("[^?]*(")
            for path in paths["or_rules"]["rules"]:
                ((kind, value),) = path["url_path"]["path"].items()
                yield method["header"]["string_match"]["exact"], value if kind == "exact" else f"{value}*"


def expected_admissions(flow: Flow, grant: Grant) -> Iterator[Admission]:
    """What a grant admits, said anew."""
    paths = (*grant.paths, *(f"{prefix}*" for prefix in grant.prefixes))
    store = flow.target.component
    if not store or not store.is_store:
        yield from ((flow.source.identity, method, path) for method in grant.methods for path in paths)
        return
    for operation in allowed(flow.rule.verbs, Level.OBJECT):
        yield from ((flow.source.identity, operation.method, path) for path in paths)
    for operation in allowed(flow.rule.verbs, Level.BUCKET) if grant.prefixes else ():
        yield from ((flow.source.identity, operation.method, path) for path in (f"/{store}", f"/{store}/"))


@MANY
@everything
def test_gates_admit_exactly_the_flows(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    for component in components(deployment):
        granted = {
            admission
            for flow in gated(deployment)
            if flow.target.component is component
            for grant in flow.grants
            for admission in expected_admissions(flow, grant)
        }
        assert admissions_of_gate(objects, component) == granted


@MANY
@everything
def test_stores_allow_exactly_the_flows(deployment: LLMDeployment, facts: Facts) -> None:
    """The auditor's rights are those of the flow table, by identity, verb and prefix."""
    for store in STORES:
        (bucket,) = auditor_settings(deployment, store).buckets
        assert bucket.name == store
        root = f"/{store}/"
        found = set()
        for access in bucket.access:
            for read in access.reads:
                found |= {(access.identity, Verb.READ, f"{root}{p}*", read.masked) for p in read.prefixes}
                found |= {(access.identity, Verb.READ, root + key, read.masked) for key in read.objects}
            found |= {(access.identity, Verb.WRITE, f"{root}{p}*", ()) for p in access.writes}
            found |= {(access.identity, Verb.APPEND, f"{root}{p}*", ()) for p in access.appends}
        assert found == {
            (flow.source.identity, verb, path, grant.masked if verb is Verb.READ else ())
            for flow in gated(deployment)
            if flow.target.component is store
            for verb in flow.rule.verbs
            for grant in flow.grants
            for path in (*grant.paths, *(f"{prefix}*" for prefix in grant.prefixes))
        }


# Pods


@MANY
@everything
def test_gate_and_auditor_are_in_every_pod_before_the_workload(deployment: LLMDeployment, facts: Facts) -> None:
    found = list(templates(rendered(deployment, facts)))
    assert len(found) == len(components(deployment))
    for obj, template in found:
        component = Component(obj["metadata"]["labels"][names.LABEL_COMPONENT])
        sidecars = [c["name"] for c in template["spec"]["initContainers"] if c.get("restartPolicy") == "Always"]
        own = {True: ["keeper", "auditor"], False: ["auditor"]}[component.is_store]
        assert sidecars == ["gate", *(own if component.audited else ["teller"])]
        assert template["spec"]["initContainers"][0]["name"] == "gate"
        assert len(template["spec"]["containers"]) == 1


@MANY
@everything
def test_every_pod_is_restricted_and_more(deployment: LLMDeployment, facts: Facts) -> None:
    for _, template in every_template(rendered(deployment, facts)):
        pod = template["spec"]
        assert not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"))
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(set(volume) - {"name"} <= ALLOWED_VOLUMES for volume in pod.get("volumes", ()))
        for container in containers(template):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["runAsNonRoot"] is True
            assert security["runAsUser"] > 0
            assert security["runAsGroup"] > 0
            assert security["readOnlyRootFilesystem"] is True
            assert not security.get("privileged")
            assert security.get("seccompProfile", {"type": "RuntimeDefault"}) == {"type": "RuntimeDefault"}
            assert all("hostPort" not in port for port in container.get("ports", ()))


@MANY
@everything
def test_users_are_distinct_so_that_no_program_opens_another_ones_files(
    deployment: LLMDeployment, facts: Facts
) -> None:
    for _, template in templates(rendered(deployment, facts)):
        # A store's keeper is rclone's own user: both open its volume.
        programs = [container for container in containers(template) if container["name"] != "keeper"]
        users = [container["securityContext"]["runAsUser"] for container in programs]
        assert len(set(users)) == len(users)
        (workload,) = template["spec"]["containers"]
        if workload["name"] not in ("store", names.EXPORTER):
            sidecars = {c["securityContext"]["runAsGroup"] for c in template["spec"]["initContainers"]}
            assert workload["securityContext"]["runAsGroup"] not in sidecars


@MANY
@everything
def test_every_pod_asks_for_nodes_of_a_system_that_can_run_it(deployment: LLMDeployment, facts: Facts) -> None:
    """Nodes of Windows are not all tainted, and a proof waits for every canary."""
    for _, template in every_template(rendered(deployment, facts)):
        chosen = template["spec"]["nodeSelector"]["kubernetes.io/os"]
        component = template["metadata"]["labels"].get("app.kubernetes.io/component", "")
        shape = getattr(deployment.spec, component, None)
        assert chosen == (shape.node_selector if shape else {}).get("kubernetes.io/os", "linux")


@MANY
@everything
def test_no_pod_can_get_a_token(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    assert all(account["automountServiceAccountToken"] is False for account in of_kind(objects, "ServiceAccount"))
    for _, template in every_template(objects):
        assert template["spec"]["automountServiceAccountToken"] is False
        assert not any(isinstance(value, dict) and "serviceAccountToken" in value for value in walk(template))
        assert template["spec"]["serviceAccountName"] in {
            account["metadata"]["name"]
            for account in of_kind(objects, "ServiceAccount")
            if account["metadata"]["labels"][names.LABEL_ZONE] == template["metadata"]["labels"][names.LABEL_ZONE]
        }


@MANY
@everything
def test_each_key_is_in_exactly_one_container_and_never_in_a_workload(deployment: LLMDeployment, facts: Facts) -> None:
    for obj, template in templates(rendered(deployment, facts)):
        secrets = {volume["name"] for volume in template["spec"]["volumes"] if "secret" in volume}
        holders = {
            secret: [c["name"] for c in containers(template) if secret in {m["name"] for m in c["volumeMounts"]}]
            for secret in secrets
        }
        assert holders == {secret: [KEY_HOLDERS[secret]] for secret in secrets}
        assert "leaf" in secrets
        component = Component(obj["metadata"]["labels"][names.LABEL_COMPONENT])
        assert ("keyring" in secrets) == component.is_store
        assert ("backend" in secrets) == backed(deployment, component)
        assert ("export-keys" in secrets) == (component is Component.EXPORTER)
        assert not any(
            isinstance(value, dict) and ("secretKeyRef" in value or "secretRef" in value) for value in walk(template)
        )


@MANY
@everything
def test_every_mount_has_its_volume_and_every_volume_a_mount(deployment: LLMDeployment, facts: Facts) -> None:
    for obj, template in templates(rendered(deployment, facts)):
        claims = [claim["metadata"]["name"] for claim in obj["spec"].get("volumeClaimTemplates", ())]
        volumes = [volume["name"] for volume in template["spec"]["volumes"]] + claims
        assert len(set(volumes)) == len(volumes)
        mounted = {mount["name"] for container in containers(template) for mount in container["volumeMounts"]}
        assert mounted == set(volumes)
        for container in containers(template):
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(set(paths)) == len(paths)


@MANY
@everything
def test_a_volume_for_objects_where_there_is_no_backend(deployment: LLMDeployment, facts: Facts) -> None:
    claims = {obj["metadata"]["name"] for obj in of_kind(rendered(deployment, facts), "PersistentVolumeClaim")}
    assert claims - {"journal"} == {str(store) for store in STORES if not backed(deployment, store)}


@MANY
@everything
def test_every_volume_refers_to_something_that_is_made(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    made = {names.key(obj) for obj in objects}
    secrets = {(obj["metadata"]["namespace"], obj["spec"]["secretName"]) for obj in of_kind(objects, "Certificate")}
    for obj, template in templates(objects):
        zone = obj["metadata"]["namespace"]
        for volume in template["spec"]["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", zone, volume["configMap"]["name"]) in made
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", zone, volume["persistentVolumeClaim"]["claimName"]) in made
            if volume["name"] == "leaf":
                assert (zone, volume["secret"]["secretName"]) in secrets


@MANY
@everything
def test_no_pod_resolves_names_but_a_store_with_a_backend(deployment: LLMDeployment, facts: Facts) -> None:
    for obj, template in templates(rendered(deployment, facts)):
        if backed(deployment, Component(obj["metadata"]["labels"][names.LABEL_COMPONENT])):
            assert template["spec"]["dnsPolicy"] == "ClusterFirst"
            assert "nameservers" not in template["spec"]["dnsConfig"]
        else:
            assert template["spec"]["dnsPolicy"] == "None"
            assert template["spec"]["dnsConfig"] == {"nameservers": ["127.0.0.1"]}
        assert template["spec"]["enableServiceLinks"] is False
        assert "hostAliases" not in template["spec"]


@MANY
@everything
def test_no_container_sets_a_variable_twice(deployment: LLMDeployment, facts: Facts) -> None:
    for _, template in every_template(rendered(deployment, facts)):
        for container in containers(template):
            variables = Counter(variable["name"] for variable in container.get("env", ()))
            assert not {name for name, count in variables.items() if count > 1}


def test_a_variable_of_the_users_takes_the_place_of_ours() -> None:
    env = [{"name": "HOME", "value": "/a"}, {"name": "AWS_REGION", "value": "x"}, {"name": "HOME", "value": "/b"}]
    for _, template in templates(rendered(example({"spec.inference.env": env, "spec.training.env": env}), Facts())):
        for container in template["spec"]["containers"]:
            if container["name"] not in ("store", "exporter", "teller"):
                values = [(variable["name"], variable["value"]) for variable in container["env"]]
                assert values.count(("HOME", "/b")) == 1
                assert values.count(("AWS_REGION", "x")) == 1
                assert len(dict(values)) == len(values)


@MANY
@everything
def test_ports_are_numbers_and_not_shared(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    for service in of_kind(objects, "Service"):
        assert service["spec"]["type"] == "ClusterIP"
        assert all(isinstance(port["targetPort"], int) for port in service["spec"]["ports"])
    for _, template in templates(objects):
        declared = [port["containerPort"] for c in containers(template) for port in c.get("ports", ())]
        assert len(set(declared)) == len(declared)
        programs = [c for c in containers(template) if c["name"] not in ("keeper", "store")]  # on no port
        probes = [c[kind] for c in programs for kind in c if kind.endswith("Probe")]
        assert all(isinstance(probe["httpGet"]["port"], int) for probe in probes)
        assert {probe["httpGet"]["port"] for probe in probes} <= set(declared)


# Names, labels, selectors


@MANY
@everything
def test_names_are_unique_and_valid(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    assert len({names.key(obj) for obj in objects}) == len(objects)
    for obj in objects:
        name = obj["metadata"]["name"]
        assert strategies.is_dns_subdomain(name)
        if obj["kind"] in ("Namespace", "Service"):
            assert len(name) <= 63
            assert "." not in name
        if obj["kind"] in ("CronJob", "StatefulSet"):
            assert len(name) <= 52


@MANY
@everything
def test_labels_say_whose_it_is(deployment: LLMDeployment, facts: Facts) -> None:
    owner = names.owner_labels(deployment.name, deployment.uid)
    zones = {names.namespace(deployment.name, place): str(place) for place in PLACES}
    for obj in rendered(deployment, facts):
        metadata = obj["metadata"]
        assert selects(owner, metadata["labels"])
        zone = zones.get(metadata.get("namespace", "")) or (
            zones.get(metadata["name"]) if obj["kind"] == "Namespace" else None
        )
        assert metadata["labels"].get(names.LABEL_ZONE) == zone
        assert all(len(value) <= 63 for value in metadata["labels"].values())


@MANY
@everything
def test_inside_a_zone_only_workloads_of_retained_storage_are_owned(deployment: LLMDeployment, facts: Facts) -> None:
    retained = deployment.spec.deletion_policy == "Retain"
    for obj in rendered(deployment, facts):
        zone = obj["metadata"]["labels"].get(names.LABEL_ZONE)
        owned = "ownerReferences" in obj["metadata"]
        if obj["kind"] == "Namespace":
            assert owned == (not (retained and zone == Zone.STORAGE))
        elif zone:
            assert owned == (retained and zone == Zone.STORAGE and obj["kind"] in ("StatefulSet", "Job"))
        else:
            assert owned
        for owner in obj["metadata"].get("ownerReferences", ()):
            assert (owner["kind"], owner["name"], owner["uid"]) == (names.KIND, deployment.name, deployment.uid)


@MANY
@everything
def test_every_selector_matches_pods_that_exist(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    pods = [(obj["metadata"]["namespace"], template["metadata"]["labels"]) for obj, template in templates(objects)]
    for obj, template in templates(objects):
        if "selector" in obj["spec"]:
            assert selects(obj["spec"]["selector"]["matchLabels"], template["metadata"]["labels"])
    selectors = [
        *((s["metadata"]["namespace"], s["spec"]["selector"]) for s in of_kind(objects, "Service")),
        *(
            (p["metadata"]["namespace"], p["spec"]["podSelector"]["matchLabels"])
            for p in of_kind(objects, "NetworkPolicy")
            if p["metadata"]["name"] != names.DENY_ALL and p["metadata"]["labels"][names.LABEL_ZONE] != GROUND
        ),
        *(
            (b["metadata"]["namespace"], b["spec"]["selector"]["matchLabels"])
            for b in of_kind(objects, "PodDisruptionBudget")
        ),
    ]
    for namespace, selector in selectors:
        matched = [labels for at, labels in pods if at == namespace and selects(selector, labels)]
        assert len(matched) == 1, (namespace, selector)


@MANY
@everything
def test_nothing_that_leads_to_workloads_leads_to_a_canary(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    selectors = [service["spec"]["selector"] for service in of_kind(objects, "Service")]
    selectors += [
        obj["spec"]["selector"]["matchLabels"] for obj in of_kind(objects, "StatefulSet", "PodDisruptionBudget")
    ]
    for _, template in canary_templates(objects):
        assert not any(selects(selector, template["metadata"]["labels"]) for selector in selectors)


@MANY
@everything
def test_canaries_are_under_the_policies_of_whom_they_stand_for_and_have_nothing_of_theirs(
    deployment: LLMDeployment, facts: Facts
) -> None:
    objects = rendered(deployment, facts)
    made = list(canary_templates(objects))
    assert len(made) == (2 * len(posts(deployment)) if facts.canary else 0)
    assert {obj["metadata"]["namespace"] for obj, _ in made} == {
        names.namespace(deployment.name, place) for place in PLACES if facts.canary
    }
    policies = of_kind(objects, "NetworkPolicy")
    workloads = list(templates(objects))
    for obj, template in made:
        spec, labels = template["spec"], template["metadata"]["labels"]
        assert spec["serviceAccountName"] == names.CANARY
        assert "volumes" not in spec
        assert [container["image"] for container in spec["containers"]] == [SETTINGS.image]
        place = obj["metadata"]["namespace"]
        governing = {
            policy["metadata"]["name"]
            for policy in policies
            if policy["metadata"]["namespace"] == place
            and selects(policy["spec"]["podSelector"].get("matchLabels", {}), labels)
        }
        if component := obj["metadata"]["labels"].get(names.LABEL_COMPONENT):
            (stood_for,) = [
                other["metadata"]["labels"]
                for one, other in workloads
                if one["metadata"]["labels"].get(names.LABEL_COMPONENT) == component
            ]
            assert governing == {
                policy["metadata"]["name"]
                for policy in policies
                if policy["metadata"]["namespace"] == place
                and selects(policy["spec"]["podSelector"].get("matchLabels", {}), stood_for)
            }


@MANY
@everything
def test_canaries_try_every_pair_and_expect_exactly_the_flows(deployment: LLMDeployment, facts: Facts) -> None:
    if facts.canary is None:
        return
    every = posts(deployment)
    expected = {
        (str(flow.source.component), str(flow.target.component), flow.port)
        for flow in flows(deployment)
        if flow.source.component and flow.target.component
    }
    found = set()
    for post in every:
        tried = [probe for probe in probes(deployment, post, facts.canary) if probe.canary]
        assert {probe.to for probe in tried} == {other.name for other in every}
        assert not any(
            probe.passes for probe in tried if probe.kind == "udp" and (post.name, probe.to) != (STRANGER, STRANGER)
        )
        found |= {(post.name, probe.to, probe.port) for probe in tried if probe.passes and probe.kind == "tcp"}
    open_ground = {one for one in found if one[:2] == (STRANGER, STRANGER)}
    assert open_ground
    assert found - open_ground == expected


@MANY
@everything
def test_a_report_fits_into_a_termination_message(deployment: LLMDeployment, facts: Facts) -> None:
    if facts.canary is None:
        return
    for post in posts(deployment):
        wanted = probes(deployment, post, facts.canary)
        report = ProberReport(run=facts.canary.id, post=post.name, plan=plan_digest(wanted), answers="s" * len(wanted))
        assert len(report.model_dump_json()) < 1024


@MANY
@everything
def test_a_budget_only_where_it_does_not_block(deployment: LLMDeployment, facts: Facts) -> None:
    budgets = of_kind(rendered(deployment, facts), "PodDisruptionBudget")
    assert len(budgets) == int((deployment.spec.inference.replicas or 0) > 1)


# Power


@MANY
@everything
def test_no_power_is_given_but_reading_to_people(deployment: LLMDeployment, facts: Facts) -> None:
    objects = rendered(deployment, facts)
    assert not of_kind(objects, "Role", "ClusterRole", "ClusterRoleBinding")
    bindings = of_kind(objects, "RoleBinding")
    for binding in bindings:
        assert binding["roleRef"]["kind"] == "ClusterRole"
        assert binding["roleRef"]["name"] in ("cloister-zone-view", "cloister-zone-logs")
        assert all(subject["kind"] == "Group" and subject["name"] != "*" for subject in binding["subjects"])
    given_away = {
        (
            subject["name"],
            binding["metadata"]["labels"][names.LABEL_ZONE],
            binding["roleRef"]["name"].rpartition("-")[2],
        )
        for binding in bindings
        for subject in binding["subjects"]
    }
    assert given_away == {(access.group, access.zone, access.role) for access in deployment.spec.access}


@MANY
@everything
def test_identities_are_the_declared_ones_and_keys_change(deployment: LLMDeployment, facts: Facts) -> None:
    certificates = of_kind(rendered(deployment, facts), "Certificate")
    leaves = [certificate["spec"] for certificate in certificates if not certificate["spec"].get("isCA")]
    identities = [uri for leaf in leaves for uri in leaf["uris"]]
    ends = {end.identity for flow in gated(deployment) for end in (flow.source, flow.target)}
    assert Counter(identities) == Counter(ends)
    for leaf in leaves:
        assert leaf["privateKey"]["rotationPolicy"] == "Always"
        assert leaf["issuerRef"]["name"] == names.ca(deployment.name, facts.ca_generation)
    assert len(certificates) == len(leaves) + 1


# The function itself


@MANY
@everything
def test_rendering_is_repeatable_and_leaves_its_input_alone(deployment: LLMDeployment, facts: Facts) -> None:
    before = deployment.model_dump_json(), copy.deepcopy(facts)
    once = rendered(deployment, facts)
    kept = copy.deepcopy(once)
    assert rendered(deployment, facts) == kept
    for obj in once:
        obj["metadata"]["labels"].clear()
        obj.clear()
    assert rendered(deployment, facts) == kept
    assert (deployment.model_dump_json(), facts) == before


@MANY
@everything
def test_no_two_objects_share_a_part(deployment: LLMDeployment, facts: Facts) -> None:
    owners: dict[int, int] = {}
    objects = rendered(deployment, facts)
    for index, obj in enumerate(objects):
        for part in walk(obj):
            if isinstance(part, dict | list):
                assert owners.setdefault(id(part), index) == index


@MANY
@everything
def test_which_objects_there_are_depends_on_no_fact(deployment: LLMDeployment, facts: Facts) -> None:
    generation = replace(Facts(), ca_generation=facts.ca_generation, canary=facts.canary and CanaryRun(facts.canary.id))
    assert {names.key(obj) for obj in rendered(deployment, facts)} == {
        names.key(obj) for obj in rendered(deployment, generation)
    }


@MANY
@everything
def test_objects_are_json_and_fit_into_etcd(deployment: LLMDeployment, facts: Facts) -> None:
    for obj in rendered(deployment, facts):
        text = json.dumps(obj, allow_nan=False)
        assert json.loads(text) == obj
        assert len(text) < PERSISTED_BYTES
        assert not any(value is None for value in walk(obj))


@MANY
@given(strategies.deployments(), strategies.deployments())
def test_two_deployments_share_nothing(one: LLMDeployment, other: LLMDeployment) -> None:
    if one.name != other.name:
        assert not {names.key(obj) for obj in rendered(one, Facts())} & {
            names.key(obj) for obj in rendered(other, Facts())
        }


def test_names_that_run_together_share_nothing() -> None:
    def of(name: str, account: str) -> set[names.Key]:
        changes = {
            "metadata.name": name,
            "spec.inference.clients": [{"namespace": "web", "serviceAccount": account}],
        }
        return {names.key(obj) for obj in rendered(example(changes), Facts())}

    shared = of("a", "b-c") & of("a-b", "c")
    assert not {key for key in shared if key[1] == "web"}


def largest(store: str) -> dict[str, Any]:
    """As many machines and prefixes, as long as the rules allow."""
    prefixes = [f"{'p' * 170}/{'q' * 81}{index:03}/" for index in range(32)]
    return {
        f"spec.storage.{store}.{field}": [
            {"namespace": "n" * 63, "serviceAccount": f"{'s' * 190}{index:03}", "prefixes": prefixes[:count]}
            for index in range(32)
        ]
        for field, count in (("readers", 8), ("writers", 7))
    }


@pytest.mark.parametrize(
    "changes",
    [
        largest("trainingData"),
        largest("checkpoints"),
        {
            "spec.identity": {},
            "spec.inference.apis": {
                f"{'a' * 60}{api}": {
                    "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
                    "paths": [f"/{'x' * 250}{path:03}" for path in range(8)],
                }
                for api in range(8)
            },
            "spec.inference.clients": [
                {
                    "namespace": "n" * 63,
                    "serviceAccount": f"{'s' * 190}{index:03}",
                    "users": "NotRequired",
                    "apis": [f"{'a' * 60}{index % 8}"],
                }
                for index in range(64)
            ],
        },
        {
            "spec.inference.guard.dictionaries": {
                f"{'d' * 60}{name:02}": [f"{'ж' * 58}{phrase:05}" for phrase in range(256)] for name in range(16)
            },
        },
    ],
    ids=["training data", "checkpoints", "clients", "dictionaries"],
)
def test_the_largest_deployment_still_fits(changes: dict[str, Any]) -> None:
    for obj in rendered(example(changes), Facts()):
        assert len(json.dumps(obj, ensure_ascii=False).encode()) < PERSISTED_BYTES, names.key(obj)
