"""manifests/examples/tiny-llm, from raw text to a running server, by the programs and arguments of the example."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cloister import sidecar
from cloister.cli.offline import objects
from cloister.facts import Facts
from cloister.jobs.fetch import fetch
from cloister.sealing import Kind, SecretKey, SigningKey, generate, generate_signing, write_secret
from tests.cluster.components import LOOPBACK
from tests.cluster.ports import answers, choosing, free
from tests.cluster.processes import ProcessTable
from tests.edits import Edit, edited
from tests.environments import ROOT, cloister, environment
from tests.examples.relay import mutual_tls, unix_socket
from tests.examples.stores import Store
from tests.gate.identities import Authority

HERE = ROOT / "manifests" / "examples" / "tiny-llm"
COMPILED = (
    "--config-settings-package",
    "llama-cpp-python:cmake.args=-DGGML_NATIVE=OFF;-DGGML_OPENMP=OFF;-DLLAVA_BUILD=OFF",
)
"""How llama.cpp is compiled, as in server/Dockerfile."""


class EndedError(Exception):
    """A program ended with an error; its message is what the program wrote to stderr."""


@dataclass
class Life:
    """One deployment, and the places of everything in it."""

    folder: Path
    store: Store
    steps: int
    reader: SecretKey
    """Who may open the checkpoint."""
    releaser: SigningKey
    edit: Edit

    @classmethod
    def begin(cls, folder: Path, store: Store, steps: int) -> "Life":
        """The example, with keys of its own and fewer steps."""
        reader, releaser = generate(Kind.X25519), generate_signing()
        write_secret(folder / "unseal.key", reader)
        write_secret(folder / "release.key", releaser)
        raw = yaml.safe_load((HERE / "llmdeployment.yaml").read_text())
        raw["spec"]["training"]["args"] = [
            {"--seal-for": f"--seal-for={reader.public}", "--steps": f"--steps={steps}"}.get(word.split("=")[0], word)
            for word in raw["spec"]["training"]["args"]
        ]
        return cls(folder, store, steps, reader, releaser, edited(raw))

    @property
    def object(self) -> str:
        """Key of what is served."""
        return str(self.edit.raw["spec"]["inference"]["model"]["object"])

    def container(self, kind: str, name: str) -> dict[str, Any]:
        """A container as Cloister renders it."""
        (found,) = (obj for obj in objects(self.edit.parsed(), Facts()) if obj["kind"] == kind and _runs(obj, name))
        pod = found["spec"]["template"]["spec"]
        return next(c for c in [*pod["containers"], *pod["initContainers"]] if c["name"] == name)

    def ingest(self) -> str:
        """Bring the texts, as the writer that the example declares."""
        (writer,) = self.edit.parsed().spec.storage.training_data.writers
        return self._client("ingest.py", writer.namespace, writer.service_account, f"--prefix={writer.prefixes[0]}")

    def train(self, *more: str) -> str:
        """Train, in the environment that a training pod has. Arguments given twice: the last one counts."""
        python = trainer_python()
        container = self.container("Job", "training")
        variables = {entry["name"]: entry["value"] for entry in container["env"]} | {
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self.store.port}",
            "PYTHONPATH": str(self._package(python)),
            "JAX_PLATFORMS": "cpu",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        return _run([python, HERE / "trainer" / "train.py", *container["args"], *more], variables)

    def release(self, *more: str) -> dict[str, str]:
        """Release what was trained; what the resource must then say."""
        (writer,) = self.edit.parsed().spec.storage.checkpoints.writers
        report = next(a for a in self.container("Job", "training")["args"] if a.startswith("--report="))
        arguments = [
            f"--report={report.partition('s3://checkpoints/')[2]}",
            f"--to={writer.prefixes[0]}",
            f"--key={self.folder / 'release.key'}",
            *more,
        ]
        found: dict[str, str] = json.loads(
            self._client("release.py", writer.namespace, writer.service_account, *arguments)
        )
        return found

    def accept(self, released: Mapping[str, str]) -> None:
        """What a platform engineer writes into the resource when a release is out."""
        self.edit.set("spec.inference.replicas", 1)
        for name in ("object", "sha256", "publicKey"):
            self.edit.set(f"spec.inference.model.{name}", released[name])

    def fetch(self) -> Path:
        """Fetch, verify and open the weights, as the container before the server does."""
        wanted = sidecar.Fetch.model_validate_json(self.container("StatefulSet", "fetch")["args"][0])
        target = self.folder / Path(wanted.target).name
        with unix_socket(self.store.port, self.folder / "fetch.sock") as gate:
            here = {"socket": str(gate), "target": str(target), "unseal_key": str(self.folder / "unseal.key")}
            fetch(wanted.model_copy(update=here), pause=lambda _: None)
        return target

    @contextmanager
    def serve(self, weights: Path) -> Iterator[int]:
        """The server on these weights; its port. Ended always."""
        container = self.container("StatefulSet", "server")
        table = ProcessTable(self.folder / "serving")
        try:
            with choosing():
                port = free(["server"])["server"]
                changed = {"--model": f"--model={weights}", "--port": f"--port={port}"}
                words = [changed.get(word.split("=")[0], word) for word in container["args"]]
                table.start("server", [server_python(), "-m", "llama_cpp.server", *words])
                table.wait_ready("server", lambda: answers(port), timeout=120)
            yield port
        finally:
            table.stop_all()

    def _client(self, program: str, namespace: str, account: str, *arguments: str) -> str:
        python = environment("tiny-llm-clients", HERE / "clients" / "requirements.txt")
        authority = Authority()
        identity = self.folder / f"{namespace}-{account}"
        identity.mkdir(exist_ok=True)
        leaf = authority.issue(f"spiffe://cluster.local/ns/{namespace}/sa/{account}")
        for name, content in (("tls.crt", leaf.chain), ("tls.key", leaf.key), ("ca.crt", authority.pem)):
            (identity / name).write_text(content)
        gate = authority.issue(hosts=("localhost",)).write(self.folder, "gate")
        with mutual_tls(self.store.port, *gate, authority.pem) as port:
            variables = {"IDENTITY": str(identity), "PYTHONPATH": str(self._package(python))}
            url = f"--store=https://localhost:{port}"
            return _run([python, HERE / "clients" / program, url, *arguments], variables)

    def _package(self, python: Path) -> Path:
        folder = self.folder / f"package-{python.parts[-3]}"
        return folder if folder.exists() else cloister(python, folder)


def trainer_python() -> Path:
    """The Python that has JAX."""
    return environment("tiny-llm-trainer", HERE / "trainer" / "requirements.txt")


def server_python() -> Path:
    """The Python that has llama.cpp. Compiled on first use: minutes."""
    return environment("tiny-llm-server", HERE / "server" / "requirements.txt", COMPILED)


def _runs(obj: Mapping[str, Any], name: str) -> bool:
    labelled = obj["spec"].get("template", {}).get("spec", {})
    return any(c["name"] == name for c in [*labelled.get("containers", []), *labelled.get("initContainers", [])])


def run_in(python: Path, script: Path, *arguments: object) -> str:
    """A script of a test in one of the environments."""
    return _run([python, script, *map(str, arguments)], {"JAX_PLATFORMS": "cpu"})


def _run(command: Sequence[str | Path], variables: Mapping[str, str]) -> str:
    """What a program prints. It sees these variables and no others."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env={"PATH": os.defpath, **variables}, capture_output=True, text=True, check=False, timeout=240
    )
    if done.returncode != 0:
        raise EndedError(done.stderr[-4000:])
    return done.stdout
