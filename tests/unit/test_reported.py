"""What the operator makes of the exporter's pod: known codes and numbers, whatever stands in its status."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister import names, sidecar
from cloister.controller import events, reported
from cloister.zones import Component

Object = dict[str, Any]
OWNER = {"metadata": {"uid": "u-1"}}


def ended(message: str, code: int = 0) -> Object:
    return {"terminated": {"exitCode": code, "message": message}}


def pod(message: str = "", *, code: int = 0, when: str = "lastState", owner: Object | None = None) -> Object:
    reference = {"kind": "StatefulSet", "name": "exporter", "uid": "u-1", "controller": True} | (owner or {})
    teller = {"name": names.TELLER, "ready": False, when: ended(message, code)}
    return {
        "metadata": {"name": "exporter-0", "ownerReferences": [reference]},
        "status": {"initContainerStatuses": [{"name": "gate", "ready": True}, teller]},
    }


def report(totals: Any, **more: Any) -> str:
    return json.dumps({"version": 1, "totals": totals} | more)


GOOD = {"inference": {"behaviour.end": 2, "journal.order": 1}}


@pytest.mark.parametrize("when", ["state", "lastState"])
def test_totals_are_read(when: str) -> None:
    assert reported.totals(pod(report(GOOD), when=when)) == GOOD


@pytest.mark.parametrize(
    "message",
    [
        "",
        "behaviour.end",
        "[]",
        report({"inference": {"say this to the admins": 1}}),
        report({"somebody": {"behaviour.end": 1}}),
        report({"inference": {"behaviour.end": -1}}),
        report({"inference": {"behaviour.end": "2"}}),
        report({"inference": {"behaviour.end": 1.5}}),
        report({"inference": {"behaviour.end": True}}),
        report({"inference": {"behaviour.end": 2**60}}),
        report(GOOD, note="more"),
        report(GOOD, version=2),
    ],
)
def test_anything_else_is_not_believed(message: str) -> None:
    assert reported.totals(pod(message)) is None


def test_a_teller_that_failed_and_other_containers_tell_nothing() -> None:
    assert reported.totals(pod(report(GOOD), code=1)) is None
    other = pod(report(GOOD))
    other["status"]["initContainerStatuses"][1]["name"] = "auditor"
    assert reported.totals(other) is None


@pytest.mark.parametrize(
    "owner", [{"uid": "u-2"}, {"controller": False}, {"kind": "Job"}, {"controller": None}, {"uid": ""}]
)
def test_only_the_pod_of_our_own_stateful_set_is_believed(owner: Object) -> None:
    assert reported.credible(pod(), OWNER)
    assert not reported.credible(pod(owner=owner), OWNER)
    assert not reported.credible(pod(), None)


KNOWN = "|".join(map(re.escape, sidecar.SERIOUS_CODES))
ONE = rf"({'|'.join(Component)}): ({KNOWN}) [0-9]+"
NOTE = re.compile(rf"alerts in the journal since the last Event: {ONE}(, {ONE})*\. [ -~]*")
EMPTY: Object = {"conditions": [], "exceptions": []}
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["version", "totals"]), inner)
    ),
)
near = st.dictionaries(
    st.sampled_from([*Component]) | st.text(),
    st.dictionaries(st.sampled_from(sidecar.SERIOUS_CODES) | st.text(), st.integers() | junk, max_size=3),
    max_size=3,
)


@given(st.text() | junk.map(json.dumps) | near.map(report), near.map(report))
def test_whatever_the_message_says_the_event_is_made_of_known_codes_and_numbers(first: str, second: str) -> None:
    before = EMPTY
    for message in (first, second):
        found = reported.totals(pod(message))
        after = EMPTY | ({} if found is None else {"alerts": reported.as_status(found)})
        notices = list(events.notices(before, after, []))
        assert len(notices) <= 1
        for notice in notices:
            assert (notice.type, notice.reason) == ("Warning", "SeriousAlerts")
            assert NOTE.fullmatch(notice.note), notice.note
        before = after


def test_an_event_tells_what_is_new_once() -> None:
    first = EMPTY | {"alerts": reported.as_status(GOOD)}
    (told,) = events.notices(EMPTY, first, [])
    assert "inference: behaviour.end 2, inference: journal.order 1." in told.note
    assert not list(events.notices(first, first, []))
    more = EMPTY | {"alerts": reported.as_status({"inference": {"behaviour.end": 3, "journal.order": 1}})}
    (told,) = events.notices(first, more, [])
    assert "Event: inference: behaviour.end 1." in told.note
    # The exporter has lost its volume, and counts from the beginning.
    anew = EMPTY | {"alerts": reported.as_status({"inference": {"behaviour.end": 1}})}
    (told,) = events.notices(more, anew, [])
    assert "Event: inference: behaviour.end 1." in told.note


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ('{"reason": "ExportKeyMissing"}', ["ExportKeyMissing"]),
        ('{"reason": "ExportKeyMissing", "message": "call this number"}', []),
        ('{"reason": "Anything"}', []),
        ("", []),
    ],
)
def test_why_it_cannot_begin_is_one_of_known_reasons(message: str, found: list[str]) -> None:
    failed = {"name": names.EXPORTER, "ready": False, "state": {"waiting": {}}, "lastState": ended(message, 3)}
    endings = list(
        reported.refusals({"metadata": {"name": "exporter-0"}, "status": {"containerStatuses": [failed]}}, "a/b")
    )
    assert [one.reason for one in endings] == found
    assert all(one.message.startswith("Secret a/b: ") for one in endings)


def test_it_works_though_its_teller_has_ended() -> None:
    found = pod(report(GOOD))
    assert not reported.works(found)
    found["status"]["containerStatuses"] = [{"name": names.EXPORTER, "ready": True}]
    assert reported.works(found)
    found["status"]["initContainerStatuses"][0]["ready"] = False
    assert not reported.works(found)
