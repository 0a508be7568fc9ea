"""`aws s3` in a training pod, unchanged: nothing but AWS_ENDPOINT_URL is told to it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environments import environment
from tests.gate.specs import deployment, example
from tests.store.chain import Chain, running_chain, spiffe

REQUIREMENTS = Path(__file__).with_name("awscli.txt")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """Stores and a training pod."""
    with running_chain(deployment(example("support-bot"))) as found:
        ingest = found.client("training-data", spiffe("etl", "ingest"))  # type: ignore[arg-type]
        ingest.put_object(Bucket="training-data", Key="corpora/support/seed.txt", Body=b"a line\n" * 100)
        ingest.put_object(Bucket="training-data", Key="corpora/sales/seed.txt", Body=b"not for training")
        yield found


def aws(chain: Chain, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The program as a training image has it, with the environment of a training pod."""
    python = environment("awscli", REQUIREMENTS)
    rendered = {"AWS_ENDPOINT_URL": chain.training_endpoint, "AWS_REGION": "us-east-1"}
    rendered |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    return subprocess.run(
        [str(python), "-m", "awscli", "s3", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **rendered},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_copies_lists_syncs_and_removes(chain: Chain, tmp_path: Path) -> None:
    def done(*arguments: str) -> str:
        found = aws(chain, tmp_path, *arguments)
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert "corpora/" in done("ls", "s3://training-data/")
    done("cp", "s3://training-data/corpora/support/seed.txt", str(tmp_path / "seed.txt"))
    assert (tmp_path / "seed.txt").read_bytes() == b"a line\n" * 100
    run = tmp_path / "run"
    (run / "deep").mkdir(parents=True)
    (run / "a.bin").write_bytes(os.urandom(20 << 20))  # in parts
    (run / "deep" / "b ü.txt").write_text("b")
    done("sync", str(run), "s3://checkpoints/support-bot/cli")
    listed = done("ls", "--recursive", "s3://checkpoints/support-bot/cli/")
    assert [line.split(maxsplit=3)[2:] for line in listed.splitlines()] == [
        [str(20 << 20), "support-bot/cli/a.bin"],
        ["1", "support-bot/cli/deep/b ü.txt"],
    ]
    done("sync", "s3://checkpoints/support-bot/cli", str(tmp_path / "back"))
    assert (tmp_path / "back" / "a.bin").read_bytes() == (run / "a.bin").read_bytes()
    done("rm", "--recursive", "s3://checkpoints/support-bot/cli")
    assert aws(chain, tmp_path, "ls", "s3://checkpoints/support-bot/cli/").returncode == 1  # nothing there


@pytest.mark.parametrize(
    "arguments",
    [
        ("cp", "s3://training-data/corpora/sales/seed.txt", "-"),
        ("cp", "s3://training-data/corpora/support/seed.txt", "s3://checkpoints/support-bot/copy"),
        ("ls", "s3://interaction-logs/"),
        ("mb", "s3://another"),
    ],
    ids=["another prefix", "a copy in the store", "the logs", "a bucket"],
)
def test_what_it_must_not_is_refused(chain: Chain, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    found = aws(chain, tmp_path, *arguments)
    assert found.returncode
    assert any(word in found.stderr for word in ("Forbidden", "AccessDenied", "NotImplemented", "403")), found.stderr
    assert "not for training" not in found.stdout
