"""The cache keeps the newer of two versions, whatever order they arrive in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloister import names
from cloister.controller.observed import Observed

Object = dict[str, Any]


def obj(version: int, kind: str = "ConfigMap", name: str = "x", **content: Any) -> Object:
    metadata = {
        "name": name,
        "namespace": "n",
        "resourceVersion": str(version),
        "labels": {names.LABEL_DEPLOYMENT: "d"},
        "managedFields": [{"manager": "somebody"}],
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


KEY = ("ConfigMap", "n", "x")


def version(observed: Observed) -> str | None:
    known = observed.get(KEY)
    return known["metadata"]["resourceVersion"] if known else None


def test_an_older_event_after_an_answer_to_a_write_is_ignored() -> None:
    observed = Observed()
    assert observed.put(obj(5, data={"a": "b"}))
    assert not observed.put(obj(4, data={"a": "old"}))
    assert not observed.put(obj(5, data={"a": "b"}))
    assert version(observed) == "5"


def test_a_late_deletion_does_not_remove_what_was_made_since() -> None:
    observed = Observed()
    observed.put(obj(9))
    assert not observed.remove(obj(7))
    assert version(observed) == "9"


def test_a_late_event_does_not_bring_back_what_is_gone() -> None:
    observed = Observed()
    observed.put(obj(5))
    assert observed.remove(obj(7))
    assert not observed.put(obj(6))
    assert observed.get(KEY) is None
    assert observed.labelled("d") == []
    assert observed.put(obj(8))


def test_what_a_list_lacks_is_gone_unless_it_is_newer() -> None:
    observed = Observed()
    observed.put(obj(5, name="x"))
    observed.put(obj(20, name="y"))
    assert observed.replace_kind("ConfigMap", [], "10") == {"d"}
    assert observed.get(KEY) is None
    assert observed.get(("ConfigMap", "n", "y")) is not None


def test_an_object_that_loses_its_label_is_nobodys() -> None:
    observed = Observed()
    observed.put(obj(5, kind="NetworkPolicy"))
    bare = obj(6, kind="NetworkPolicy")
    bare["metadata"]["labels"] = {}
    assert observed.put(bare)
    assert observed.labelled("d") == []
    assert list(observed.of_kind("NetworkPolicy", "n")) == ["x"]


def test_the_record_of_field_managers_is_not_kept() -> None:
    observed = Observed()
    observed.put(obj(5))
    assert "managedFields" not in (observed.get(KEY) or {})["metadata"]


def test_a_status_that_nobody_reads_wakes_nobody() -> None:
    observed = Observed()
    observed.put(obj(5, kind="ResourceQuota"))
    assert not observed.put(obj(6, kind="ResourceQuota", status={"used": {}}))
    observed.put(obj(5, kind="StatefulSet"))
    assert observed.put(obj(6, kind="StatefulSet", status={"readyReplicas": 1}))


@given(st.permutations([*range(1, 7)]), st.integers(1, 6))
def test_any_order_of_arrival_ends_the_same(order: list[int], deleted: int) -> None:
    """Versions 1 to 6 of an object, one of which is its deletion; after it the object was made again."""
    observed = Observed()
    for number in order:
        if number == deleted:
            observed.remove(obj(number))
        else:
            observed.put(obj(number))
    assert version(observed) == (None if deleted == 6 else "6")


def test_what_has_become_of_a_scheduled_run_is_news() -> None:
    observed = Observed()
    observed.put(obj(1, "CronJob", status={"active": [{"name": "training-1"}]}))
    assert observed.put(obj(2, "CronJob", status={"lastScheduleTime": "2026-06-01T02:00:00Z"}))
