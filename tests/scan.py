"""`python -m tests.scan`: scanners over everything that is installed or rendered; every finding is fixed or explained.

    kubeconform   schemas of Kubernetes, cert-manager and our own CRD, strictly
    kube-score    how objects behave in operation
    checkov       how objects are hardened

tests/scan.yaml lists the findings that stay, with their reasons.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests import schemas
from tests.cluster import binaries, catalogue
from tests.generate import ROOT, dump, render

CHECKOV = ROOT / ".venv-audit" / "bin" / "checkov"
_FOLDER = ROOT / "manifests" / "examples"
EXAMPLES = [*sorted(_FOLDER.glob("*.yaml")), *sorted(_FOLDER.glob("*/llmdeployment.yaml"))]
OUTSIDE = sorted(_FOLDER.glob("*/clients/*.yaml"))
"""Machines outside the zones, as an example's reader applies them."""
CHART_CASES = sorted((ROOT / "tests" / "charts").glob("*/values.yaml"))
NOT_VALIDATED = "CustomResourceDefinition,ServiceMonitor"
"""The API server validates the first when tests install it; the second's schema is another project's."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something a scanner does not like."""

    tool: str
    check: str
    object: str
    message: str

    def __str__(self) -> str:
        return f"{self.tool} {self.check} {self.object}: {self.message}"


@dataclass(frozen=True)
class Accepted:
    """A finding that stays, and why."""

    tool: str
    check: str
    object: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether this is about that finding."""
        same = (self.tool, self.check) == (finding.tool, finding.check)
        return same and fnmatchcase(finding.object, self.object)


def main() -> int:
    """Scan; print what is not explained and what need not be any more; returns the exit code."""
    accepted = [Accepted(**entry) for entry in yaml.safe_load((ROOT / "tests" / "scan.yaml").read_text())]
    with tempfile.TemporaryDirectory() as scratch:
        sources = list(_sources(Path(scratch)))
        findings = {finding for scan in (kubeconform, kube_score, checkov) for finding in scan(sources)}
    open_findings = sorted(f for f in findings if not any(entry.covers(f) for entry in accepted))
    unused = [entry for entry in accepted if not any(entry.covers(f) for f in findings)]
    for finding in open_findings:
        print(f"{finding}\n  fix it, or give the reason in tests/scan.yaml")
    for entry in unused:
        print(f"tests/scan.yaml: {entry.tool} {entry.check} {entry.object} is not found any more: remove it")
    print(f"{len(sources)} files, {len(findings)} findings, {len(findings) - len(open_findings)} explained")
    return 1 if open_findings or unused else 0


def kubeconform(sources: list[Path]) -> Iterator[Finding]:
    """Fields that do not exist, values of the wrong type, kinds that nobody knows."""
    with tempfile.TemporaryDirectory() as scratch:
        definitions = [*(ROOT / "crds").glob("*.yaml")]
        definitions += (binaries.cert_manager_files() / "deploy" / "crds").glob("crd-*.yaml")
        folders = [schemas.built_in(), schemas.of_definitions(Path(scratch), definitions)]
        command: list[str | Path] = [binaries.path("kubeconform"), "-strict", "-output=json", f"-skip={NOT_VALIDATED}"]
        command += [f"-schema-location={folder}/{schemas.LOCATION}" for folder in folders]
        report = _json(*command, *sources, *EXAMPLES)
    for found in report["resources"]:
        yield Finding("kubeconform", found["status"], f"{found['kind']}/{found['name']}", found["msg"])


def kube_score(sources: list[Path]) -> Iterator[Finding]:
    """Everything below its best grade."""
    version = ".".join(catalogue.KUBERNETES.split(".")[:2])
    command = (binaries.path("kube-score"), "score", "--output-format=json", f"--kubernetes-version={version}")
    for found in _json(*command, *sources) or []:
        name = f"{found['type_meta']['kind']}/{found['object_meta']['name']}"
        for check in found["checks"]:
            if check["grade"] < 10 and not check["skipped"]:
                comments = "; ".join(comment["summary"] for comment in check["comments"] or [])
                yield Finding("kube-score", check["check"]["id"], name, comments)


def checkov(sources: list[Path]) -> Iterator[Finding]:
    """Every failed check. It runs from an environment of its own, and asks nobody."""
    options = ("--framework=kubernetes", "--skip-download", "--quiet", "--compact", "--output=json")
    report = _json(CHECKOV, *options, *(f"--file={source}" for source in sources))
    for found in report["results"]["failed_checks"]:
        kind, _, name = found["resource"].split(".", 2)
        yield Finding("checkov", found["check_id"], f"{kind}/{name}", found["check_name"])


def _sources(folder: Path) -> Iterator[Path]:
    """The chart in every golden case, and what the operator makes of every example."""
    yield ROOT / "manifests" / "install.yaml"
    for case in CHART_CASES:
        yield _file(folder / f"chart-{case.parent.name}.yaml", dump(*render(case)))
    program = Path(sys.executable).with_name("cloister")
    for example in EXAMPLES:
        done = subprocess.run([program, "render", example], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cloister render {example}: {done.stderr}")
        yield _file(folder / f"example-{example.parent.name}-{example.name}", done.stdout)
    yield from OUTSIDE


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _json(*command: str | Path) -> Any:
    """What a scanner reports. Its exit code only says whether it found something."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(f"{command[0]} gave no report: {done.stderr or done.stdout}") from None


if __name__ == "__main__":
    sys.exit(main())
