"""`cloister seal`, `unseal` and `sign`, as a person at a terminal uses them, interrupts them and runs them again."""

import base64
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from cloister import cli
from cloister.sealing import Kind, generate, generate_signing, write_secret
from cloister.weights import Sealer, SignatureError, WrongKeyError, seal_file, unseal_file, verifier
from cloister.weights.stream import CHUNK

KEY = generate(Kind.X25519)
SIGNING = generate_signing()
WEIGHTS = bytes(range(256)) * (3 * CHUNK // 256) + b"end"
MEMORY, LARGE = 200 << 20, 512 << 20
"""Far more than a few chunks beside the interpreter and its libraries, far less than the file."""


def run(*arguments: object, code: int = 0) -> str:
    """Output of a command that ends with this code."""
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result.stderr if code == 2 else result.stdout


def child(*arguments: object) -> subprocess.Popen[bytes]:
    """The same as a process of its own."""
    command = [sys.executable, "-c", "from cloister.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def nothing(_: int) -> None:
    """No progress bar."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(WEIGHTS)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "inference.key"
    write_secret(path, KEY)
    return path


@pytest.fixture
def signing_key(tmp_path: Path) -> Path:
    path = tmp_path / "release.key"
    write_secret(path, SIGNING)
    return path


def left(folder: Path) -> list[str]:
    """Files that begin with a dot: what is in the making."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_sealed_signed_and_opened(weights: Path, key: Path, signing_key: Path, tmp_path: Path) -> None:
    reply = run("seal", weights, "--to", KEY.public, "--sign-key", signing_key, "-o", "json")
    document = json.loads(reply)
    sealed = tmp_path / "model.gguf.sealed"
    digest = hashlib.sha256(sealed.read_bytes()).hexdigest()
    assert document == {
        "file": str(sealed),
        "sha256": digest,
        "size": sealed.stat().st_size,
        "resumed": 0,
        "signature": f"{sealed}.sig",
    }
    assert WEIGHTS[:1000] not in sealed.read_bytes()
    verifier(str(SIGNING.public)).check(Path(f"{sealed}.sig").read_bytes(), digest, sealed.name)
    out = tmp_path / "opened"
    said = run("unseal", sealed, "--key", key, "--out", out)
    assert hashlib.sha256(WEIGHTS).hexdigest() in said
    assert out.read_bytes() == WEIGHTS
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert left(tmp_path) == []


def test_sign_alone(weights: Path, signing_key: Path) -> None:
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert digest in run("sign", weights, "--key", signing_key)
    signature = weights.with_name("model.gguf.sig").read_bytes()
    verifier(str(SIGNING.public)).check(signature, digest, "x")
    with pytest.raises(SignatureError, match="over SHA-256"):
        verifier(str(SIGNING.public)).check(signature, "0" * 64, "x")
    with pytest.raises(SignatureError, match="is signed by key"):
        verifier(str(generate_signing().public)).check(signature, digest, "x")


def test_keys_for_signing(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "new.key"
    public = run("keys", "generate", "--kind", "ed25519", "--out", path).strip()
    assert public.startswith("cloister-pub-ed25519:")
    assert run("keys", "public", path).strip() == public
    for said in (
        run("seal", weights, "--to", public, code=2),
        run("unseal", weights, "--key", path, "--out", tmp_path / "x", code=2),
    ):
        assert "this is an ed25519 key, for signing; a key for sealing and opening is needed" in said
        assert "`cloister keys generate --out FILE --kind mlkem768x25519`" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seal", "none", "--to", "{public}"], "no such file"),
        (["seal", ".", "--to", "{public}"], "not a file"),
        (["seal", "model.gguf", "--to", "age1x"], "--to, key 1: not a public key"),
        (["seal", "model.gguf", "--to", "{public}", "--out", "inference.key"], "a file already"),
        (["seal", "model.gguf", "--to", "{public}", "--out", "none/x"], "no such file"),
        (["seal", "model.gguf", "--to", "{public}", "--sign-key", "inference.key"], "--kind ed25519` makes a pair"),
        (["seal", "model.gguf", *["--to", "{public}"] * 2], "more than once"),
        (
            ["seal", "model.gguf", *(part for _ in range(17) for part in ("--to", str(generate(Kind.X25519).public)))],
            "--to names 17 keys, and a sealed file has room for 16",
        ),
        (["unseal", "model.gguf", "--key", "inference.key", "--out", "x"], "does not begin as a sealed file"),
        (["unseal", "model.gguf", "--key", "none", "--out", "x"], "no such file"),
        (["unseal", "model.gguf", "--key", "none", "--out", "-"], "--out -: what is written appears only when"),
        (["seal", "model.gguf", "--to", "{public}", "--out", "-"], "--out -: what is written appears only when"),
        (["sign", "none", "--key", "release.key"], "no such file"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    arguments: list[str],
    said: str,
    weights: Path,
    key: Path,
    signing_key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(weights.parent)
    before = sorted(Path().iterdir())
    output = run(*(argument.format(public=KEY.public) for argument in arguments), code=2)
    assert output.startswith("error: ")
    assert said in output
    assert sorted(Path().iterdir()) == before


def test_a_signature_that_cannot_be_written_is_all_that_is_missing(
    weights: Path, signing_key: Path, tmp_path: Path
) -> None:
    sealed, signature = tmp_path / "model.gguf.sealed", tmp_path / "model.gguf.sealed.sig"
    arguments = ["seal", weights, "--to", KEY.public, "--sign-key", signing_key]
    signature.write_text("of something else")
    assert f"{signature}: there is a file already" in run(*arguments, code=2)
    assert not sealed.exists()
    signature.unlink()
    blocked = tmp_path / ".model.gguf.sealed.sig.partial"
    blocked.mkdir()
    said = run(*arguments, code=2)
    command = f"cloister sign {sealed} --key {signing_key}"
    assert said.endswith(f"{sealed} is sealed, only its signature is missing: {command}\n")
    assert command in run(*arguments, code=2)  # what was interrupted there says the same
    assert sealed.exists()
    blocked.rmdir()
    run(*command.split()[1:])
    assert signature.exists()
    assert left(tmp_path) == []


def test_nothing_of_a_signature_is_left_that_cannot_be_placed(weights: Path, signing_key: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf.sig").mkdir()
    assert "error: " in run("sign", weights, "--key", signing_key, code=2)
    assert left(tmp_path) == []


def test_names_that_are_no_text_are_shown_without_their_bytes(key: Path, tmp_path: Path) -> None:
    """As in strict UTF-8, and so that no name moves the cursor."""
    odd = tmp_path / os.fsdecode(b"a\xff\x1b[31mb")
    odd.write_bytes(WEIGHTS[:100])
    said = run("seal", odd, "--to", KEY.public)
    assert r"a\udcff\x1b[31mb.sealed: " in said
    assert r"a\udcff\x1b[31mb.sealed: there is a file already" in run("seal", odd, "--to", KEY.public, code=2)
    opened = tmp_path / os.fsdecode(b"opened\xff")
    said = run("unseal", f"{odd}.sealed", "--key", key, "--out", opened, "-o", "json")
    assert json.loads(said)["file"] == str(opened)
    assert opened.read_bytes() == WEIGHTS[:100]


def test_a_name_that_is_too_long_is_an_error_of_a_line(weights: Path) -> None:
    long = weights.with_name("a" * 300)
    for arguments in (["seal", weights, "--to", KEY.public, "--out", long], ["seal", long, "--to", KEY.public]):
        assert "file name too long" in run(*arguments, code=2)


def test_a_broken_file_is_never_opened(weights: Path, key: Path, tmp_path: Path) -> None:
    run("seal", weights, "--to", KEY.public)
    sealed = tmp_path / "model.gguf.sealed"
    sealed.write_bytes(sealed.read_bytes()[:-1])
    assert "does not authenticate" in run("unseal", sealed, "--key", key, "--out", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()
    assert left(tmp_path) == []


class InterruptedRunError(Exception):
    """Stands for whatever ends a process in between."""


def interrupt(at: int) -> object:
    def progress(done: int) -> None:
        if done >= at:
            raise InterruptedRunError

    return progress


def test_sealing_goes_on_where_it_was(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(InterruptedRunError):
        seal_file(weights, target, [KEY.public], interrupt(2 * CHUNK))  # type: ignore[arg-type]
    assert not target.exists()
    assert left(tmp_path) == [".out.partial", ".out.sealing"]
    state, partial = tmp_path / ".out.sealing", tmp_path / ".out.partial"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    begun = partial.read_bytes()
    partial.write_bytes(begun[:-5])  # cut within a chunk, as a full disk or a crash does
    done = seal_file(weights, target, [KEY.public], nothing)
    assert done.resumed == len(begun) - 5
    assert target.read_bytes().startswith(begun)
    assert left(tmp_path) == []
    unseal_file(target, tmp_path / "opened", [KEY], nothing)
    assert (tmp_path / "opened").read_bytes() == WEIGHTS


@pytest.mark.parametrize("what", ["source", "source, same time", "recipients", "state", "no state", "partial"])
def test_no_nonce_is_used_for_two_contents(what: str, weights: Path, tmp_path: Path) -> None:
    """Whatever is not exactly as it was begins anew, under another data key."""
    target, partial, state = tmp_path / "out", tmp_path / ".out.partial", tmp_path / ".out.sealing"
    with pytest.raises(InterruptedRunError):
        seal_file(weights, target, [KEY.public], interrupt(2 * CHUNK))  # type: ignore[arg-type]
    begun, times = partial.read_bytes(), weights.stat()
    recipients = [KEY.public]
    content = WEIGHTS
    match what:
        case "source" | "source, same time":
            content = b"other" + WEIGHTS[5:]
            with weights.open("r+b") as file:
                file.write(b"other")
            if "same" in what:
                os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
        case "recipients":
            recipients = [generate(Kind.X25519).public, KEY.public]
        case "state":
            state.write_bytes(state.read_bytes()[:-20])
        case "no state":
            state.unlink()
        case "partial":
            partial.write_bytes(begun[:-1] + bytes([begun[-1] ^ 1]))
    done = seal_file(weights, target, recipients, nothing)
    assert done.resumed == 0
    chunk = slice(-CHUNK, -100)
    assert begun[chunk] not in target.read_bytes()
    unseal_file(target, tmp_path / "opened", [KEY], nothing)
    assert (tmp_path / "opened").read_bytes() == content


class TestOthersInTheFolder:
    """Whoever may write beside the target neither chooses the data key nor keeps what is opened (ZT-26)."""

    @pytest.mark.parametrize("what", ["state for all", "state by link", "state of another", "partial for all"])
    def test_a_run_of_others_is_not_continued(
        self, what: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target, partial, state = tmp_path / "out", tmp_path / ".out.partial", tmp_path / ".out.sealing"
        with pytest.raises(InterruptedRunError):
            seal_file(weights, target, [KEY.public], interrupt(2 * CHUNK))  # type: ignore[arg-type]
        match what:
            case "state for all":
                state.chmod(0o644)
            case "state by link":
                state.rename(tmp_path / "elsewhere")
                state.symlink_to(tmp_path / "elsewhere")
            case "state of another":
                another = os.geteuid() + 1
                monkeypatch.setattr("os.geteuid", lambda: another)
            case "partial for all":
                partial.chmod(0o666)
        begun = partial.read_bytes()
        done = seal_file(weights, target, [KEY.public], nothing)
        assert (done.resumed, target.read_bytes()[: len(begun)] == begun) == (0, False)
        assert not target.stat().st_mode & 0o022
        assert left(tmp_path) == []

    def test_a_head_for_others_is_not_continued(self, weights: Path, tmp_path: Path) -> None:
        """Even if the state claims to be for ours alone."""
        target, other = tmp_path / "out", generate(Kind.X25519)
        sealer = Sealer.new([KEY.public, other.public])
        found = weights.stat()
        state = {
            "head": base64.b64encode(sealer.head).decode(),
            "data_key": base64.b64encode(sealer.data_key).decode(),
            "source": [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns],
            "recipients": [str(KEY.public)],
        }
        (tmp_path / ".out.sealing").write_text(json.dumps(state))
        (tmp_path / ".out.sealing").chmod(0o600)
        (tmp_path / ".out.partial").write_bytes(sealer.head[:1])
        (tmp_path / ".out.partial").chmod(0o600)
        seal_file(weights, target, [KEY.public], nothing)
        with pytest.raises(WrongKeyError):
            unseal_file(target, tmp_path / "theirs", [other], nothing)
        unseal_file(target, tmp_path / "ours", [KEY], nothing)

    @pytest.mark.parametrize("what", ["for all", "symbolic link", "hard link", "pipe"])
    def test_nothing_is_unsealed_into_what_others_have_put_there(
        self, what: str, weights: Path, tmp_path: Path
    ) -> None:
        sealed, target, partial = tmp_path / "sealed", tmp_path / "out", tmp_path / ".out.partial"
        seal_file(weights, sealed, [KEY.public], nothing)
        ours = tmp_path / "ours"
        ours.write_text("to be kept")
        ours.chmod(0o600)
        match what:
            case "for all":
                partial.touch()
                partial.chmod(0o666)
            case "symbolic link":
                partial.symlink_to(ours)
            case "hard link":
                partial.hardlink_to(ours)
            case "pipe":
                os.mkfifo(partial, 0o600)
        unseal_file(sealed, target, [KEY], nothing)
        assert target.read_bytes() == WEIGHTS
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert (target.is_symlink(), target.stat().st_nlink) == (False, 1)
        assert ours.read_text() == "to be kept"

    def test_a_signature_is_not_written_through_a_link(self, weights: Path, signing_key: Path, tmp_path: Path) -> None:
        ours = tmp_path / "ours"
        ours.write_text("to be kept")
        (tmp_path / ".model.gguf.sig.partial").symlink_to(ours)
        run("sign", weights, "--key", signing_key)
        assert ours.read_text() == "to be kept"
        assert not (tmp_path / "model.gguf.sig").is_symlink()


def test_a_source_that_changes_meanwhile_is_not_sealed(weights: Path, tmp_path: Path) -> None:
    def change(_: int) -> None:
        with weights.open("ab") as file:
            file.write(b"x")

    with pytest.raises(Exception, match="changed while it was sealed"):
        seal_file(weights, tmp_path / "out", [KEY.public], change)
    assert left(tmp_path) == []
    assert not (tmp_path / "out").exists()


def test_unsealing_goes_on_where_it_was(weights: Path, key: Path, tmp_path: Path) -> None:
    sealed, target, partial = tmp_path / "sealed", tmp_path / "out", tmp_path / ".out.partial"
    seal_file(weights, sealed, [KEY.public], nothing)
    with pytest.raises(InterruptedRunError):
        unseal_file(sealed, target, [KEY], interrupt(3 * CHUNK))  # type: ignore[arg-type]
    begun = partial.stat().st_size
    assert begun >= CHUNK
    with partial.open("r+b") as file:
        file.seek(begun - 10)
        file.write(b"not this")
    # The wrong key takes nothing away that the right one has begun.
    other = tmp_path / "other.key"
    write_secret(other, generate(Kind.X25519))
    assert "it is sealed for" in run("unseal", sealed, "--key", other, "--out", target, code=2)
    document = json.loads(run("unseal", sealed, "--key", key, "--out", target, "-o", "json"))
    assert document["resumed"] == begun // CHUNK * CHUNK - CHUNK
    assert document["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert target.read_bytes() == WEIGHTS


def killed(process: subprocess.Popen[bytes], partial: Path, size: int) -> None:
    """Kill it once it has written so much."""
    while not partial.exists() or partial.stat().st_size < size:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def watched(process: subprocess.Popen[bytes]) -> int:
    """The most memory that it held, in bytes."""
    most, seen = 0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            most = max(most, seen.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.01)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return most


def test_a_large_file_is_killed_and_continued_in_little_memory(key: Path, tmp_path: Path) -> None:
    large, sealed, opened = tmp_path / "large", tmp_path / "sealed", tmp_path / "opened"
    with large.open("wb") as file:
        file.truncate(LARGE)
        file.seek(LARGE // 2)
        file.write(b"in the middle")
    arguments = ["seal", large, "--to", KEY.public, "--out", sealed]
    killed(child(*arguments), tmp_path / ".sealed.partial", LARGE // 4)
    assert not sealed.exists()
    assert watched(child(*arguments)) < MEMORY
    arguments = ["unseal", sealed, "--key", key, "--out", opened]
    killed(child(*arguments), tmp_path / ".opened.partial", LARGE // 4)
    assert not opened.exists()
    assert watched(child(*arguments)) < MEMORY
    assert opened.stat().st_size == LARGE
    with opened.open("rb") as file:
        file.seek(LARGE // 2)
        assert file.read(13) == b"in the middle"
    assert left(tmp_path) == []


def test_two_runs_do_not_write_one_file(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"

    def meanwhile(_: int) -> None:
        with pytest.raises(Exception, match="another run is writing it"):
            seal_file(weights, target, [KEY.public], nothing)

    seal_file(weights, target, [KEY.public], meanwhile)
    assert target.exists()
