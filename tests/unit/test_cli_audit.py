"""`cloister keys` and `cloister audit`, as a person at a terminal uses them."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloister import cli
from cloister.journal import JournalError, JournalWriter, encode, removable_segments, timestamp
from cloister.journal.follower import Follower
from cloister.journal.reader import read_journal
from cloister.journal.segment import Frame, open_frame
from cloister.journal.verify import verify
from cloister.journal.writer import MAX_AGE_S
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


def test_a_secret_key_does_not_go_to_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "name one" in run("keys", "generate", "--out", "-", code=2)
    assert not list(tmp_path.iterdir())


def test_a_file_that_holds_no_key_is_told_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("kind: LLMDeployment\n")
    said = run("keys", "public", path, code=2)
    assert all(f"cloister-key-{kind}:" in said for kind in ("mlkem768x25519", "x25519", "ed25519"))


def test_verify(journal: Path, key: Path, tmp_path: Path) -> None:
    assert "4 records (4 opened), 0 findings" in run("audit", "verify", journal, "--key", key)
    assert "--anchor" in run("audit", "verify", journal)
    assert "--anchor" not in run("audit", "verify", journal, "--anchor", tmp_path / "log")
    (segment,) = journal.rglob("*.sealed")
    segment.write_bytes(segment.read_bytes()[:-3])
    found = json.loads(run("audit", "verify", journal, "-o", "json", code=1))
    assert found["findings"][0]["where"] == str(segment)


def test_verify_names_streams_and_where_they_begin(journal: Path, key: Path, tmp_path: Path) -> None:
    (stream,) = (path.name for path in journal.iterdir() if path.is_dir())
    printed = run("audit", "verify", journal, "--anchor", tmp_path / "log")
    assert f"a/b/{stream}: 1 segments, 4 records\n" in printed
    with JournalWriter(tmp_path / "other", identity="spiffe://a/c", recipients=[KEY.public], max_age_s=0) as writer:
        for at in range(3):
            say(writer, "one", at=at)
            writer.tick()
    other = writer.origin
    printed = run("audit", "verify", journal, tmp_path / "other", "--anchor", tmp_path / "log")
    assert f"{other}: 3 segments, 3 records, no anchor\n" in printed
    min((tmp_path / "other").rglob("*.sealed")).unlink()
    assert "--from-oldest" in run("audit", "verify", tmp_path / "other", code=1)
    printed = run("audit", "verify", tmp_path / "other", "--from-oldest")
    assert f"{other}: 2 segments, 2 records, which begin with segment 1, record 1, of " in printed
    found = json.loads(run("audit", "verify", tmp_path / "other", "--from-oldest", "-o", "json"))
    assert found["streams"][other]["begins"]["segment"] == 1


def test_decrypt_and_tail(journal: Path, key: Path) -> None:
    lines = [json.loads(line) for line in run("audit", "decrypt", journal, "--key", key).splitlines()]
    assert [line["seq"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["record"]["content"] == "question 0"
    assert len(run("audit", "tail", journal, "--key", key, "-n", 1).splitlines()) == 1
    assert len(run("audit", "tail", journal, "--key", key, "-n", 9).splitlines()) == 4


class Follow:
    """`cloister audit tail -f`; at each pause the next of these happens, and after the last the person leaves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, path: Path, key: Path, *meanwhile: Callable[[], object], lines: int = 10) -> list[str]:
        """What the records say that were printed."""
        acts = iter(meanwhile)

        def pause(_: float) -> None:
            try:
                act = next(acts)
            except StopIteration:
                raise KeyboardInterrupt from None
            act()

        self._monkeypatch.setattr("cloister.cli.audit.time.sleep", pause)
        printed = run("audit", "tail", path, "--key", key, "-n", lines, "-f", code=130)
        return [json.loads(line)["message"] for line in printed.splitlines()]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    """The command."""
    return Follow(monkeypatch)


def writer_in(path: Path, identity: str = "spiffe://a/b") -> JournalWriter:
    """A journal that nobody else writes."""
    return JournalWriter(path, identity=identity, recipients=[KEY.public])


def say(writer: JournalWriter, *messages: str, at: float = 0) -> None:
    """Records that say something, one frame."""
    alert = {"type": "alert", "code": "c", "severity": "info", "time": timestamp(at)}
    writer.append([encode(alert | {"message": message}) for message in messages])


def test_following_begins_with_the_first_record_of_an_empty_journal(tmp_path: Path, key: Path, follow: Follow) -> None:
    with writer_in(tmp_path / "journal") as writer:
        acts = (lambda: say(writer, "one"), lambda: None, lambda: say(writer, "two", "three"))
        assert follow(tmp_path / "journal", key, *acts, lines=0) == ["one", "two", "three"]


def test_following_goes_on_over_a_new_segment_and_over_old_ones_that_are_removed(
    tmp_path: Path, key: Path, follow: Follow
) -> None:
    path = tmp_path / "journal"

    def ship_and_remove() -> None:
        for segment in path.rglob("*.sealed"):
            segment.rename(segment.with_suffix(".shipped"))
        for segment in removable_segments(path):
            segment.unlink()
        say(writer, "five")

    with writer_in(path) as writer:
        say(writer, "one", "two", "three")

        def turn() -> None:
            writer.tick(now=time.time() + 2 * MAX_AGE_S)
            say(writer, "four")

        found = follow(path, key, turn, ship_and_remove, lines=1)
        assert list(path.rglob("*.sealed")) == []
    assert found == ["three", "four", "five"]


def test_the_newest_records_of_several_streams_are_so_by_time(tmp_path: Path, key: Path, follow: Follow) -> None:
    folder = tmp_path / "copies"
    with writer_in(folder / "1", "spiffe://a/first") as first, writer_in(folder / "2", "spiffe://a/second") as second:
        say(first, "late", at=9)
        say(second, "early", at=1)
        say(second, "later", at=10)

        def both() -> None:
            say(second, "second", at=12)
            say(first, "first", at=11)

        assert follow(folder, key, both, lines=2) == ["late", "later", "first", "second"]


def test_following_opens_nothing_twice(
    tmp_path: Path, key: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def counting(frame_key: bytes, header_hash: bytes, frame: Frame) -> list[bytes]:
        opened.append(frame.seq)
        return open_frame(frame_key, header_hash, frame)

    monkeypatch.setattr("cloister.journal.reader.open_frame", counting)
    with writer_in(tmp_path / "journal") as writer:
        say(writer, "one", "two")
        acts = (lambda: say(writer, "three"), lambda: None)
        assert follow(tmp_path / "journal", key, *acts) == ["one", "two", "three"]
    assert opened == [0, 2]


def test_a_segment_that_changes_its_name_while_it_is_read_is_read_by_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with writer_in(path) as writer:
        say(writer, "one")
    (sealed,) = path.rglob("*.sealed")
    before = [sealed.with_suffix(".open")]
    for module in ("follower", "reader", "verify"):
        monkeypatch.setattr(f"cloister.journal.{module}.segment_paths", lambda _: before)
    assert [line.seq for line in Follower(path, [KEY]).read()] == [0]
    assert [line.seq for line in read_journal([path], [KEY])] == [0]
    report = verify([path], [KEY])
    assert (report.segments, report.opened, report.findings) == (1, 1, [])


def test_a_segment_that_is_removed_while_it_is_read_is_no_longer_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with writer_in(path) as writer:
        say(writer, "one")
    listed = [[path / "gone.shipped"], list(path.rglob("*.sealed"))]
    monkeypatch.setattr("cloister.journal.follower.segment_paths", lambda _: listed.pop(0))
    assert [line.seq for line in Follower(path, [KEY]).read()] == [0]
    listed[:] = [[path / "gone.open"]] * 9
    with pytest.raises(JournalError, match=r"gone\.open: was removed"):
        Follower(path, [KEY]).read()
    with pytest.raises(JournalError, match=r"gone\.sealed: was removed"):
        list(read_journal([path / "gone.sealed"], [KEY]))


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


@pytest.mark.parametrize("command", ["verify", "decrypt", "search", "tail"])
def test_a_folder_that_can_t_be_read_is_no_empty_one(
    journal: Path, key: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """What lies in it would be vouched for unread."""
    hidden, scandir = str(journal), os.scandir

    def refused(path: Any = ".") -> Any:
        if str(path) == hidden:
            raise PermissionError(errno.EACCES, "Permission denied", hidden)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert "Permission denied" in run("audit", command, journal, "--key", key, code=2)


@pytest.mark.parametrize(
    "arguments",
    [("audit", "verify", "a" * 300), ("seal", "a" * 300, "--to", str(KEY.public)), ("audit", "tail", "a" * 300)],
)
def test_a_name_that_no_disk_has_is_an_ordinary_mistake(arguments: tuple[str, ...], key: Path) -> None:
    more = ("--key", key) if arguments[0] == "audit" else ()
    assert "file name too long" in run(*arguments, *more, code=2).lower()


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


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--since", "1970-01-01T00:00:10Z"], "abc"),
        (["--since", "1970-01-01T00:00:10.5Z"], "bc"),
        (["--since", "1970-01-01T01:00:11+01:00"], "c"),
        (["--until", "1970-01-01T00:00:10Z"], ""),
        (["--until", "1970-01-01 00:00:10.5"], "a"),
        (["--until", "1970"], ""),
        (["--since", "1h"], ""),
    ],
)
def test_times_are_compared_as_times(tmp_path: Path, key: Path, arguments: list[str], found: str) -> None:
    with writer_in(tmp_path / "journal") as writer:
        for message, at in (("a", 10.0), ("b", 10.5), ("c", 11.0)):
            say(writer, message, at=at)
    printed = run("audit", "search", tmp_path / "journal", "--key", key, "-o", "json", *arguments)
    assert "".join(json.loads(line)["message"] for line in printed.splitlines()) == found


@pytest.mark.parametrize("command", ["search", "stats"])
def test_what_is_no_time_is_an_error(journal: Path, key: Path, command: str) -> None:
    assert "--until 'yesterday': is no time" in run(
        "audit", command, journal, "--key", key, "--until", "yesterday", code=2
    )


def test_decrypt_prints_the_lines_whose_hashes_are_in_them(journal: Path, key: Path) -> None:
    lines = run("audit", "decrypt", journal, "--key", key).splitlines()
    assert [json.loads(line)["prev"] for line in lines[1:]] == [
        hashlib.sha256(line.encode()).hexdigest() for line in lines[:-1]
    ]
    assert "bytes" not in lines[0], "nothing is there that was not recorded"


@pytest.mark.parametrize("command", [("decrypt",), ("search",), ("search", "-o", "json"), ("stats",), ("tail",)])
def test_damage_is_said_and_ends_with_an_exit_code(tmp_path: Path, key: Path, command: tuple[str, ...]) -> None:
    """What is shown is not everything."""
    path = tmp_path / "journal"
    with JournalWriter(path, identity="spiffe://a/b", recipients=[KEY.public], max_age_s=0) as writer:
        for message in ("one", "two", "three"):
            say(writer, message)
            writer.tick()
    damaged = sorted(path.rglob("*.sealed"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-400])
    result = CliRunner().invoke(cli.app, ["audit", command[0], str(path), "--key", str(key), *command[1:]])
    assert result.exit_code == 1
    assert str(damaged) in result.stderr
    assert "cloister audit verify" in result.stderr
    if command[0] in ("decrypt", "tail"):
        assert [word for word in ("one", "two", "three") if word in result.stdout] == ["one", "three"]


STEERING = "eve\x1b[2J\x9b31m\u202e\u2028\x7f"


@pytest.mark.parametrize(
    "command",
    [
        ("search",),
        ("search", "-o", "json"),
        ("stats", "--by", "user"),
        ("stats", "--by", "user", "-o", "json"),
        ("tail",),
    ],
)
def test_no_record_steers_a_terminal(tmp_path: Path, key: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "journal"
    with writer_in(path) as writer:
        asked = {"type": "request", "time": timestamp(0), "exchange": "e", "user.id": STEERING, "content": STEERING}
        writer.append([encode(asked)])
    printed = run("audit", command[0], path, "--key", key, *command[1:])
    assert "eve" in printed
    assert all(character == "\n" or character.isprintable() for character in printed)
    if command[0] == "tail":
        assert json.loads(printed)["user.id"] == STEERING


@pytest.mark.parametrize("terminal", [False, True])
def test_decrypt_is_exact_unless_a_terminal_would_obey(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    path = tmp_path / "journal"
    with writer_in(path) as writer:
        say(writer, STEERING)
    monkeypatch.setattr("cloister.cli.audit._to_a_terminal", lambda: terminal)
    printed = run("audit", "decrypt", path, "--key", key).removesuffix("\n")
    assert json.loads(printed)["record"]["message"] == STEERING
    assert printed.isprintable() == terminal


def test_no_file_name_or_header_steers_a_terminal(journal: Path, tmp_path: Path) -> None:
    (sealed,) = journal.rglob("*.sealed")
    magic, header, _ = sealed.read_bytes().split(b"\n", 2)
    odd = json.dumps(json.loads(header) | {"zz\x1b[2J\n0 findings": 1}, sort_keys=True, separators=(",", ":"))
    folder = tmp_path / "odd\x1b[8m\u202e"
    folder.mkdir()
    (folder / "0.cja").write_bytes(magic + b"\n" + odd.encode() + b"\n")
    printed = run("audit", "verify", folder, code=1)
    assert "malformed" in printed
    assert all(character == "\n" or character.isprintable() for character in printed)
    told = run("audit", "verify", folder / "absent\x1b[2J", code=2)
    assert all(character == "\n" or character.isprintable() for character in told)


def test_rows_are_about_each_thing_once(journal: Path, key: Path) -> None:
    assert "twice" in run("audit", "stats", journal, "--key", key, "--by", "day,day", code=2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full is of Linux")
@pytest.mark.parametrize("more", [(), ("-o", "json")])
def test_a_full_disk_is_no_finding(journal: Path, more: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", "from cloister.cli import main; main()", "audit", "verify", str(journal), *more]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "error: standard output: No space left on device\n")
