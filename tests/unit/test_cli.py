"""The commands as a user runs them: what they print, how they fail, and that a user's mistake is never a traceback."""

import datetime as dt
import io
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

import cloister
from cloister import cli
from cloister.cli import tree
from cloister.cli.documents import read
from cloister.cli.errors import UserError
from cloister.lint import RULES
from cloister.spec import parse
from tests.backends import backed
from tests.edits import EXAMPLES, REMOVED, edited, example

CASES = Path(__file__).parents[1] / "cases"
MAPPED = sorted(path.parent.name for path in CASES.glob("*/input.yaml"))
SUPPORT_BOT = str(EXAMPLES / "support-bot.yaml")
MINIMAL = str(EXAMPLES / "minimal.yaml")


def run(*arguments: str, stdin: str | bytes | None = None, code: int = 0) -> str:
    """stdout of a command that ends with this code; stderr, if it is to fail as bad input."""
    result = CliRunner().invoke(cli.app, arguments, input=stdin)
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result.stderr if code == 2 else result.stdout


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own cluster is asked."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.delenv("FORCE_COLOR", raising=False)


# Reading


@pytest.mark.parametrize("command", ["lint", "render", "map"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "<stdin>:1:6: expected ',' or ']'"),
        ("kind: a\nkind: b", "<stdin>:2:1: 'kind' stands here twice"),
        ("spec: {a: 1, a: 2}", "<stdin>:1:14: 'a' stands here twice"),
        ("a:\n\tb: 1", "<stdin>:2:1: found character '\\t'"),
        ("- 1", "<stdin>:1: is not a Kubernetes object, but a list"),
        ("hello", "<stdin>:1: is not a Kubernetes object, but a single value"),
        ("", "<stdin>: holds no LLMDeployment"),
        ("kind: Pod\napiVersion: v1", "<stdin>: holds no LLMDeployment"),
        (
            "a: !!python/object:os.system 1",
            "<stdin>:1:4: tag tag:yaml.org,2002:python/object:os.system is not supported",
        ),
        ("a: *b", "<stdin>:1:4: found undefined alias 'b'"),
        ("a: &a [*a]", "<stdin>:1:4: its aliases unfold to too much"),
        ("a: &a {b: 1}\nc:\n  <<: *a", "<stdin>:3:3: '<<' is not supported"),
        ("? [1]\n: 2", "<stdin>:1:3: the name of a field must be a string"),
        ("[" * 300, "is nested too deeply"),
        ("a: \x07", "<stdin>: unacceptable character #x0007"),
        (b"\xff\xfe\xff", "<stdin>: is not UTF-8 text (byte 0)"),
    ],
)
def test_a_file_that_is_no_resource(command: str, text: str | bytes, message: str) -> None:
    assert message in run(command, "-", stdin=text, code=2)


def test_a_file_that_is_not_there() -> None:
    assert run("lint", "absent.yaml", code=2) == "error: absent.yaml: no such file or directory\n"
    assert "is a directory" in run("lint", str(EXAMPLES), code=2)


def test_aliases_that_unfold_to_gigabytes() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "unfold to too much" in run("lint", "-", stdin="\n".join(lines), code=2)


def test_a_file_too_large() -> None:
    assert "is larger than" in run("lint", "-", stdin="#" * (5 * 2**20), code=2)


class Endless(io.RawIOBase):
    """A device that never ends; asked for far more than a resource has, it says so."""

    given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.given += len(buffer)
        assert self.given < 2**24, "everything is read before the size is looked at"
        buffer[:] = b"#" * len(buffer)
        return len(buffer)


def test_what_never_ends_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    with pytest.raises(UserError, match="is larger than"):
        read("-")
    monkeypatch.setattr(Path, "open", lambda *_: io.BufferedReader(Endless()))
    with pytest.raises(UserError, match="is larger than"):
        read("device")


def test_values_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "kind: LLMDeployment\nspec: {date: 2026-12-31, time: 1:30, no: no, octal: 010, text: '1', list: &a [1], "
        "again: *a}"
    )
    (document,) = read(str(file))
    spec = document.raw["spec"]
    assert spec == {
        "date": "2026-12-31",
        "time": "1:30",
        False: False,
        "octal": 8,
        "text": "1",
        "list": [1],
        "again": [1],
    }


def test_several_documents_lists_and_other_objects() -> None:
    minimal = example("minimal")
    documents = [{"apiVersion": "v1", "kind": "ConfigMap"}, minimal, None, {"kind": "List", "items": [minimal]}]
    output = run("lint", "-", "-o", "json", stdin=yaml.safe_dump_all(documents))
    codes = [finding["code"] for finding in json.loads(output)]
    assert len(codes) == 2 * len(set(codes))


# lint


def test_lint_passes_and_fails() -> None:
    assert "0 errors" in run("lint", SUPPORT_BOT)
    run("lint", MINIMAL)
    run("lint", "--strict", MINIMAL, code=1)
    # Without an export, whose key is a warning always.
    bare = edited(example()).set("spec.audit.export", REMOVED).raw
    text = yaml.safe_dump(bare, allow_unicode=True, width=1000)
    key = parse({"metadata": {"name": "x", "uid": "u"}, "spec": bare["spec"]}).spec.audit.recipients[0]
    run("lint", "--strict", "-", stdin=text, code=1)  # the examples' key is there to be replaced
    own = "cloister-pub-mlkem768x25519:" + "A" * 1622
    run("lint", "--strict", "-", stdin=text.replace(f"- {key}", f"- {own}\n    - {own[:-1]}Q"))


def test_lint_names_line_code_field_value_and_way_out() -> None:
    text = Path(SUPPORT_BOT).read_text().replace("/v1/models]", "/invocations]")
    output = run("lint", "-", stdin=text, code=1)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "/invocations]" in line)
    assert f'<stdin>:{line}: error CL301 spec.inference.apis.models.paths: "/invocations": not for callers' in output
    assert "    remove the path" in output


def test_lint_refuses_unknown_fields() -> None:
    text = Path(MINIMAL).read_text() + "  deletionPolcy: Delete\n"
    output = run("lint", "-", stdin=text, code=1)
    assert f"<stdin>:{text.count(chr(10))}: error CL001 spec.deletionPolcy: unknown field" in output


def test_lint_for_programs() -> None:
    finding = next(found for found in json.loads(run("lint", "-o", "json", MINIMAL)) if "value" in found)
    assert set(finding) == {"file", "line", "name", "code", "severity", "field", "message", "fix", "value"}
    assert finding["name"] == "minimal"
    assert json.loads(run("lint", "-o", "json", "-", stdin=Path(SUPPORT_BOT).read_text()))


def test_lint_lists_its_rules() -> None:
    assert [rule["code"] for rule in json.loads(run("lint", "--rules", "-o", "json"))] == [rule.code for rule in RULES]
    assert all(rule.title in run("lint", "--rules") for rule in RULES[:3])


def test_lint_without_a_file() -> None:
    assert "name at least one file" in run("lint", code=2)


# render


def test_render_prints_every_object_in_order() -> None:
    objects = list(yaml.safe_load_all(run("render", SUPPORT_BOT)))
    assert objects[0]["kind"] == "Namespace"
    assert {obj["kind"] for obj in objects} >= {"NetworkPolicy", "Certificate", "StatefulSet", "CronJob"}
    listed = json.loads(run("render", SUPPORT_BOT, "-o", "json"))
    assert listed["kind"] == "List"
    assert listed["items"] == objects


def test_render_takes_facts(tmp_path: Path) -> None:
    facts = tmp_path / "facts.yaml"
    facts.write_text("cluster_ips: {checkpoints: 10.96.0.7}\ntrust_bundle: PEM\n")
    output = run("render", SUPPORT_BOT, "--facts", str(facts))
    assert "10.96.0.7" in output
    assert not output.startswith("#")
    assert run("render", SUPPORT_BOT).startswith("# ClusterIPs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cluster_ip: {}", "cluster_ip: is no fact; known are ca_generation"),
        ("cluster_ips: {unknown: 1.2.3.4}", "cluster_ips.unknown"),
        ("ca_generation: x", "ca_generation: input should be a valid integer"),
        ("[]", "is not a mapping of facts"),
        ("a: [", "expected the node content"),
    ],
)
def test_facts_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "facts.yaml").write_text(text)
    assert message in run("render", SUPPORT_BOT, "--facts", str(tmp_path / "facts.yaml"), code=2)


def test_effective_shows_defaults_and_is_itself_a_resource() -> None:
    effective = yaml.safe_load(run("render", MINIMAL, "--effective"))
    assert effective["spec"]["identity"] == {"trustDomain": "cluster.local", "certificateTTL": "24h"}
    assert effective["spec"]["deletionPolicy"] == "Retain"
    assert parse(effective).spec == parse(example("minimal")).spec
    assert json.loads(run("render", MINIMAL, "--effective", "-o", "json")) == effective


def test_render_and_map_name_every_wrong_field() -> None:
    text = "# one line more\n" + Path(MINIMAL).read_text().replace("NotRequired", "Never").replace("10Gi", "ten")
    wrong = {"spec.inference.clients[0].users": "Never", "spec.storage.checkpoints.size": "checkpoints: {size: ten}"}
    for arguments in (("render", "-"), ("map", "-"), ("explain", "batch/nightly", "inference", "-f", "-")):
        lines = run(*arguments, stdin=text, code=2).splitlines()
        assert all(line.startswith("error: <stdin>:") for line in lines)
        for field, written in wrong.items():
            stands = next(number for number, line in enumerate(text.splitlines(), 1) if written in line)
            assert any(line.startswith(f"error: <stdin>:{stands}: {field}: ") for line in lines)


# map


@pytest.mark.parametrize("form", ["table", "mermaid", "json"])
@pytest.mark.parametrize("case", MAPPED)
def test_map(case: str, form: str, rewrite: bool) -> None:
    output = run("map", str(CASES / case / "input.yaml"), "-o", form)
    golden = CASES / case / f"map.{ {'table': 'txt', 'mermaid': 'mmd', 'json': 'json'}[form] }"
    if rewrite:
        golden.write_text(output)
    assert output == golden.read_text()


def test_map_says_what_machine_may_do_what_and_on_which_proof() -> None:
    output = run("map", SUPPORT_BOT)
    (line, *_) = [line for line in output.splitlines() if line.startswith("web/frontend")]
    columns = ["web/frontend [app=bff]", "support-bot-inference/inference", "8443", "POST /v1/chat/completions"]
    assert [cell.strip() for cell in line.split("   ") if cell.strip()] == [*columns, "certificate and person's token"]
    assert "support-agent   chat           DE FR       managed" in output
    assert output.rstrip().endswith("Everything else is denied, in both directions.")


# status


class Api(BaseHTTPRequestHandler):
    """As much of an API server as `status` asks."""

    answer: tuple[int, bytes] = (200, b"{}")
    patched: tuple[str, Any] = ("", None)

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        length = int(self.headers["Content-Length"])
        Api.patched = (self.headers["Content-Type"], json.loads(self.rfile.read(length)))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Api]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, daemon=True).start()
    write_kubeconfig(monkeypatch, tmp_path, f"http://127.0.0.1:{server.server_port}")
    yield Api
    server.shutdown()
    server.server_close()


def write_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))


NOW = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)


def observed() -> dict[str, Any]:
    def condition(kind: str, status: str, message: str = "") -> dict[str, Any]:
        return {
            "type": kind,
            "status": status,
            "reason": "Because",
            "message": message,
            "lastTransitionTime": "2026-06-15T11:00:00Z",
        }

    raw = example()
    raw["metadata"] |= {"generation": 3, "uid": "u"}
    raw["status"] = {
        "observedGeneration": 2,
        "phase": "Progressing",
        "message": "waits for certificates",
        "zones": [{"name": "training", "namespace": "support-bot-training", "ready": True}],
        "endpoints": [{"component": "inference", "address": "10.0.0.1:8443", "identity": "spiffe://a"}],
        "conditions": [
            condition("Ready", "False", "one certificate is missing"),
            condition("Reconciling", "True"),
            condition("Stalled", "False"),
            condition("ZonesIsolated", "True", "not shown"),
        ],
        "certificates": [
            {"namespace": "a", "name": "b", "ready": True, "notAfter": "2026-06-16T12:00:00Z"},
            {"namespace": "a", "name": "c", "ready": False},
            {"namespace": "a", "name": "d", "ready": True, "notAfter": "2026-06-15T10:00:00Z"},
            {
                "namespace": "a",
                "name": "e",
                "ready": True,
                "notAfter": "2026-06-15T13:59:59Z",
                "renewalTime": "2026-06-15T10:00:00Z",
            },
        ],
        "exceptions": [{"control": "ZT-17", "expires": "2026-01-01", "expired": True, "reason": "lab"}],
        "controls": [
            {"id": "ZT-01", "status": "True", "condition": "IdentityIssued"},
            {"id": "ZT-02", "status": "Unknown", "condition": "IdentityIssued"},
            {"id": "ZT-03", "status": "True", "condition": "ZonesIsolated"},
        ],
        "lastDrift": {"object": "NetworkPolicy a/b", "what": "was deleted", "time": "2026-06-15T11:59:30Z"},
    }
    return raw


def test_status_is_a_tree() -> None:
    lines = [line.plain for line in tree.lines(observed(), NOW)]
    assert lines == [
        "support-bot  Progressing  waits for certificates",
        "├─ the latest change has not been handled yet",
        "├─ zones",
        "│  └─ training  support-bot-training  closed",
        "├─ gates",
        "│  └─ inference  10.0.0.1:8443  spiffe://a",
        "├─ conditions",
        "│  ├─ Ready  False  Because  60m ago",
        "│  │  └─ one certificate is missing",
        "│  ├─ Reconciling  True  Because  60m ago",
        "│  ├─ Stalled  False  Because  60m ago",
        "│  └─ ZonesIsolated  True  Because  60m ago",
        "├─ certificates",
        "│  ├─ a/b  24h left (2026-06-16T12:00:00Z)",
        "│  ├─ a/c  not issued",
        "│  ├─ a/d  expired 2h ago",
        "│  └─ a/e  119m left (2026-06-15T13:59:59Z), renewal is overdue",
        "├─ exceptions",
        "│  └─ ZT-17  expired 2026-01-01  lab",
        "├─ controls",
        "│  ├─ Unknown  ZT-02",
        "│  └─ True  ZT-01 ZT-03",
        "└─ last drift repaired 30s ago: NetworkPolicy a/b was deleted",
    ]


def test_a_resource_that_nobody_has_seen() -> None:
    lines = [line.plain for line in tree.lines(example(), NOW)]
    assert lines == ["support-bot  Pending", "└─ the operator has not seen it yet: is it running?"]


def test_status_of_one_and_of_all(api: type[Api]) -> None:
    api.answer = (200, json.dumps(observed()).encode())
    assert run("status", "support-bot").startswith("support-bot  Progressing")
    assert json.loads(run("status", "support-bot", "-o", "json"))["status"] == observed()["status"]
    assert yaml.safe_load(run("status", "support-bot", "-o", "yaml"))["name"] == "support-bot"
    assert run("map", "support-bot") == run("map", SUPPORT_BOT)
    other = observed()
    other["metadata"]["name"] = "another"
    api.answer = (200, json.dumps({"items": [observed(), other]}).encode())
    titles = [line for line in run("status").splitlines() if "Progressing" in line]
    assert [title.split()[0] for title in titles] == ["another", "support-bot"]
    api.answer = (200, b'{"items": []}')
    assert run("status") == "There is no LLMDeployment in this cluster.\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, b"{}"), "does not know you (401): sign in again"),
        ((403, b"{}"), "you may not read llmdeployments.cloister.dev (403)"),
        ((404, b"404 page not found\n"), "Cloister is not installed there"),
        ((404, b'{"message": "not found"}'), "has no llmdeployments 'x'"),
        ((500, b'{"message": "etcd is away"}'), "answered 500: etcd is away"),
        ((502, b"<html>"), "answered 502: no reason given"),
    ],
)
def test_what_the_api_server_says_is_explained(api: type[Api], answer: tuple[int, bytes], message: str) -> None:
    api.answer = answer
    for command in ("status", "map"):
        assert message in run(command, "x", code=2)


def test_a_cluster_that_knows_nobody_is_not_checked(api: type[Api]) -> None:
    api.answer = (401, b"{}")
    assert "does not know you (401): sign in again" in run("check", code=2)


def test_a_cluster_that_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_kubeconfig(monkeypatch, tmp_path, "http://127.0.0.1:1")
    for command in ("status", "check"):
        message = run(command, code=2)
        assert message.startswith("error: http://127.0.0.1:1: can't be reached: ")
        assert "refused" in message
        assert "is this the right context?" in message


def test_a_kubeconfig_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "error: kubeconfig: Invalid kube-config file" in run("status", code=2)
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    for text in ("a: [", "[]", "clusters: 7\ncurrent-context: a\ncontexts: x\nusers: 1"):
        path.write_text(text)
        assert run("status", code=2).startswith("error: kubeconfig: ")
    write_kubeconfig(monkeypatch, tmp_path, "http://127.0.0.1:1")
    assert "absent" in run("status", "--context", "absent", code=2)


# The stores' keys


KEYRINGS = [
    {
        "store": "checkpoints",
        "secret": "keyring-checkpoints",
        "current": 2,
        "old": [1],
        "created": "2026-06-01T00:00:00Z",
    },
    {"store": "training-data", "secret": "from-vault"},
]


@pytest.fixture
def keyed(api: type[Api]) -> type[Api]:
    raw = observed()
    raw["status"]["keyrings"] = KEYRINGS
    api.answer = (200, json.dumps(raw).encode())
    return api


@pytest.mark.usefixtures("keyed")
def test_keys_are_listed_by_version() -> None:
    lines = [line.split() for line in run("keys", "list", "support-bot").splitlines()]
    assert lines == [
        ["STORE", "KEY", "CREATED", "OLD", "SECRET"],
        ["checkpoints", "2", "2026-06-01T00:00:00Z", "1", "keyring-checkpoints"],
        ["training-data", "-", "-", "-", "from-vault"],
    ]
    assert json.loads(run("keys", "list", "support-bot", "-o", "json")) == KEYRINGS


def test_a_new_key_is_asked_for_by_an_annotation(keyed: type[Api]) -> None:
    asked = json.loads(run("keys", "rotate", "support-bot", "checkpoints", "-o", "json"))["asked"]
    content_type, body = keyed.patched
    assert content_type == "application/merge-patch+json"
    assert body == {"metadata": {"annotations": {"cloister.dev/rotate-checkpoints": asked}}}
    assert dt.datetime.fromisoformat(asked).tzinfo


def test_a_keyring_of_somebody_else_is_not_turned(keyed: type[Api]) -> None:
    keyed.patched = ("", None)
    assert "Secret from-vault, which something else fills" in run(
        "keys", "rotate", "support-bot", "training-data", code=2
    )
    assert keyed.patched[1] is None
    assert "Error: " in run("keys", "rotate", "support-bot", "no-store", code=2)


def test_a_store_elsewhere_is_not_turned(keyed: type[Api]) -> None:
    edit = edited(observed())
    for path, value in backed("trainingData").items():
        edit.set(path, value)
    keyed.answer, keyed.patched = (200, json.dumps(edit.raw).encode()), ("", None)
    said = run("keys", "rotate", "support-bot", "training-data", code=2)
    assert "lies in an object store (spec.storage.trainingData.backend)" in said
    assert keyed.patched[1] is None


# The rest


def test_version() -> None:
    assert run("version") == f"cloister {cloister.__version__}\n"


def test_help_names_every_command() -> None:
    output = run("--help")
    assert all(f"  {name} " in output for name in ("run", "render", "lint", "map", "status", "version"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["map"],
        ["lint", "--no-such"],
        ["render", MINIMAL, "-o", "x"],
        ["sign", MINIMAL, "--key", MINIMAL, "-o", "x"],
        ["audit", "verify", MINIMAL, "-o", "x"],
        ["audit", "search", MINIMAL, "--key", MINIMAL, "-o", "x"],
        ["audit", "stats", MINIMAL, "--key", MINIMAL, "-o", "x"],
    ],
)
def test_wrong_usage_is_explained(arguments: list[str]) -> None:
    assert "Error: " in run(*arguments, code=2)


@pytest.mark.parametrize(
    ("script", "shown"),
    [("/usr/bin/cloister", "Usage: cloister "), ("/usr/bin/kubectl-cloister", "Usage: kubectl cloister ")],
)
def test_it_is_a_plugin_of_kubectl_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str, shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_a_plugin_leaves_the_completion_of_kubectl_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-cloister", option])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "No such option" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert option in run("--help")


def test_data_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloister.cli.data.find_spec", lambda _: None)
    said = run("data", "ls", "checkpoints/", "--deployment", "a", code=2)
    assert "install boto3 beside cloister" in said
    assert "cloister[" not in said


def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed() -> str:
        out = io.StringIO()
        terminal = Console(file=out, force_terminal=True, highlight=False)
        for line in tree.lines(observed(), NOW):
            terminal.print(line)
        return out.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed()
    assert "\x1b" not in run("lint", MINIMAL)


def test_lines_are_never_wrapped_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = run("map", SUPPORT_BOT)
    monkeypatch.setenv("COLUMNS", "20")
    assert run("map", SUPPORT_BOT) == wide


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("y", True),
        ("N", False),
        ("1e3", 1000.0),
        (".5E-1", 0.05),
        ("yes", True),
        ("'y'", "y"),
        ("ny", "ny"),
        ("1e", "1e"),
    ],
)
def test_words_and_numbers_are_read_as_kubectl_reads_them(tmp_path: Path, written: str, value: object) -> None:
    """Else `lint` is content with what `kubectl apply` refuses."""
    file = tmp_path / "a.yaml"
    file.write_text(f"apiVersion: cloister.dev/v1alpha1\nkind: LLMDeployment\nspec: {{a: {written}}}\n")
    (document,) = read(str(file))
    assert document.raw["spec"] == {"a": value}
