"""Keys and revocations from where a resource names them: what comes into force, what stays, and what is said."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cloister import sidecar
from cloister.controller import configmaps, issuers, people
from cloister.controller.addresses import Reach
from cloister.controller.cluster import Cluster
from cloister.controller.configmaps import Content, Place
from cloister.controller.followed import Tell
from cloister.controller.observed import Observed
from cloister.controller.oidc import IssuerError, Trust
from cloister.controller.outcome import Obstacle, Outcome
from cloister.controller.people import People
from cloister.controls import Family
from cloister.facts import Facts, Settings
from cloister.render import render
from cloister.spec import LLMDeployment
from tests.edits import REMOVED, deployment
from tests.gate.identities import Provider
from tests.issuer import Issuer

REVOKED = Place("web", "revoked")
KEYS = Place("web", "login-example-com-jwks")
PROVIDER = Provider()
RSA, EC = PROVIDER.jwk("RSA"), PROVIDER.jwk("EC")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Desk:
    """People's sources with ConfigMaps that a test writes, and whom they have woken."""

    def __init__(self, observed: Observed, trust: Trust) -> None:
        self._told: dict[Place, Tell[Content]] = {}
        self._written: dict[Place, Content] = {}
        self.woken: list[str] = []
        self.people = People(cast(Cluster, self), observed, trust, 0.05)
        self.people.wakes(self.woken.extend)

    async def follow(self, where: Place, tell: Tell[Content]) -> None:
        """Stands for the API server's watch, which tests/integration has."""
        self._told[where] = tell
        if where in self._written:
            tell(self._written[where])
        try:
            await asyncio.Event().wait()
        finally:
            del self._told[where]

    def write(self, where: Place, text: str | None, key: str = "") -> None:
        """Put a document into a ConfigMap; None deletes the ConfigMap."""
        key = key or ("jwks.json" if where == KEYS else "revocations.json")
        self._written[where] = Content(None if text is None else ((key, text),))
        if where in self._told:
            self._told[where](self._written[where])

    async def facts(self, declared: LLMDeployment) -> tuple[list[str] | None, str | None, list[Obstacle]]:
        """The ids of the keys, the revocations, and what was said."""
        outcome = Outcome()
        keys, revocations = await self.people.facts(declared, outcome)
        ids = None if keys is None else sorted(key["kid"] for key in json.loads(keys)["keys"])
        return ids, revocations, outcome.obstacles


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Issuer]:
    with Issuer(tmp_path).running() as issuer:
        yield issuer


Desks = Callable[..., Desk]


@pytest.fixture
async def desks(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desks]:
    """Makes desks; another one is what a restarted operator has."""
    made: list[Desk] = []

    async def follow(desk: Any, where: Place, tell: Tell[Content]) -> None:
        await desk.follow(where, tell)

    def make(trust: Trust | None = None) -> Desk:
        made.append(Desk(observed, trust or Trust(Reach())))
        return made[-1]

    monkeypatch.setattr(configmaps, "follow", follow)
    monkeypatch.setattr(people, "_FIRST_SECONDS", 0.2)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield make
    for desk in made:
        await desk.people.close()


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while True:
            if await check():
                return
            await asyncio.sleep(0.01)


def applied(observed: Observed, declared: LLMDeployment, keys: Any, revocations: str | None = None) -> None:
    """The cluster holds what was rendered with these facts."""
    facts = Facts(trust_bundle="x", jwks=json.dumps({"keys": keys}), revocations=revocations)
    for obj in render(declared, facts, Settings()):
        if obj["kind"] == "ConfigMap":
            observed.put(obj | {"metadata": obj["metadata"] | {"resourceVersion": "7"}})


def listed(**changes: Any) -> LLMDeployment:
    """The example, whose keys are in a ConfigMap."""
    return deployment({path.replace("__", "."): value for path, value in changes.items()})


def with_revocations(**changes: Any) -> LLMDeployment:
    source = {"configMapRef": {"name": REVOKED.name, "namespace": REVOKED.namespace}}
    return deployment({"spec.identity.users.revocations": source} | changes)


def fetched(issuer: str) -> LLMDeployment:
    return deployment({"spec.identity.users.jwks": REMOVED, "spec.identity.users.issuer": issuer})


def said(obstacles: list[Obstacle], reason: str) -> str:
    (found,) = obstacles
    assert (found.family, found.reason) == (Family.ACCESS_MINIMAL, reason)
    return found.message


# --- keys from a ConfigMap ---


async def test_keys_of_a_config_map_and_their_withdrawal(desks: Desks) -> None:
    desk = desks()
    desk.write(KEYS, json.dumps({"keys": [RSA, EC]}))
    assert await desk.facts(listed()) == (["ec", "rsa"], None, [])
    desk.write(KEYS, json.dumps({"keys": [EC]}))
    assert desk.woken[-1] == "support-bot"
    assert await desk.facts(listed()) == (["ec"], None, [])
    desk.write(KEYS, '{"keys": []}')
    ids, _, obstacles = await desk.facts(listed())
    assert ids == []
    assert "nobody is admitted" in said(obstacles, "JwksUnusable")


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        (None, "", "does not exist"),
        ("{", "", "is not JSON"),
        ("{}", "", "no list"),
        ("{}", "other.json", "it has other.json"),
    ],
)
async def test_a_source_that_fails_loosens_nothing(desks: Desks, text: str | None, key: str, why: str) -> None:
    desk = desks()
    desk.write(KEYS, text, key)
    ids, _, obstacles = await desk.facts(listed())
    assert ids is None
    message = said(obstacles, "JwksUnusable")
    assert why in message
    assert "nobody is admitted until then" in message
    desk.write(KEYS, json.dumps({"keys": [RSA]}))
    assert await desk.facts(listed()) == (["rsa"], None, [])
    desk.write(KEYS, text, key)
    ids, _, obstacles = await desk.facts(listed())
    assert ids == ["rsa"]
    assert "the keys known before stay in force" in said(obstacles, "JwksUnusable")


async def test_keys_of_one_issuer_never_stand_for_another(desks: Desks, observed: Observed) -> None:
    desk = desks()
    desk.write(KEYS, json.dumps({"keys": [RSA]}))
    await desk.facts(listed())
    applied(observed, listed(), [RSA])
    desk.write(KEYS, None)
    assert (await desk.facts(deployment({"spec.identity.users.issuer": "https://other.example/"})))[0] is None


async def test_without_people_nothing_is_followed_and_nothing_is_remembered(desks: Desks) -> None:
    desk = desks()
    desk.write(KEYS, json.dumps({"keys": [RSA]}))
    await desk.facts(listed())
    assert await desk.facts(deployment({"spec.identity.users": REMOVED})) == (None, None, [])
    await asyncio.sleep(0)  # until what is cancelled has ended
    desk.write(KEYS, None)
    assert (await desk.facts(listed()))[0] is None


async def test_an_operator_that_starts_again_finds_the_keys_in_force(desks: Desks, observed: Observed) -> None:
    applied(observed, listed(), [RSA, EC])
    desk = desks()
    assert await desk.facts(listed()) == (["ec", "rsa"], None, [])  # its ConfigMap is not read yet
    desk.write(KEYS, None)
    ids, _, obstacles = await desk.facts(listed())
    assert ids == ["ec", "rsa"]
    assert "stay in force" in said(obstacles, "JwksUnusable")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"local_jwks": {}}', '{"local_jwks": 1, "issuer": "https://login.example.com/"}']
)
async def test_somebody_elses_doing_in_a_gate_is_not_taken_for_keys(
    desks: Desks, observed: Observed, text: str
) -> None:
    metadata = {"name": "gate-inference", "namespace": "support-bot-inference", "resourceVersion": "7"}
    observed.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"listeners.json": text}})
    assert (await desks().facts(listed()))[0] is None


# --- keys from the issuer ---


def trust(server: Issuer) -> Trust:
    return Trust(Reach(allowed=LOOPBACK), server.ca_bundle)


async def test_keys_of_an_issuer_and_their_withdrawal(desks: Desks, server: Issuer) -> None:
    desk, declared = desks(trust(server)), fetched(server.issuer)
    await until(lambda: keys_are(desk, declared, ["ec", "rsa"]))
    desk.woken.clear()
    server.publish(server.provider.jwk("EC"))
    await until(lambda: keys_are(desk, declared, ["ec"]))
    assert set(desk.woken) == {"support-bot"}
    assert (await desk.facts(declared))[2] == []


async def keys_are(desk: Desk, declared: LLMDeployment, wanted: list[str] | None) -> bool:
    return (await desk.facts(declared))[0] == wanted


async def complains(desk: Desk, declared: LLMDeployment, text: str) -> bool:
    return any(text in obstacle.message for obstacle in (await desk.facts(declared))[2])


async def test_an_issuer_out_of_order_keeps_its_keys_and_an_empty_one_does_not(desks: Desks, server: Issuer) -> None:
    desk, declared = desks(trust(server)), fetched(server.issuer)
    await until(lambda: keys_are(desk, declared, ["ec", "rsa"]))
    server.fail()
    await until(lambda: complains(desk, declared, "answers 503; the keys known before stay in force"))
    assert await keys_are(desk, declared, ["ec", "rsa"])
    server.publish()
    await until(lambda: keys_are(desk, declared, []))
    assert await complains(desk, declared, "lists no key, so nobody is admitted")


async def test_an_issuer_that_never_answered_admits_nobody_and_says_what_to_do(desks: Desks, server: Issuer) -> None:
    desk, declared = desks(Trust(Reach(), server.ca_bundle)), fetched(server.issuer)
    await until(lambda: complains(desk, declared, "allowedCIDRs"))
    ids, _, obstacles = await desk.facts(declared)
    assert ids is None
    message = said(obstacles, "JwksUnusable")
    assert "spec.identity.users.jwks" in message
    assert "nobody is admitted" in message


async def test_one_issuer_is_asked_once_for_all(desks: Desks, server: Issuer) -> None:
    desk, declared = desks(trust(server)), fetched(server.issuer)
    others = [declared.model_copy(update={"name": f"other-{index}"}) for index in range(20)]
    for one in (declared, *others):
        await until(lambda one=one: keys_are(desk, one, ["ec", "rsa"]))  # type: ignore[misc]
    server.publish(server.provider.jwk("RSA"))
    desk.woken.clear()
    await until(lambda: keys_are(desk, declared, ["rsa"]))
    assert sorted(desk.woken) == sorted(one.name for one in (declared, *others))


async def test_an_operator_that_starts_while_the_issuer_is_away_finds_the_keys_in_force(
    desks: Desks, server: Issuer, observed: Observed
) -> None:
    declared = fetched(server.issuer)
    applied(observed, declared, [RSA])
    server.fail()
    desk = desks(trust(server))
    await until(lambda: complains(desk, declared, "stay in force"))
    assert await keys_are(desk, declared, ["rsa"])


async def test_one_failure_is_not_worth_a_word_while_keys_are_known(
    server: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[issuers.Answer] = []
    answers: list[str | Exception] = [
        json.dumps({"keys": [RSA]}),
        IssuerError("a"),
        IssuerError("b"),
        IssuerError("c"),
        json.dumps({"keys": [EC]}),
    ]

    async def answer(*_: Any) -> str:
        if not answers:
            await asyncio.Event().wait()
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(issuers, "fetch_jwks", answer)
    task = asyncio.create_task(issuers.follow("https://a/", told.append, Trust(Reach()), 0.001))

    async def there() -> bool:
        return len(told) >= 5

    await until(there)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [one.problem for one in told] == [None, None, None, "c", None]
    assert len({one.keys for one in told[:4]}) == 1


# --- revocations ---


def revoked(*subjects: str) -> str:
    return sidecar.Revocations(subjects=subjects).model_dump_json()


async def test_a_list_comes_into_force_and_grows(desks: Desks) -> None:
    desk, declared = desks(), with_revocations()
    desk.write(KEYS, json.dumps({"keys": [RSA]}))
    desk.write(REVOKED, "subjects: [alice]")
    assert await desk.facts(declared) == (["rsa"], revoked("alice"), [])
    desk.write(REVOKED, "subjects: [alice, bob]")
    assert desk.woken[-1] == "support-bot"
    assert (await desk.facts(declared))[1] == revoked("alice", "bob")


@pytest.mark.parametrize(
    ("text", "why"), [(None, "does not exist"), ("subject: []", "is no field"), ("", "is not a mapping")]
)
async def test_a_list_that_goes_bad_lets_nobody_back_in(desks: Desks, text: str | None, why: str) -> None:
    desk, declared = desks(), with_revocations()
    desk.write(KEYS, json.dumps({"keys": [RSA]}))
    desk.write(REVOKED, text)
    _, known, obstacles = await desk.facts(declared)
    assert known is None
    assert why in said(obstacles, "RevocationsUnusable")
    assert "no person is admitted" in said(obstacles, "RevocationsUnusable")
    desk.write(REVOKED, "subjects: [alice]")
    assert (await desk.facts(declared))[1] == revoked("alice")
    desk.write(REVOKED, text)
    _, known, obstacles = await desk.facts(declared)
    assert known == revoked("alice")
    assert "stays in force" in said(obstacles, "RevocationsUnusable")
    desk.write(REVOKED, "{}")
    assert await desk.facts(declared) == (["rsa"], revoked(), [])


async def test_an_operator_that_starts_again_finds_the_list_in_force(desks: Desks, observed: Observed) -> None:
    declared = with_revocations()
    applied(observed, declared, [RSA], revoked("alice"))
    desk = desks()
    assert await desk.facts(declared) == (["rsa"], revoked("alice"), [])
    desk.write(REVOKED, "no list")
    assert (await desk.facts(declared))[1] == revoked("alice")


async def test_another_source_keeps_the_list_until_it_can_be_read_and_none_ends_it(desks: Desks) -> None:
    desk, declared = desks(), with_revocations()
    desk.write(KEYS, json.dumps({"keys": [RSA]}))
    desk.write(REVOKED, "subjects: [alice]")
    await desk.facts(declared)
    moved = with_revocations(**{"spec.identity.users.revocations.configMapRef.name": "elsewhere"})
    desk.write(Place("web", "elsewhere"), None)
    assert (await desk.facts(moved))[1] == revoked("alice")
    assert await desk.facts(listed()) == (["rsa"], None, [])
    desk.write(REVOKED, None)
    assert (await desk.facts(declared))[1] is None
