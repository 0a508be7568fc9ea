"""The demo on a real node: the life of a small model, from raw text to an audited answer, and what is refused."""

from __future__ import annotations

import time

from rich.console import Console

from tests.cluster.kubectl import KubectlError
from tests.cluster.node.node import Node
from tests.cluster.processes import wait_until
from tests.demo.telling import Telling, denied
from tests.e2e.life import EXAMPLE, NAME, NO_CANARY, Life

_QUESTION = 'The "for" statement'
_DAY = 8 * 3600


class NodeStory(Telling):
    """The demo's steps."""

    def __init__(self, node: Node, console: Console) -> None:
        super().__init__(console)
        self.node = node
        self.life = Life(node, node.directory / "life")

    def tell(self) -> None:
        """From an empty node to an answer that is on record."""
        life = self.life
        self._title("1. A real node on this machine")
        self._note(f"kubelet, containerd and Cilium in a network of their own, at {self.node.machine.address}")
        with self._step("cert-manager, by its own chart"):
            self.node.install_cert_manager()
        with self._step("images, made on this machine"):
            life.load_images()

        self._title("2. Cloister, as its users install it")
        with self._step("helm upgrade --install cloister charts/cloister, until the operator is ready"):
            life.install()

        self._title(f"3. One LLMDeployment: {EXAMPLE.name}")
        self._note("canaries prove the network before the model and its training start")
        life.prepare()
        with self._step("kubectl apply, until three sealed stores run"):
            life.apply()
        with self._step("texts brought by the one machine that may"):
            life.said["ingest"] = life.ingest()
        self._note(life.said["ingest"].strip())
        with self._step("training, which seals what it makes"):
            life.said["training"] = life.train()
        self._note(life.said["training"].strip().splitlines()[-1])
        with self._step("the checkpoint signed by the one machine that may, which can't open it"):
            life.released = life.release()
        with self._step("weights fetched, verified, opened in memory, and served"):
            life.serve(life.released)

        self._title("4. A question, over mutual TLS, with a person's token")
        life.people()
        answer = life.ask(_QUESTION, "--stream")
        if answer["status"] != 200:
            raise RuntimeError(f"no answer: {answer}")
        self.console.print(f"  {_QUESTION}[bold]{answer['text']}[/]", highlight=False)
        self._note(f"first word after {answer['first'] * 1000:.0f} ms, in {answer['parts']} parts")

        self._title("5. What must be refused is refused")
        self._refused("no certificate", life.ask(_QUESTION, "--no-certificate").get("refused"))
        self._refused("no token", life.ask(_QUESTION, token="").get("body"))
        self._refused(
            "a sign-in without a second factor", life.ask(_QUESTION, token=life.token(amr=["pwd"])).get("body")
        )
        (pod,) = self.node.kubectl.get("pods", "-n", f"{NAME}-inference", "-l", NO_CANARY)["items"]
        door = f"{pod['status']['podIP']}:8443"
        found = life.reach("default", "stranger", door)[door]
        self._refused(f"a stranger's connection to {door}", None if found == "open" else found)
        self._refused("exec into the model's pod, by an administrator", self._exec())

        self._title("6. The record, as the auditor reads it")
        with self._step("the segment with that question is sealed and shipped, within a minute or two"):
            self._read_record()
        self._show_record()

        self._title("Look around")
        self._offer()

    # --- steps ---

    def _exec(self) -> str | None:
        try:
            self.node.kubectl("exec", "-n", f"{NAME}-inference", "inference-0", "-c", "server", "--", "id")
        except KubectlError as error:
            return denied(error)
        return None

    def _read_record(self) -> None:
        key = (self.life.folder / "audit.key").read_text()
        self.life.run("security", "auditor", "sh", "-c", "umask 077; cat > /tmp/audit.key", stdin=key)
        fetch = (
            "rm -rf /tmp/records && cloister data get -q -r interaction-logs/ -o /tmp/records"
            f" --deployment {NAME} --identity /identity >/dev/null"
            " && cloister audit search /tmp/records --key /tmp/audit.key --user alice"
        )
        if not wait_until(lambda: "reply" in self.life.run("security", "auditor", "sh", "-c", fetch), 240):
            raise RuntimeError("the record of the question did not reach the store")

    def _show_record(self) -> None:
        for command in (
            ("cloister", "audit", "search", "/tmp/records", "--key", "/tmp/audit.key", "--user", "alice"),
            ("cloister", "audit", "verify", "/tmp/records", "--key", "/tmp/audit.key"),
        ):
            self.console.print(f"  $ {' '.join(command)}", style="bold", markup=False)
            self.console.print(self.life.run("security", "auditor", *command), markup=False)

    def _offer(self) -> None:
        token = self.node.directory / "person.token"
        token.write_text(self.life.token(exp=int(time.time()) + _DAY))
        url = f"https://inference.{NAME}-inference.svc:8443/v1"
        ask = f"python /app/ask.py --url {url} --stream --prompt 'The if statement'"
        for line in (
            f"export KUBECONFIG={self.node.kubeconfig}",
            "kubectl get llmd; kubectl get pods -A; kubectl get ciliumendpoints -A",
            f"kubectl exec -i -n web frontend -- {ask} < {token}",
            "make demo-node-down        stops everything and leaves nothing behind",
        ):
            self.console.print(f"  {line}", markup=False)

    # --- telling ---

    def _refused(self, what: str, said: str | None) -> None:
        if said is None:
            raise RuntimeError(f"{what}: was allowed")
        self._show_refused(what, said)
