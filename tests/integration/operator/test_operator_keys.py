"""The stores' keys, as the operator turns them: its own identity, and a kubelet's word for what a keeper reports."""

import base64
import datetime as dt
from typing import Any

from cloister import keyring, names
from cloister.keyring import Keyring
from cloister.names import Key
from cloister.sidecar import KeeperReport
from cloister.zones import Component
from tests.integration.operator.world import Object, World, minimal, until

STORE = Component.CHECKPOINTS


def keys(world: World, name: str) -> Keyring:
    """The keyring as it is stored."""
    secret = world.get(("Secret", f"{name}-storage", names.keyring(STORE)))
    return keyring.parse(base64.b64decode(secret["data"][keyring.FILE]))


def ask_for_a_new_key(world: World, name: str) -> None:
    """As `cloister keys rotate` does."""
    asked = {names.rotation_request(STORE): dt.datetime.now(dt.UTC).isoformat()}
    world.merge((names.KIND, "", name), {"metadata": {"annotations": asked}})


def told(world: World, name: str) -> Object:
    """What status says of the store's keys."""
    found: list[Object] = world.deployment(name)["status"].get("keyrings", [])
    return next((one for one in found if one["store"] == STORE.value), {})


def report(world: World, pod: Key, **fields: Any) -> None:
    """What the kubelet writes when the keeper has ended."""
    message = KeeperReport(**{"store": STORE.value, "current": 2, "emptied": (1,)} | fields).model_dump_json()
    moment = "2026-01-01T00:00:00Z"
    ended = {"exitCode": 0, "message": message, "startedAt": moment, "finishedAt": moment, "reason": "Completed"}
    status = {
        "name": "keeper", "image": "cloister", "imageID": "", "ready": True, "restartCount": 1,
        "lastState": {"terminated": ended},
    }  # fmt: skip
    path = world.path(pod, "status")
    answer = world.admin.patch(path, {"status": {"initContainerStatuses": [status]}}, real=True)
    assert answer.code == 200, str(answer)


def test_a_key_is_made_on_request_and_the_old_one_goes_when_nothing_lies_under_it(world: World) -> None:
    name = world.converge(minimal("rekeyed"))
    first = keys(world, name)
    assert told(world, name) | {"created": ""} == {
        "store": "checkpoints", "secret": "keyring-checkpoints", "current": 1, "old": [], "created": ""
    }  # fmt: skip
    ask_for_a_new_key(world, name)
    until(lambda: told(world, name).get("current") == 2, "status tells of the second key")
    both = keys(world, name)
    assert both.keys[0] == first.keys[0]
    assert both.current == 2
    assert "checkpoints (from 1 to 2)" in world.condition(name, "EncryptedAtRest")["message"]
    # A second request while the first is under way adds nothing.
    ask_for_a_new_key(world, name)
    world.quiet(name)
    assert keys(world, name) == both
    pod: Key = ("Pod", f"{name}-storage", f"{STORE}-0")
    until(lambda: world.find(pod) is not None, "the store's pod")
    report(world, pod, emptied=(2,))
    ask_for_a_new_key(world, name)  # has the operator look
    world.quiet(name)
    assert keys(world, name) == both
    report(world, pod)
    ask_for_a_new_key(world, name)
    until(lambda: keys(world, name).keys[0].id == 2, "the first key is destroyed")
    assert keys(world, name).keys[0] == both.keys[1]


def test_a_key_is_made_when_it_is_old(world: World) -> None:
    resource = minimal("aging")
    resource["spec"]["storage"]["checkpoints"]["encryption"] = {"rotateEvery": "1s"}
    name = world.converge(resource)
    until(lambda: len(keys(world, name).keys) == 2, "a second key")
    world.quiet(name)
    assert len(keys(world, name).keys) == 2  # the next one waits until the objects have moved


def test_a_keyring_of_somebody_else_is_neither_made_nor_read(world: World) -> None:
    start = world.mark()
    resource = minimal("vaulted")
    resource["spec"]["storage"]["checkpoints"]["encryption"] = {"keyRef": {"name": "from-vault"}}
    name = world.converge(resource)
    assert world.find(("Secret", f"{name}-storage", names.keyring(STORE))) is None
    volumes = world.get(("StatefulSet", f"{name}-storage", STORE.value))["spec"]["template"]["spec"]["volumes"]
    assert "from-vault" in {volume.get("secret", {}).get("secretName") for volume in volumes}
    assert told(world, name) == {"store": "checkpoints", "secret": "from-vault"}
    asked = [
        event["objectRef"].get("name")
        for event in world.plane.audit_events(start)
        if event["objectRef"].get("resource") == "secrets" and "cloister" in event["user"]["username"]
    ]
    assert "from-vault" not in asked
