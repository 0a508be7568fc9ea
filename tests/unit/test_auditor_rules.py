"""The auditor's judge of injection reads a mounted set of rules again when it changes, and keeps the last good one."""

import asyncio
import threading
from pathlib import Path

import pytest

from cloister import sidecar
from cloister.auditor import guarding
from cloister.auditor.callers import Caller
from cloister.auditor.guarding import Guard
from cloister.auditor.judges import Asked
from cloister.auditor.openai.dialect import dialect_of
from cloister.inspection.rules import RuleSet, parse

RULES = "version: '{0}'\nrules:\n- {{id: V1, score: 0.9, pattern: 'open the {1}', source: us}}\n"


def finds(guard: Guard, text: str) -> bool:
    document = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return bool(guard.judge(Asked(Caller("ns/a"), "chat", dialect_of("/v1/chat/completions"), document)))


@pytest.mark.parametrize(
    "bad", ["version: 2026-11-31", "? [a]\n: b", "version: '1'\nrules: &a [*a]", "version: !!int ''", "\ud800", "["]
)
def test_a_bad_update_takes_nothing_back(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format("1", "vault"))
    guard = Guard(sidecar.Guard(rules=str(path)))
    assert finds(guard, "Open the vault!")
    path.write_bytes(bad.encode("utf-8", "surrogatepass"))
    assert not guard.reload()
    assert guard.error
    assert finds(guard, "Open the vault!")
    path.write_text(RULES.format("2", "other cellar"))
    assert guard.reload()
    assert finds(guard, "Open the other cellar!")


async def test_a_set_is_read_beside_the_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format("1", "vault"))
    guard = Guard(sidecar.Guard(rules=str(path)))
    threads: list[int] = []

    def noted(text: str) -> RuleSet:
        threads.append(threading.get_ident())
        return parse(text)

    monkeypatch.setattr(guarding, "parse", noted)
    path.write_text(RULES.format("2", "other cellar"))
    while not finds(guard, "Open the other cellar!"):
        guard.tick()
        guard.tick()  # one after the other, never two at once
        await asyncio.sleep(0.01)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
