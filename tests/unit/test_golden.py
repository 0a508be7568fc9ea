"""Golden cases: tests/cases/<name>/input.yaml, perhaps facts.yaml, and what is made of them in output/.

`pytest tests/unit/test_golden.py --rewrite` writes the output anew; the diff is then what a reviewer reads. A golden
shows what changed, and test_invariants.py says whether it may.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloister.cli.documents import read
from cloister.cli.offline import facts_from, objects
from cloister.cli.output import as_yaml

CASES = sorted((Path(__file__).parents[1] / "cases").glob("*/input.yaml"))


def made(case: Path) -> dict[str, list[Any]]:
    """File name -> objects: a file for each namespace, and one for what is in none."""
    (document,) = read(str(case / "input.yaml"))
    facts = case / "facts.yaml"
    files: dict[str, list[Any]] = {}
    deployment = document.parsed()
    for obj in objects(deployment, facts_from(str(facts) if facts.exists() else None)):
        found = files.setdefault(f"{obj['metadata'].get('namespace', 'cluster')}.yaml", [])
        found.append(readable(obj, gates=deployment.spec.identity.users is not None))
    return files


def readable(obj: dict[str, Any], *, gates: bool) -> dict[str, Any]:
    """Documents inside a ConfigMap as data, so that a diff shows the line and not the whole text.

    The gates' thousands of lines stand in the cases with people only: a golden that nobody can read is a rubber stamp.
    """
    if obj["metadata"]["name"].startswith("gate-") and not gates:
        return obj | {"data": dict.fromkeys(obj["data"], "(left out)")}
    data = {name: json.loads(text) if name.endswith(".json") else text for name, text in obj.get("data", {}).items()}
    return obj | ({"data": data} if data else {})


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_golden(path: Path, rewrite: bool) -> None:
    case, found = path.parent, made(path.parent)
    files = {name: "".join(f"---\n{as_yaml(one)}" for one in several) for name, several in found.items()}
    output = case / "output"
    if rewrite:
        output.mkdir(exist_ok=True)
        for stale in output.glob("*.yaml"):
            stale.unlink()
        for name, text in files.items():
            (output / name).write_text(text)
    kept = {file.name: file.read_text() for file in output.glob("*.yaml")}
    assert sorted(kept) == sorted(files), "look at the difference, then run this test with --rewrite"
    for name, text in files.items():
        assert kept[name] == text, f"{name}: look at the difference, then run this test with --rewrite"
        assert [*yaml.load_all(text, Loader=yaml.CSafeLoader)] == found[name], f"{name}: is YAML that says the same"


def test_the_cases_show_what_a_deployment_can_have() -> None:
    texts = [file.read_text() for path in CASES for file in (path.parent / "output").glob("*.yaml")]
    kinds = {line for text in texts for line in text.splitlines() if line.startswith("kind: ")}
    wanted = "CronJob", "Job", "StatefulSet", "PodDisruptionBudget", "RoleBinding", "ClusterIssuer", "NetworkPolicy"
    assert {f"kind: {kind}" for kind in wanted} <= kinds
