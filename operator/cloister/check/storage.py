"""CK4nn: the storage classes under the stores, and what the deployments that are there ask of the cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

from cloister import names
from cloister.check.answer import Answer, Check, error, note, ok, warning
from cloister.check.cluster import RUNTIME_CLASSES
from cloister.check.view import Object, View
from cloister.spec.storage import FIELDS
from cloister.storageclass import encrypts, is_default

CLASSES = "apis/storage.k8s.io/v1/storageclasses"
DEPLOYMENTS = f"apis/{names.API_VERSION}/{names.PLURAL}"


def _default(view: View) -> Iterator[Answer]:
    classes = view.all(CLASSES)
    default = sorted(found["metadata"]["name"] for found in classes if is_default(found))
    others = ", ".join(sorted(found["metadata"]["name"] for found in classes)) or "none"
    match default:
        case [name]:
            yield ok(name, "is the default storage class")
        case []:
            yield warning("", f"there is no default storage class (those that exist: {others})")
        case _:
            yield warning(", ".join(default), "are all the default storage class: the newest wins")


def _encryption(view: View) -> Iterator[Answer]:
    for found in sorted(view.all(CLASSES), key=lambda found: str(found["metadata"]["name"])):
        name = found["metadata"]["name"]
        if encrypts(found):
            yield ok(name, "is known to encrypt")
        else:
            yield note(
                name,
                f"is not known to encrypt: mark it with the annotation {names.GROUP}/encrypted=true if it does."
                " Cloister encrypts what it stores in any case",
            )
    if not view.all(CLASSES):
        yield note("", "there is no storage class")


def _wanted(view: View) -> Iterator[Answer]:
    storage, runtime = _names(view.all(CLASSES)), _names(view.all(RUNTIME_CLASSES))
    for deployment in view.all(DEPLOYMENTS):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        missing = [
            f"spec.{field}: {value!r} does not exist (those that exist: {', '.join(sorted(there)) or 'none'})"
            for field, value, there in (*_storage(spec, storage), *_runtime(spec, runtime))
            if value and value not in there
        ]
        for message in missing:
            yield error(name, message)
        if not missing:
            yield ok(name, "finds the storage and runtime classes that it names")
    if not view.all(DEPLOYMENTS):
        yield ok("", f"there is no {names.KIND} yet")


def _storage(spec: Mapping[str, Any], there: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    for store in FIELDS.values():
        declared = (spec.get("storage") or {}).get(store) or {}
        yield f"storage.{store}.storageClassName", declared.get("storageClassName") or "", there


def _runtime(spec: Mapping[str, Any], there: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    for block in ("inference", "training"):
        yield f"{block}.runtimeClassName", (spec.get(block) or {}).get("runtimeClassName") or "", there


def _names(objects: tuple[Object, ...]) -> frozenset[str]:
    return frozenset(str(found["metadata"]["name"]) for found in objects)


STORAGE = (
    Check(
        "CK401",
        "A default storage class",
        "mark one storage class as default, or name one for each store under spec.storage",
        _default,
        asks=(CLASSES,),
    ),
    Check("CK402", "Storage classes that encrypt", "", _encryption, asks=(CLASSES,)),
    Check(
        "CK403",
        "What deployments ask of the cluster",
        "create the class, or name another",
        _wanted,
        asks=(CLASSES, RUNTIME_CLASSES, DEPLOYMENTS),
    ),
)
