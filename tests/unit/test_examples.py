"""What the examples' other files say of the resource beside them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cloister import names
from cloister.lint import Severity, lint
from cloister.spec import LLMDeployment, parse
from cloister.spec.storage import Principal
from cloister.zones import GATE_PORT, Component, Zone
from tests.unit.test_lint import TODAY

TINY = Path(__file__).parents[2] / "manifests" / "examples" / "tiny-llm"


@pytest.fixture
def tiny() -> LLMDeployment:
    return parse(yaml.safe_load((TINY / "llmdeployment.yaml").read_text()))


def outside(tiny: LLMDeployment, program: str) -> tuple[Principal, Component]:
    """Who a program is, and the store that it asks."""
    storage = tiny.spec.storage
    if program == "ingest":
        return storage.training_data.writers[0], Component.TRAINING_DATA
    return storage.checkpoints.writers[0], Component.CHECKPOINTS


def documents(program: str) -> dict[str, Any]:
    """Kind -> object."""
    text = (TINY / "clients" / f"{program}.yaml").read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_the_tiny_model_has_no_error(tiny: LLMDeployment) -> None:
    assert [finding for finding in lint(tiny, TODAY) if finding.severity is Severity.ERROR] == []


@pytest.mark.parametrize("program", ["ingest", "release"])
def test_its_machines_are_those_that_it_declares(tiny: LLMDeployment, program: str) -> None:
    declared, store = outside(tiny, program)
    objects = documents(program)
    assert {obj["metadata"]["namespace"] for obj in objects.values()} == {declared.namespace}
    assert objects["ServiceAccount"]["metadata"]["name"] == declared.service_account
    template = objects["Job"]["spec"]["template"]
    assert template["metadata"]["labels"] == declared.pod_selector
    assert template["spec"]["serviceAccountName"] == declared.service_account
    secrets = [volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if volume["name"] == "identity"]
    assert secrets == [names.client_certificate(tiny.name, declared.service_account)]
    (container,) = template["spec"]["containers"]
    assert f"--store=https://{names.service_host(tiny.name, store)}:{GATE_PORT}" in container["args"]


@pytest.mark.parametrize("program", ["ingest", "release"])
def test_their_policies_let_them_reach_their_store(tiny: LLMDeployment, program: str) -> None:
    declared, store = outside(tiny, program)
    policy = documents(program)["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == declared.pod_selector
    peer = policy["egress"][0]["to"][0]
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": names.namespace(tiny.name, Zone.STORAGE)
    }
    assert peer["podSelector"]["matchLabels"].items() <= names.pod_selector(tiny.name, store).items()


def test_what_is_released_is_what_is_served(tiny: LLMDeployment) -> None:
    model, training = tiny.spec.inference.model, tiny.spec.training
    assert model
    assert training
    (container,) = documents("release")["Job"]["spec"]["template"]["spec"]["containers"]
    assert f"--to={model.object}" in container["args"]
    report = next(word for word in training.args if word.startswith("--report="))
    assert f"--report={report.partition('s3://checkpoints/')[2]}" in container["args"]
    assert not any(model.object.startswith(prefix) for prefix in training.writes)
    assert f"--model={model.file}" in tiny.spec.inference.args
