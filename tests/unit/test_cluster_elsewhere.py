"""`CLUSTER=current` and `CLUSTER=kind`: what is run, by programs that only say how they were called."""

from pathlib import Path

import pytest

from tests.cluster.elsewhere import Elsewhere, ElsewhereError, Kind
from tests.cluster.kubeconfigs import for_token, write
from tests.cluster.node import images
from tests.cluster.node.imagebuild import Built

FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
  "get clusters") echo other ;;
  "get nodes"*) echo cloister-control-plane; echo cloister-worker ;;
  "get kubeconfig"*) echo "apiVersion: v1" ;;
  exec*) cat > /dev/null ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs on the PATH, and where they write down how they were called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("kind", "docker", "skopeo"):
        (programs / name).write_text(FAKE)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    for name in ("CLUSTER", "REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "calls"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """Any image, as if built."""
    (tmp_path / "digest").write_text("sha256:abc\n")
    (tmp_path / "image.tar").write_bytes(b"archive")
    found = Built(tmp_path / "image.tar")
    monkeypatch.setattr(images, "image", lambda _: found)
    return found


def test_by_default_it_is_a_node_of_our_own(calls: Path, tmp_path: Path) -> None:
    assert Elsewhere.chosen(tmp_path) is None
    assert not calls.exists()


def test_nonsense_is_refused(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(ElsewhereError, match="CLUSTER=minikube: is none of kind, current"):
        Elsewhere.chosen(tmp_path)


def test_kind_is_made_once_and_given_images(
    calls: Path, tmp_path: Path, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTER", "kind")
    found = Elsewhere.chosen(tmp_path)
    assert isinstance(found, Kind)
    assert oct(found.kubeconfig.stat().st_mode)[-3:] == "600"
    assert found.load_images(["gate"]) == {"gate": "cloister.test/gate@sha256:abc"}
    made, *_ = [line for line in calls.read_text().splitlines() if "create" in line]
    assert made.startswith("kind create cluster --name=cloister")
    imported = [line for line in calls.read_text().splitlines() if line.startswith("docker")]
    into = "ctr --namespace=k8s.io images import --base-name=cloister.test/gate --digests -"
    assert imported == [
        f"docker exec -i cloister-control-plane {into}",
        f"docker exec -i cloister-worker {into}",
    ]


def test_current_keeps_a_copy_of_the_context_and_pushes_images(
    calls: Path, tmp_path: Path, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = write(tmp_path / "theirs", for_token("https://192.0.2.1", b"ca", "me", "secret"))
    monkeypatch.setenv("KUBECONFIG", str(theirs))
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setattr("tests.cluster.elsewhere._kubectl", lambda *_: theirs.read_text())
    found = Elsewhere.chosen(tmp_path / "scratch")
    assert found is not None
    assert found.kubeconfig.read_text() == theirs.read_text()
    with pytest.raises(ElsewhereError, match="needs REGISTRY="):
        found.load_images(["gate"])
    monkeypatch.setenv("REGISTRY", "registry.example.com/team/")
    assert found.load_images(["gate"]) == {"gate": "registry.example.com/team/gate@sha256:abc"}
    source = f"oci-archive:{built.archive}"
    assert calls.read_text() == (f"skopeo copy --preserve-digests {source} docker://registry.example.com/team/gate:1\n")


def test_what_only_our_own_node_has_is_skipped(calls: Path, tmp_path: Path) -> None:
    found = Elsewhere(tmp_path / "kubeconfig", tmp_path)
    with pytest.raises(pytest.skip.Exception, match="for its machine"):
        found.machine  # noqa: B018
    assert not hasattr(found, "__nonsense__")


def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CLUSTER", "kind")
    with pytest.raises(ElsewhereError, match="kind is not on the PATH"):
        Elsewhere.chosen(tmp_path)
