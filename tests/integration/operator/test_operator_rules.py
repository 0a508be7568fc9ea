"""Rules for prompt injection on their way from the resource to the auditor, on a real API server."""

from cloister import names
from tests.integration.operator.world import Object, World, full, until

GOOD = "version: '1'\nrules:\n- {id: V1, score: 0.9, pattern: 'open the vault', source: us}\n"
BETTER = GOOD.replace("open", "close")
BAD = GOOD.replace("0.9", "9")


def rules(text: str) -> Object:
    metadata = {"name": "own-rules", "namespace": "security"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"rules.yaml": text}}


def test_a_bad_set_of_rules_leaves_the_one_before_and_a_good_one_comes_into_force(world: World) -> None:
    made = world.create(rules(GOOD))
    resource = full("ruled")
    reference = {"configMapRef": {"name": "own-rules", "namespace": "security"}}
    resource["spec"]["inference"]["guard"]["injectionRules"] = reference
    name = world.converge(resource)

    def in_force() -> str:
        found: str = world.get(("ConfigMap", f"{name}-inference", names.INJECTION_RULES))["data"]["rules.yaml"]
        return found

    assert in_force() == GOOD
    world.merge(names.key(made), {"data": {"rules.yaml": BAD}})
    said = world.until_condition(name, "AuditRecording", "False", "InjectionRulesUnusable")
    assert "own-rules" in said["message"]
    assert "rules.0.score: Input should be less than or equal to 1" in said["message"]
    assert "the rules known before stay" in said["message"]
    assert in_force() == GOOD
    world.merge(names.key(made), {"data": {"rules.yaml": BETTER}})
    until(lambda: in_force() == BETTER, "the better set is in force")
    until(lambda: world.condition(name, "AuditRecording").get("reason") != "InjectionRulesUnusable", "it has recovered")
