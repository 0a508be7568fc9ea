"""Pure: whether a live object is exactly what was rendered, and what it must become if not.

Server-side apply leaves what others *added*, and whose field something is can be forged, so objects are judged by
their content alone: everything outside `metadata` and `status` must be rendered, or be a default that the API server
fills in, or one of the fields that a controller of the cluster owns (`defaults`).
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from cloister import names
from cloister.controller.defaults import Tolerated

Object = dict[str, Any]
Path = tuple[str, ...]

_NOT_COMPARED = {"apiVersion", "kind", "metadata", "status"}
_GUARDED_LABELS = ("pod-security.kubernetes.io/", f"{names.GROUP}/")
"""Prefixes of labels of a Namespace that nobody else may add: they would weaken Pod Security, or lie about the zone."""
_QUANTITIES = {"requests", "limits", "hard", "sizeLimit", "capacity"}
_ANY_ITEM = "*"


def differs(live: Object | None, rendered: Object, tolerated: Tolerated) -> str | None:
    """Why the live object is not what was rendered, in words; None when it is."""
    if live is None:
        return "is missing"
    for what in _differences(rendered, live, tolerated):
        return what
    return None


def drifted(live: Object, rendered: Object) -> bool:
    """Whether a difference is somebody else's doing: what we want has not changed since the object was written."""
    return _hash(live) == _hash(rendered)


def surplus(live: Object, rendered: Object, tolerated: Tolerated) -> list[tuple[str, Any]]:
    """What the live object has, outside metadata and status, that is neither rendered nor tolerated: path and value."""
    return [(".".join(path), value) for path, value in _surplus(rendered["kind"], rendered, live, tolerated)]


def repaired(live: Object, rendered: Object, tolerated: Tolerated) -> Object:
    """The object to PUT: as rendered, plus what is tolerated of the live one, and foreign labels and annotations."""
    metadata, wanted = dict(live["metadata"]), rendered["metadata"]
    for part in ("labels", "annotations"):
        kept = {name: value for name, value in metadata.get(part, {}).items() if not _guarded(rendered["kind"], name)}
        metadata[part] = kept | wanted.get(part, {})
    if "ownerReferences" in wanted:
        metadata["ownerReferences"] = wanted["ownerReferences"]
    else:
        metadata.pop("ownerReferences", None)
    body = {name: value for name, value in live.items() if name not in _NOT_COMPARED}
    content = {name: value for name, value in rendered.items() if name not in _NOT_COMPARED}
    merged: Object = _merged(rendered["kind"], content, body, (), tolerated)
    kept = {name: live[name] for name in ("apiVersion", "kind", "status") if name in live}
    return kept | merged | {"metadata": metadata}


def _differences(rendered: Object, live: Object, tolerated: Tolerated) -> Iterator[str]:
    kind, metadata, wanted = rendered["kind"], live["metadata"], rendered["metadata"]
    for part in ("labels", "annotations"):
        values = metadata.get(part, {})
        for name, value in wanted.get(part, {}).items():
            if values.get(name) != value:
                yield f"{part[:-1]} {name} is {values.get(name)!r}"
    for name in metadata.get("labels", {}):
        if _guarded(kind, name) and name not in wanted.get("labels", {}):
            yield f"label {name} was added"
    if metadata.get("ownerReferences", []) != wanted.get("ownerReferences", []):
        yield "ownerReferences differ"
    for path, what in _missing(rendered, live, ()):
        yield f"{'.'.join(path)} {what}"
    for path, _ in _surplus(kind, rendered, live, tolerated):
        yield f"{'.'.join(path)} was added"


def _missing(rendered: Any, live: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Where the live value lacks or changes what was rendered."""
    if isinstance(rendered, Mapping) and isinstance(live, Mapping):
        for name, value in rendered.items():
            if not path and name in _NOT_COMPARED:
                continue
            if name in live:
                yield from _missing(value, live[name], (*path, name))
            elif not _empty(value):
                yield (*path, name), "was removed"
    elif isinstance(rendered, list) and isinstance(live, list):
        if len(live) < len(rendered):
            yield path, f"has {len(live)} items instead of {len(rendered)}"
            return
        for index, value in enumerate(rendered):
            yield from _missing(value, live[index], (*path, str(index)))
    elif not _equal(rendered, live, path):
        yield path, f"is {_short(live)} instead of {_short(rendered)}"


def _surplus(kind: str, rendered: Object, live: Object, tolerated: Tolerated) -> Iterator[tuple[Path, Any]]:
    content = {name: value for name, value in live.items() if name not in _NOT_COMPARED}
    yield from _added(kind, rendered, content, (), tolerated)


def _added(kind: str, rendered: Any, live: Any, path: Path, tolerated: Tolerated) -> Iterator[tuple[Path, Any]]:
    if isinstance(live, Mapping):
        wanted = rendered if isinstance(rendered, Mapping) else {}
        for name, value in live.items():
            at = (*path, name)
            if name in wanted:
                yield from _added(kind, wanted[name], value, at, tolerated)
            elif not tolerated.allows(kind, at, value):
                if isinstance(value, Mapping) and value:
                    yield from _added(kind, {}, value, at, tolerated)
                elif not _empty(value):
                    yield at, value
    elif isinstance(live, list) and isinstance(rendered, list):
        for index, value in enumerate(live):
            if index < len(rendered):
                yield from _added(kind, rendered[index], value, (*path, _ANY_ITEM), tolerated)
            else:
                yield (*path, str(index)), value


def _merged(kind: str, rendered: Any, live: Any, path: Path, tolerated: Tolerated) -> Any:
    """The rendered value, completed with what is tolerated of the live one. Lists are as rendered, in that order."""
    if isinstance(rendered, Mapping) and isinstance(live, Mapping):
        merged = {}
        for name, value in live.items():
            at = (*path, name)
            if name in rendered:
                merged[name] = _merged(kind, rendered[name], value, at, tolerated)
            elif tolerated.allows(kind, at, value):
                merged[name] = value
            elif isinstance(value, Mapping) and (kept := _merged(kind, {}, value, at, tolerated)):
                merged[name] = kept
        return {name: value for name, value in rendered.items() if name not in merged} | merged
    if isinstance(rendered, list) and isinstance(live, list) and len(rendered) == len(live):
        return [
            _merged(kind, value, live[index], (*path, _ANY_ITEM), tolerated) for index, value in enumerate(rendered)
        ]
    return rendered


def _equal(rendered: Any, live: Any, path: Path) -> bool:
    if type(rendered) is type(live) and rendered == live:
        return True
    if _QUANTITIES.isdisjoint(path):
        return False
    wanted, found = _quantity(rendered), _quantity(live)
    return wanted is not None and wanted == found


_SUFFIXES = {"n": "1e-9", "u": "1e-6", "m": "1e-3", "": "1", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"}
_SCALES = {suffix: Decimal(scale) for suffix, scale in _SUFFIXES.items()} | {
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def _quantity(value: Any) -> Decimal | None:
    """A quantity as a number (Kubernetes API conventions, "Quantities"): the API server writes "1000m" as "1"."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    number = text.rstrip("numkKMGTPEi")
    try:
        return Decimal(number) * _SCALES[text[len(number) :]]
    except (InvalidOperation, KeyError):
        return None


def _guarded(kind: str, label: str) -> bool:
    return kind == "Namespace" and label.startswith(_GUARDED_LABELS)


def _empty(value: Any) -> bool:
    """The API server drops empty lists, maps and strings; False and 0 say something."""
    return value is None or (isinstance(value, Mapping | list | str) and not value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _hash(obj: Object) -> str | None:
    found: str | None = obj["metadata"].get("annotations", {}).get(names.ANNOTATION_RENDERED)
    return found
