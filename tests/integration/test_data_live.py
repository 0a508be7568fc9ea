"""`cloister data` as a declared client runs it: real TLS, a real gate, and an S3 server behind it."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner, Result

from cloister import cli, names, sidecar
from cloister.facts import Facts
from cloister.render.gate import gate_files
from cloister.zones import GATE_PORT, STORES, Component
from tests.gate.identities import Authority
from tests.gate.objects import Objects, on_port, on_socket
from tests.gate.running import mounted_gate, running, until
from tests.gate.specs import deployment, example

CA = Authority()
DEPLOYMENT = deployment(example("support-bot"))
STORE = Component.CHECKPOINTS
HOST = names.service_host("support-bot", STORE)
MIB = 1 << 20
COMMAND = str(Path(sys.executable).with_name("cloister"))
BIG = bytes(range(256)) * (20 * MIB // 256)


def spiffe(namespace: str, account: str) -> str:
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


READER, WRITER = spiffe("release", "evaluator"), spiffe("etl", "ingest")


def identity(folder: Path, name: str = READER, authority: Authority = CA, *, expired: bool = False) -> Path:
    """A Secret of cert-manager, as it is mounted."""
    leaf = authority.issue(name, expired=expired)
    folder.mkdir(exist_ok=True)
    for file, text in {"tls.crt": leaf.chain, "tls.key": leaf.key, "ca.crt": CA.pem}.items():
        (folder / file).write_text(text)
    return folder


@dataclass
class Client:
    """Runs commands against one endpoint."""

    objects: Objects
    port: int
    identity: Path

    def arguments(self, *arguments: object, port: int | None = None, identity: Path | None = None) -> list[str]:
        where = ["--endpoint", f"https://127.0.0.1:{port or self.port}", "--identity", str(identity or self.identity)]
        return ["data", *map(str, arguments), "--deployment", "support-bot", *where]

    def run(
        self,
        *arguments: object,
        code: int = 0,
        stdin: bytes | None = None,
        port: int | None = None,
        identity: Path | None = None,
    ) -> Result:
        result = CliRunner().invoke(cli.app, self.arguments(*arguments, port=port, identity=identity), input=stdin)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        assert "Traceback" not in result.output
        assert code or not result.stderr, result.stderr
        return result

    def fails(self, *arguments: object, port: int | None = None, identity: Path | None = None) -> str:
        """What a refused command says, in its one line."""
        result = self.run(*arguments, code=2, port=port, identity=identity)
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("error: ")
        return result.stderr


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fetched by its own name lands where the command runs: not in this repository, nor beside another test."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Client]:
    """The store without a gate: mutual TLS and S3 with all its verbs."""
    hosts = tuple(names.service_host("support-bot", store) for store in STORES)
    with on_port(CA.issue(spiffe("storage", "x"), hosts=hosts), CA.pem, tmp_path) as (objects, port):
        yield Client(objects, port, identity(tmp_path / "identity"))


@pytest.fixture(scope="module")
def gates() -> Iterator[dict[Component, tuple[Objects, int]]]:
    """Two stores behind their gates, as rendered."""
    with ExitStack() as stack:
        found = {}
        for store in (Component.TRAINING_DATA, Component.CHECKPOINTS):
            mounted = stack.enter_context(mounted_gate())
            own = spiffe(names.namespace("support-bot", store.zone), str(store))
            leaf = CA.issue(own, hosts=(names.service_host("support-bot", store),))
            mounted.identify(leaf.chain, leaf.key)
            mounted.trust(CA.pem)
            mounted.configure(gate_files(DEPLOYMENT, store, Facts()))
            gate = stack.enter_context(running(mounted))
            objects = stack.enter_context(on_socket(mounted.path(sidecar.AUDITOR_SOCKET)))
            found[store] = objects, mounted.ports[GATE_PORT]
            assert gate.health() == 200
        yield found


@pytest.fixture
def reader(gates: dict[Component, tuple[Objects, int]], tmp_path: Path) -> Client:
    return Client(*gates[Component.CHECKPOINTS], identity(tmp_path / "reader", READER))


@pytest.fixture
def writer(gates: dict[Component, tuple[Objects, int]], tmp_path: Path) -> Client:
    return Client(*gates[Component.TRAINING_DATA], identity(tmp_path / "writer", WRITER))


class TestGates:
    """Through Envoy with the configuration that the operator renders."""

    def test_a_writer_puts(self, writer: Client, tmp_path: Path) -> None:
        file = tmp_path / "a b+ü#?&='\".jsonl"
        file.write_bytes(b"a line\n" * 1000)
        done = writer.run("put", file, "training-data/corpora/support/")
        assert done.stdout == f"training-data/corpora/support/{file.name}\n"
        assert writer.objects.get(f"/training-data/corpora/support/{quote(file.name)}") == file.read_bytes()
        assert writer.objects.seen[-1].authorization is None

    def test_a_reader_gets(self, reader: Client, tmp_path: Path) -> None:
        reader.objects.put("/checkpoints/support-bot/model.gguf", b"weights")
        out = tmp_path / "here"
        assert reader.run("get", "checkpoints/support-bot/model.gguf", "-o", out).stdout == f"{out}\n"
        assert out.read_bytes() == b"weights"

    def test_an_interrupted_get_goes_on(self, reader: Client, tmp_path: Path) -> None:
        reader.objects.put("/checkpoints/support-bot/big", BIG)
        reader.objects.cuts = [3 * MIB]
        before = len(reader.objects.seen)
        reader.run("get", "checkpoints/support-bot/big", "-o", tmp_path / "big")
        assert (tmp_path / "big").read_bytes() == BIG
        (first, second) = reader.objects.seen[before:]
        assert first.range is None
        assert second.range is not None
        assert second.if_match is not None

    @pytest.mark.parametrize("key", ["other/x", "support-bot-2/x"])
    def test_outside_its_prefix(self, reader: Client, key: str) -> None:
        said = reader.fails("get", f"checkpoints/{key}")
        assert said.startswith(f"error: checkpoints/{key}: access denied")
        assert READER in said
        assert "spec.storage.checkpoints.readers" in said

    def test_a_writer_does_not_read(self, writer: Client, tmp_path: Path) -> None:
        assert "may not read" in writer.fails("get", "training-data/corpora/x", "-o", tmp_path / "x")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["writer"], "nothing is left behind"
        assert "may not write" in writer.fails("put", __file__, "training-data/private/x")

    def test_a_stranger(self, reader: Client, tmp_path: Path) -> None:
        stranger = identity(tmp_path / "stranger", spiffe("web", "frontend"))
        said = reader.fails("get", "checkpoints/support-bot/x", identity=stranger)
        assert spiffe("web", "frontend") in said
        assert "does not admit" in said or "closed the connection" in said

    def test_a_certificate_of_another_authority(self, reader: Client, tmp_path: Path) -> None:
        before = len(reader.objects.seen)
        forged = identity(tmp_path / "forged", READER, Authority())
        said = reader.fails("get", "checkpoints/support-bot/x", identity=forged)
        assert "does not admit" in said or "closed the connection" in said
        assert len(reader.objects.seen) == before

    def test_no_data_for_another_store_in_its_place(self, writer: Client, reader: Client) -> None:
        """A sibling with a certificate of the same authority."""
        before = len(reader.objects.seen)
        said = writer.fails("put", __file__, "training-data/corpora/x", port=reader.port)
        assert "is not training-data.support-bot-storage.svc" in said
        assert len(reader.objects.seen) == before

    def test_no_data_for_a_server_of_another_authority(self, reader: Client, tmp_path: Path) -> None:
        other = identity(tmp_path / "other")
        (other / "ca.crt").write_text(Authority().pem)
        assert f"is not {HOST}" in reader.fails("get", "checkpoints/support-bot/x", identity=other)


class TestPut:
    """What goes into a store."""

    def test_large_files_go_in_parts(self, direct: Client, tmp_path: Path) -> None:
        file = tmp_path / "big"
        file.write_bytes(BIG * 2)
        direct.run("put", file, "checkpoints/support-bot/renamed")
        assert direct.objects.get("/checkpoints/support-bot/renamed") == file.read_bytes()
        assert sum("partNumber" in query.target for query in direct.objects.seen) == 2

    @pytest.mark.parametrize("data", [b"", b"from a pipe", BIG * 2], ids=["empty", "small", "parts"])
    def test_standard_input(self, direct: Client, data: bytes) -> None:
        direct.run("put", "-", "checkpoints/support-bot/piped", stdin=data)
        assert direct.objects.get("/checkpoints/support-bot/piped") == data

    def test_folders(self, direct: Client, tmp_path: Path) -> None:
        """As `cp -r` names them."""
        (tmp_path / "corpus" / "deep").mkdir(parents=True)
        (tmp_path / "corpus" / "a.txt").write_text("a")
        (tmp_path / "corpus" / "deep" / "b.txt").write_text("b")
        done = direct.run("put", "-r", tmp_path / "corpus", "training-data/x/")
        assert done.stdout == "training-data/x/corpus/a.txt\ntraining-data/x/corpus/deep/b.txt\n"
        done = direct.run("put", "-r", f"{tmp_path}/corpus/.", "training-data/y/")
        assert done.stdout == "training-data/y/a.txt\ntraining-data/y/deep/b.txt\n"
        assert direct.objects.get("/training-data/y/deep/b.txt") == b"b"

    def test_a_busy_store_is_asked_again(self, direct: Client) -> None:
        direct.objects.busy = 1
        direct.run("put", __file__, "checkpoints/x")
        assert direct.objects.get("/checkpoints/x") == Path(__file__).read_bytes()

    def test_a_store_that_stays_busy(self, direct: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cloister.cli.data.client.ATTEMPTS", 2)
        direct.objects.busy = 2
        assert "is busy or starting (Please reduce your request rate.)" in direct.fails(
            "put", __file__, "checkpoints/x"
        )

    def test_nothing_of_aws_is_read(self, direct: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither other places, nor names, nor keys."""
        config = tmp_path / "config"
        config.write_text("[profile x]\nendpoint_url = http://127.0.0.1:9\ns3 =\n  use_accelerate_endpoint = true\n")
        elsewhere = "http://127.0.0.1:9"
        for name, value in {
            "AWS_PROFILE": "absent",
            "AWS_CONFIG_FILE": str(config),
            "AWS_ENDPOINT_URL_S3": elsewhere,
            "AWS_CA_BUNDLE": "/absent",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_USE_FIPS_ENDPOINT": "true",
            "HTTPS_PROXY": elsewhere,
            "ALL_PROXY": elsewhere,
            "REQUESTS_CA_BUNDLE": "/absent",
        }.items():
            monkeypatch.setenv(name, value)
        direct.run("put", __file__, "checkpoints/x")
        assert direct.objects.seen[-1].authorization is None


class TestLs:
    """What lies in a store."""

    def test_folders_and_objects(self, direct: Client) -> None:
        for key in ("a/1", "a/2", "b", "%C3%BC%20%2B%26"):
            direct.objects.put(f"/checkpoints/{key}", b"x" * 1500)
        header, *rows = direct.run("ls", "checkpoints").stdout.splitlines()
        assert header.split() == ["SIZE", "MODIFIED", "KEY"]
        assert [row.split("   ")[-1].strip() for row in rows] == ["a/", "b", "ü +&"]
        assert rows[1].startswith("1.5 kB ")

    def test_json(self, direct: Client) -> None:
        direct.objects.put("/checkpoints/a/b/1", b"one")
        direct.objects.put("/checkpoints/a/2", b"two")
        found = json.loads(direct.run("ls", "checkpoints/a/", "-o", "json").stdout)
        modified = found["objects"][0].pop("modified")
        assert len(modified) == len("2026-01-01T00:00:00Z")
        etag = "b8a9f715dbb64fd5c56e7783c6820a61"
        assert found == {
            "store": "checkpoints",
            "prefix": "a/",
            "folders": ["a/b/"],
            "objects": [{"key": "a/2", "size": 3, "etag": etag}],
        }
        everything = json.loads(direct.run("ls", "-r", "checkpoints", "-o", "json").stdout)
        assert [one["key"] for one in everything["objects"]] == ["a/2", "a/b/1"]
        assert everything["folders"] == []

    def test_many_pages(self, direct: Client) -> None:
        for number in range(1001):
            direct.objects.put(f"/checkpoints/{number:04}", b"")
        found = json.loads(direct.run("ls", "checkpoints", "-o", "json").stdout)
        assert [one["key"] for one in found["objects"]] == [f"{number:04}" for number in range(1001)]
        assert sum("continuation-token" in query.target for query in direct.objects.seen) == 1

    def test_nothing(self, direct: Client) -> None:
        assert direct.run("ls", "checkpoints/x").stdout == "There is nothing below checkpoints/x.\n"
        assert json.loads(direct.run("ls", "checkpoints/x", "-o", "json").stdout)["objects"] == []

    def test_keys_move_no_cursor(self, direct: Client) -> None:
        direct.objects.put("/checkpoints/%1B%5B2J", b"")
        assert "\x1b" not in (said := direct.run("ls", "checkpoints").stdout)
        assert r"\x1b[2J" in said


class TestGet:
    """What comes out of a store."""

    def test_where_it_goes(self, direct: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        direct.objects.put("/checkpoints/a/x.bin", b"data")
        monkeypatch.chdir(tmp_path)
        assert direct.run("get", "checkpoints/a/x.bin").stdout == "x.bin\n"
        (tmp_path / "folder").mkdir()
        direct.run("get", "checkpoints/a/x.bin", "-o", "folder")
        assert (tmp_path / "x.bin").read_bytes() == (tmp_path / "folder" / "x.bin").read_bytes() == b"data"
        assert direct.run("get", "checkpoints/a/x.bin", "-o", "-").stdout_bytes == b"data"

    def test_what_was_there_stays_until_the_end(self, direct: Client, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("old")
        assert "no such object" in direct.fails("get", "checkpoints/x", "-o", tmp_path / "x")
        assert (tmp_path / "x").read_text() == "old"
        direct.objects.put("/checkpoints/x", b"new")
        direct.run("get", "checkpoints/x", "-o", tmp_path / "x")
        assert (tmp_path / "x").read_text() == "new"
        assert not list(tmp_path.glob(".cloister-*"))

    @pytest.mark.parametrize("out", ["file", "-"])
    def test_a_bad_line(self, direct: Client, tmp_path: Path, out: str) -> None:
        """Cut three times, once without any progress."""
        direct.objects.put("/checkpoints/big", BIG)
        direct.objects.cuts = [5 * MIB, 0, 7 * MIB + 1]
        where = out if out == "-" else tmp_path / out
        done = direct.run("get", "checkpoints/big", "-o", where)
        assert (done.stdout_bytes if out == "-" else (tmp_path / out).read_bytes()) == BIG
        assert [query.range is None for query in direct.objects.seen] == [True, False, False, False]

    @pytest.mark.parametrize(("out", "left"), [("file", "nothing is kept"), ("-", "what was printed is worthless")])
    def test_a_wrong_checksum(self, direct: Client, tmp_path: Path, out: str, left: str) -> None:
        direct.objects.put("/checkpoints/x", b"data")
        direct.objects.wrong_sums = 1
        said = direct.fails("get", "checkpoints/x", "-o", out if out == "-" else tmp_path / out)
        assert "another checksum than it was stored with" in said
        assert said.rstrip().endswith(left)
        assert not (tmp_path / out).exists()

    @pytest.mark.parametrize("out", ["file", "-"])
    def test_a_bad_line_to_a_store_that_names_no_version(self, direct: Client, tmp_path: Path, out: str) -> None:
        """A file is begun anew; what was printed can't be."""
        direct.objects.put("/checkpoints/big", BIG)
        direct.objects.cuts, direct.objects.unversioned = [5 * MIB], 2
        if out == "-":
            said = direct.fails("get", "checkpoints/big", "-o", "-")
            assert "was interrupted, and the store names no version to go on with" in said
            assert said.rstrip().endswith("what was printed is worthless")
        else:
            direct.run("get", "checkpoints/big", "-o", tmp_path / out)
            assert (tmp_path / out).read_bytes() == BIG

    def test_a_line_that_stays_bad(self, direct: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cloister.cli.data.download.ATTEMPTS", 1)
        direct.objects.put("/checkpoints/big", BIG)
        direct.objects.cuts = [5 * MIB]
        said = direct.fails("get", "checkpoints/big", "-o", tmp_path / "big")
        assert "was interrupted" in said
        assert "the same command goes on from there" in said
        assert not (tmp_path / "big").exists()
        direct.run("get", "checkpoints/big", "-o", tmp_path / "big")
        assert (tmp_path / "big").read_bytes() == BIG
        assert direct.objects.seen[-1].range is not None

    def test_killed_and_started_again(self, direct: Client, tmp_path: Path) -> None:
        direct.objects.put("/checkpoints/big", BIG)
        direct.objects.cuts, direct.objects.stall = [6 * MIB], threading.Event()
        out = tmp_path / "out" / "big"
        out.parent.mkdir()
        command = [COMMAND, *direct.arguments("get", "checkpoints/big", "-o", out)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            until(lambda: any(path.stat().st_size >= 5 * MIB for path in out.parent.glob("*.partial")), "some bytes")
            assert "another process" in direct.fails("get", "checkpoints/big", "-o", out)
            process.send_signal(signal.SIGKILL)
        direct.objects.stall.set()
        assert not out.exists()
        direct.run("get", "checkpoints/big", "-o", out)
        assert out.read_bytes() == BIG
        assert [path.name for path in out.parent.iterdir()] == ["big"]
        assert direct.objects.seen[-1].range is not None

    def test_never_of_two_versions(self, direct: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cloister.cli.data.download.ATTEMPTS", 1)
        direct.objects.put("/checkpoints/big", BIG)
        direct.objects.cuts = [5 * MIB]
        direct.fails("get", "checkpoints/big", "-o", tmp_path / "big")
        direct.objects.put("/checkpoints/big", changed := BIG[::-1])
        direct.run("get", "checkpoints/big", "-o", tmp_path / "big")
        assert (tmp_path / "big").read_bytes() == changed

    def test_a_prefix(self, direct: Client, tmp_path: Path) -> None:
        for key in ("run/1/a", "run/1/deep/b", "run/2", "run/empty/"):
            direct.objects.put(f"/checkpoints/{key}", key.encode() if key[-1] != "/" else b"")
        done = direct.run("get", "-r", "checkpoints/run/", "-o", tmp_path / "out")
        assert done.stdout.splitlines() == [f"{tmp_path}/out/{name}" for name in ("1/a", "1/deep/b", "2")]
        assert (tmp_path / "out" / "1" / "deep" / "b").read_bytes() == b"run/1/deep/b"
        assert "there is nothing below it" in direct.fails("get", "-r", "checkpoints/none/", "-o", tmp_path / "none")

    @pytest.mark.parametrize("key", ["x/../../escaped", "x/..", "x/./a", "x//etc/escaped", "x/a%00b"])
    def test_no_key_leaves_the_folder(self, direct: Client, tmp_path: Path, key: str) -> None:
        """Keys that others wrote with other clients. Not one object is fetched."""
        direct.objects.put("/checkpoints/x/good", b"x")
        direct.objects.put("/checkpoints/" + key.replace("../", "%2e%2e/"), b"bad")
        listed = json.loads(direct.run("ls", "-r", "checkpoints", "-o", "json").stdout)["objects"]
        assert len(listed) == 2
        (tmp_path / "in").mkdir()
        assert "makes no path below" in direct.fails("get", "-r", "checkpoints/x/", "-o", tmp_path / "in" / "out")
        assert not list((tmp_path / "in").iterdir())

    def test_no_link_leads_out_of_the_folder(self, direct: Client, tmp_path: Path) -> None:
        direct.objects.put("/checkpoints/x/link/a", b"x")
        (tmp_path / "outside").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "link").symlink_to(tmp_path / "outside")
        assert "leads out of" in direct.fails("get", "-r", "checkpoints/x/", "-o", tmp_path / "out")
        assert not list((tmp_path / "outside").iterdir())

    def test_file_and_folder_at_once(self, direct: Client, tmp_path: Path) -> None:
        direct.objects.put("/checkpoints/x/a", b"x")
        direct.objects.put("/checkpoints/x/a/b", b"x")
        assert "can't be file and folder" in direct.fails("get", "-r", "checkpoints/x/", "-o", tmp_path / "out")

    def test_progress_on_a_terminal(self, direct: Client, tmp_path: Path) -> None:
        """A bar on standard error, and not a byte of it on standard output."""
        direct.objects.put("/checkpoints/big", BIG)
        ours, theirs = pty.openpty()
        said = bytearray()

        def listen() -> None:
            try:
                while data := os.read(ours, 4096):
                    said.extend(data)
            except OSError:
                return  # Linux, when the other side is closed

        command = [COMMAND, *direct.arguments("get", "checkpoints/big", "-o", "-")]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        thread = threading.Thread(target=listen)
        thread.start()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True, timeout=120)
        os.close(theirs)
        thread.join()
        os.close(ours)
        assert done.stdout == BIG
        assert b"checkpoints/big" in said
        assert b"MB" in said


def test_an_intermediate_authority_is_trusted_in_its_own_right(tmp_path: Path) -> None:
    """`issuerRef`: the bundle has the deployment's CA and not the root above it."""
    below = Authority("deployment", parent=Authority("root"))
    server = below.issue(spiffe("storage", "x"), hosts=(HOST,))
    own = identity(tmp_path / "identity", READER, below)
    (own / "ca.crt").write_text(below.pem)
    with on_port(server, below.pem, tmp_path) as (objects, port):
        objects.put("/checkpoints/x", b"data")
        assert Client(objects, port, own).run("get", "checkpoints/x", "-o", "-").stdout_bytes == b"data"


def test_a_store_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloister.cli.data.client.ATTEMPTS", 1)
    own = identity(tmp_path / "identity")
    arguments = ["data", "ls", "checkpoints", "--deployment", "absent", "--identity", str(own)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 2
    assert "https://checkpoints.absent-storage.svc:8443: can't be reached" in result.stderr
    assert "spec.storage.checkpoints" in result.stderr
