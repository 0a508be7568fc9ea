"""`cloister keys` and `cloister audit`, as a person at a terminal uses them."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloister import cli
from cloister.journal import JournalWriter, encode, timestamp
from cloister.sealing import Kind, generate, parse_public, write_secret

KEY = generate(Kind.X25519)


def run(*arguments: object, code: int = 0) -> str:
    """Output of a command that ends with this code."""
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result.stderr if code == 2 else result.stdout


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file."""
    path = tmp_path / "auditor.key"
    write_secret(path, KEY)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with two exchanges."""
    path = tmp_path / "journal"
    with JournalWriter(path, identity="spiffe://a/b", recipients=[KEY.public]) as writer:
        for number, user in enumerate(("ada", "bob")):
            asked = {"type": "request", "time": timestamp(number), "exchange": f"e{number}", "user.id": user}
            said = {"type": "reply", "time": timestamp(number), "exchange": f"e{number}", "outcome": "complete"}
            writer.append([encode(asked | {"content": f"question {number}"}), encode(said | {"content": "answer"})])
        (tmp_path / "log").write_text(json.dumps({"checkpoint": writer.head().note}))
    return path


def test_a_key_pair(tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    public = run("keys", "generate", "--out", path).strip()
    assert public.startswith("cloister-pub-mlkem768x25519:")
    assert str(parse_public(public)) == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("keys", "public", path).strip() == public
    before = path.read_bytes()
    assert "never overwritten" in run("keys", "generate", "--out", path, code=2)
    assert path.read_bytes() == before


def test_verify(journal: Path, key: Path, tmp_path: Path) -> None:
    assert "4 records (4 opened), 0 findings" in run("audit", "verify", journal, "--key", key)
    assert "--anchor" in run("audit", "verify", journal)
    assert "--anchor" not in run("audit", "verify", journal, "--anchor", tmp_path / "log")
    (segment,) = journal.rglob("*.sealed")
    segment.write_bytes(segment.read_bytes()[:-3])
    found = json.loads(run("audit", "verify", journal, "-o", "json", code=1))
    assert found["findings"][0]["where"] == str(segment)


def test_decrypt_and_tail(journal: Path, key: Path) -> None:
    lines = [json.loads(line) for line in run("audit", "decrypt", journal, "--key", key).splitlines()]
    assert [line["seq"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["record"]["content"] == "question 0"
    assert len(run("audit", "tail", journal, "--key", key, "-n", 1).splitlines()) == 1
    assert len(run("audit", "tail", journal, "--key", key, "-n", 9).splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], 4),
        (["--user", "ada"], 2),
        (["--user", "ada", "--type", "reply"], 1),
        (["--text", "question"], 2),
        (["--since", "1970-01-01T00:00:01"], 2),
        (["--until", "1970-01-01T00:00:01"], 2),
        (["--user", "eve"], 0),
    ],
)
def test_search(journal: Path, key: Path, arguments: list[str], found: int) -> None:
    assert len(run("audit", "search", journal, "--key", key, "-o", "json", *arguments).splitlines()) == found
    assert len(run("audit", "search", journal, "--key", key, *arguments).splitlines()) == found + 1


def test_what_can_t_be_used(journal: Path, key: Path, tmp_path: Path) -> None:
    assert "no such file" in run("audit", "verify", tmp_path / "absent", code=2)
    write_secret(tmp_path / "other.key", generate(Kind.X25519))
    assert "none of the given keys opens it" in run(
        "audit", "decrypt", journal, "--key", tmp_path / "other.key", code=2
    )
    (tmp_path / "empty").write_text("# nothing")
    assert "holds no key" in run("audit", "decrypt", journal, "--key", tmp_path / "empty", code=2)
    assert "holds no checkpoint" in run("audit", "verify", journal, "--anchor", tmp_path / "empty", code=2)


def test_stats(tmp_path: Path, key: Path) -> None:
    path = tmp_path / "journal"
    ada: dict[str, object] = {"user.id": "ada", "peer": "spiffe://cluster.local/ns/web/sa/bff", "api": "chat"}
    late = 86400.0
    injection = {"kind": "prompt-injection", "rule": "r", "score": 900, "where": "messages[0]", "action": "Flag"}
    asked = ada | {"gen_ai.request.model": "small"}
    whole = {"type": "reply", "outcome": "complete", "status": 200}
    tokens = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 9}
    records: list[tuple[float, dict[str, object]]] = [
        (1, {"type": "request", "exchange": "a", "verdicts": [injection]} | asked),
        (2, {"type": "reply.part", "exchange": "a", "part": 0}),
        (3, whole | {"exchange": "a", "duration_us": 1_500_000}),
        (4, {"type": "request", "exchange": "b"} | asked),
        (5, whole | {"exchange": "b", "duration_us": 2_500_000} | tokens),
        (6, {"type": "refusal", "exchange": "c", "status": 403, "code": "api_not_approved"} | ada),
        (7, {"type": "alert", "code": "behaviour.flag", "severity": "warning", "message": "m"} | ada),
        (late - 1, {"type": "request", "exchange": "d"} | asked),
        (late + 1, {"type": "reply", "exchange": "d", "outcome": "failed", "code": "upstream_failed"}),
        (late + 2, {"type": "query", "exchange": "q", "peer": "spiffe://c/ns/etl/sa/in", "bucket": "training-data"}),
        (late + 3, {"type": "result", "exchange": "q", "outcome": "complete", "status": 200, "duration_us": 1000}),
        (late + 4, whole | {"exchange": "unknown"}),
    ]
    with JournalWriter(path, identity="spiffe://a/b", recipients=[KEY.public]) as writer:
        writer.append([encode({"time": timestamp(at)} | record) for at, record in records])
    found = json.loads(run("audit", "stats", path, "--key", key, "-o", "json", "--by", "day,caller,api"))
    assert [(row["day"], row["caller"], row["api"]) for row in found] == [
        ("1970-01-01", "web/bff", "chat"),
        ("1970-01-02", "", ""),
        ("1970-01-02", "etl/in", "training-data"),
    ]
    assert {name: value for name, value in found[0].items() if name not in ("day", "caller", "api")} == {
        "requests": 4,
        "answered": 2,
        "refused": {"api_not_approved": 1},
        "failed": 1,
        "tokens": {"input": 7, "output": 9},
        "seconds": {"p50": 2.0, "p95": pytest.approx(2.45)},
        "findings": {"prompt-injection": 1},
        "alerts": {"behaviour.flag": 1},
    }
    text = run("audit", "stats", path, "--key", key, "--by", "user,model", "--until", "1970-01-01T00:00:06")
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["ada", "small", "2", "2", "0", "0", "7", "9", "2000", "2450", "prompt-injection:1"]
    ]
    assert "weekday is not among day" in run("audit", "stats", path, "--key", key, "--by", "weekday", code=2)
