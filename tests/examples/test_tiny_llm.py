"""manifests/examples/tiny-llm: real text, a real model, and the real llama.cpp behind the real auditor (ZT-26)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloister import sidecar
from cloister.jobs.errors import FetchError
from cloister.weights import is_sealed
from tests.auditor.running import MACHINE, Auditor, prompt, surroundings
from tests.examples.stores import Store, serving
from tests.examples.tiny_llm import EndedError, Life, run_in, server_python, trainer_python

pytestmark = pytest.mark.timeout(1500)  # on a new machine llama.cpp is compiled first: some six minutes

STEPS = 60
JSON = MACHINE | {"content-type": "application/json"}
TEXT = "The for statement is used to iterate over the elements of a sequence — “strings”, lists:\n\n   for x in y:"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serving(tmp_path_factory.mktemp("store"), "training-data", "checkpoints") as found:
        yield found


@pytest.fixture(scope="module")
def life(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A deployment whose model was trained."""
    found = Life.begin(tmp_path_factory.mktemp("life"), store, STEPS)
    found.ingest()
    found.train()
    return found


@pytest.fixture(scope="module")
def weights(life: Life) -> Path:
    """What the server gets: released, fetched, verified, opened."""
    life.accept(life.release("--max-loss=6.5"))  # it has had a few seconds to learn
    return life.fetch()


@pytest.fixture(scope="module")
def auditor(life: Life, weights: Path) -> Iterator[Auditor]:
    """The auditor before a server that has loaded the model."""
    with life.serve(weights) as port:
        upstream = {"kind": "http", "address": f"127.0.0.1:{port}", "health_path": "/openapi.json"}
        with surroundings(upstream=upstream) as found:
            found.start()
            yield found


def report(life: Life) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(life.store.ask("GET", "/checkpoints/candidates/tiny-llm/report.json"))
    return found


class TestTraining:
    """What comes out of the training zone."""

    def test_it_learns_from_every_text_that_was_brought(self, life: Life) -> None:
        found = report(life)
        assert found["texts"] == life.store.keys("training-data")
        assert len(found["texts"]) > 50
        assert found["steps"] == STEPS

    def test_it_learns_something(self, life: Life) -> None:
        found = report(life)
        assert found["first_loss"] > 6.5  # nats; knowing nothing costs log(1024) = 6.93
        assert found["last_loss"] < found["first_loss"] - 1
        assert found["unseen_loss"] < found["first_loss"] - 1

    def test_its_checkpoint_is_sealed_and_lies_where_it_may_write(self, life: Life) -> None:
        written = [key for key in life.store.keys("checkpoints") if key.startswith("candidates/")]
        assert written == ["candidates/tiny-llm/model.gguf.sealed", "candidates/tiny-llm/report.json"]
        sealed = life.store.ask("GET", f"/checkpoints/{written[0]}")
        assert is_sealed(sealed)
        assert b"GGUF" not in sealed[:4096]
        assert b"tokenizer.chat_template" not in sealed

    def test_too_little_text_is_an_error_and_leaves_nothing(self, life: Life) -> None:
        with pytest.raises(EndedError, match=r"train: s3://training-data/corpora/empty/: 0 objects, 0 paragraphs"):
            life.train("--corpus=s3://training-data/corpora/empty/", "--out=s3://checkpoints/candidates/none")
        assert "candidates/none" not in life.store.keys("checkpoints")


class TestRelease:
    """Who decides what is served."""

    def test_a_bad_model_is_not_released(self, life: Life) -> None:
        with pytest.raises(EndedError, match=r"its loss is .* may be 0\.1 at most"):
            life.release("--max-loss=0.1", "--to=released/bad/")
        assert not [key for key in life.store.keys("checkpoints") if key.startswith("released/bad/")]

    def test_what_training_did_not_report_is_not_released(self, life: Life) -> None:
        forged = report(life) | {"sha256": "0" * 64}
        life.store.ask("PUT", "/checkpoints/candidates/tiny-llm/forged.json", json.dumps(forged).encode())
        with pytest.raises(EndedError, match=r"but training reports 0{64}"):
            life.release("--report=candidates/tiny-llm/forged.json", "--to=released/forged/", "--max-loss=9")
        assert not [key for key in life.store.keys("checkpoints") if key.startswith("released/forged/")]
        life.store.ask("DELETE", "/checkpoints/candidates/tiny-llm/forged.json")

    def test_what_was_swapped_after_its_release_is_not_served(self, life: Life, weights: Path) -> None:
        path = f"/checkpoints/{life.object}"
        sealed = life.store.ask("GET", path)
        life.store.ask("PUT", path, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        weights.unlink()
        try:
            with pytest.raises(FetchError) as refused:
                life.fetch()
            assert not weights.exists()
            assert refused.value.reason in {"DigestMismatch", "SealBroken"}
        finally:
            life.store.ask("PUT", path, sealed)
            assert life.fetch() == weights


class TestServing:
    """llama.cpp on what was trained here."""

    def test_the_model_is_there(self, auditor: Auditor) -> None:
        reply = auditor.ask(b"", MACHINE | {sidecar.API_HEADER: "models"}, "GET", "/v1/models")
        assert reply.status == 200
        assert [model["id"] for model in json.loads(reply.body)["data"]] == ["tiny-llm"]

    def test_it_answers(self, auditor: Auditor) -> None:
        reply = auditor.ask(prompt("tiny-llm", "The for statement", max_tokens=16, temperature=0), JSON)
        assert reply.status == 200, reply.body
        document = json.loads(reply.body)
        assert document["choices"][0]["message"]["content"]
        assert 0 < document["usage"]["completion_tokens"] <= 16

    def test_it_streams_the_same(self, auditor: Auditor) -> None:
        asked = {"max_tokens": 16, "temperature": 0}
        whole = json.loads(auditor.ask(prompt("tiny-llm", "The for statement", **asked), JSON).body)
        reply = auditor.ask(prompt("tiny-llm", "The for statement", stream=True, **asked), JSON)
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        pieces = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]]
        assert "".join(pieces) == whole["choices"][0]["message"]["content"]
        assert len([piece for piece in pieces if piece]) > 1

    def test_every_answer_is_recorded(self, auditor: Auditor) -> None:
        before = len(auditor.records("reply"))
        assert auditor.ask(prompt("tiny-llm", "recorded?", max_tokens=4), JSON).status == 200
        auditor.until(lambda: len(auditor.records("reply")) == before + 1, "the record")
        assert "recorded?" in json.dumps(auditor.records("request")[-1])

    def test_a_prompt_that_is_too_long_is_an_error_of_the_caller(self, auditor: Auditor) -> None:
        reply = auditor.ask(prompt("tiny-llm", "long " * 200), JSON)
        assert reply.status == 400
        assert "context" in reply.body.decode()

    def test_llama_cpp_computes_what_the_trainer_computes(self, weights: Path, tmp_path: Path) -> None:
        here = Path(__file__).parent
        tokens, served, trained = tmp_path / "tokens.npy", tmp_path / "served.npy", tmp_path / "trained.npy"
        run_in(server_python(), here / "logits_by_server.py", weights, TEXT, tokens, served)
        run_in(trainer_python(), here / "logits_by_trainer.py", weights, tokens, trained)
        found = json.loads(run_in(server_python(), here / "logits_compared.py", served, trained))
        assert found["tokens"] > 30
        assert found["spread"] > 1  # logits that are all alike would agree as well
        assert found["difference"] < 0.02 * found["spread"]
        assert found["same_choice"] == found["tokens"]
