"""What the examples' other files say of the resource beside them."""

import hashlib
import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import EndpointConnectionError

from cloister import names
from cloister.lint import Severity, lint
from cloister.sealing import generate_signing, write_secret
from cloister.spec import LLMDeployment, parse
from cloister.spec.storage import Principal
from cloister.weights import verifier
from cloister.weights.header import MAGIC
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
    (to,) = [word.removeprefix("--to=") for word in container["args"] if word.startswith("--to=")]
    out = next(word for word in training.args if word.startswith("--out=")).rpartition("/")[2]
    assert model.object == f"{to}{model.sha256[:12]}/{out}"
    report = next(word for word in training.args if word.startswith("--report="))
    assert f"--report={report.partition('s3://checkpoints/')[2]}" in container["args"]
    assert not any(model.object.startswith(prefix) for prefix in training.writes)
    assert f"--model={model.file}" in tiny.spec.inference.args


class Checkpoints:
    """A store with a candidate in it, or one that can't be reached."""

    def __init__(self, body: bytes, *, away: bool = False) -> None:
        report = {"object": "candidates/m.sealed", "sha256": hashlib.sha256(body).hexdigest(), "unseen_loss": 3.0}
        self.away = away
        self.objects = {"candidates/report.json": json.dumps(report).encode(), "candidates/m.sealed": body}

    def get_object(self, Bucket: str, Key: str) -> dict[str, io.BytesIO]:  # noqa: N803 - as in boto3
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://checkpoints")
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803
        assert Key not in self.objects, "written over"
        self.objects[Key] = Body


def test_a_release_writes_nothing_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is served now has the name of the release before (docs/weights.md)."""
    monkeypatch.syspath_prepend(str(TINY / "clients"))
    program = importlib.import_module("release")
    signing = generate_signing()
    write_secret(tmp_path / "key", signing)

    def release(store: Checkpoints, to: str = "released/") -> int:
        monkeypatch.setattr(program, "store", lambda _: store)
        arguments = ["--store=x", "--report=candidates/report.json", f"--to={to}", f"--key={tmp_path / 'key'}"]
        monkeypatch.setattr(sys, "argv", ["release.py", *arguments])
        code: int = program.main()
        return code

    store, names = Checkpoints(MAGIC + b"first"), set()
    for body in (b"first", b"second"):
        store.objects |= Checkpoints(MAGIC + body).objects
        assert release(store) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["object"] == f"released/{said['sha256'][:12]}/m.sealed"
        assert store.objects[said["object"]] == MAGIC + body
        verifier(said["publicKey"]).check(store.objects[f"{said['object']}.sig"], said["sha256"], "x")
        names.add(said["object"])
    assert len(names) == 2
    assert release(store, "released/m") == 1
    assert "ends in '/'" in capsys.readouterr().err
    assert release(Checkpoints(b"", away=True)) == 1
    assert capsys.readouterr().err.startswith("release: Could not connect")
