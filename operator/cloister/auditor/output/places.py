"""Where in a reply the text is: every string of a document, with the place where it stands.

Of the APIs that are known, the fields of the envelope are left out, which the server writes and not the model. Of any
other document no string is, not even a name.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from cloister.inspection.rows import Hit

ENVELOPE = frozenset(
    (
        *("id", "object", "model", "created", "created_at", "system_fingerprint", "service_tier", "obfuscation"),
        *("type", "role", "index", "status", "finish_reason", "native_finish_reason", "stop_reason"),
        *("item_id", "call_id", "previous_response_id"),
    )
)
"""Fields of chat completions, completions, responses and embeddings that say how a reply is made."""
_OF_MODEL = frozenset({"arguments", "input", "parsed"})
"""Below these all is the model's, whatever it is called."""
_BESIDE = ("logprobs", "token_ids")
"""What repeats a text in other words: the tokens that it was made of."""
MAX_PLACE = 1024
"""Characters. A place names all that its text lies in, so deep in long names it would be many times the document."""


class Uninspectable(Exception):  # noqa: N818 (says what the reply is)
    """A reply of which nobody can tell what it says."""


class Text(NamedTuple):
    """One string."""

    holder: Any
    """The object or list in which it stands."""
    key: str | int
    place: str
    value: str
    scope: Any
    """The choice or part that it belongs to: what stands beside it there repeats it."""


def texts(document: Any, *, known: bool) -> Iterator[Text]:
    """Every string, in the order of the document. `known`: it is one of the APIs' own. Uninspectable where one lies too
    deep."""
    stack: list[tuple[Any, str, Any, bool]] = [(document, "", None, known)]
    while stack:
        node, place, scope, known = stack.pop()
        below: list[tuple[Any, str, Any, bool]] = []
        if isinstance(node, dict):
            scope = scope or node
            for key, value in list(node.items()):
                if known and (key in ENVELOPE or key == "embedding"):
                    continue
                here = _within(place, key)
                if known and key in _BESIDE and value:
                    yield Text(node, key, here, said(value), scope)
                elif isinstance(value, str):
                    yield Text(node, key, here, value, scope)
                elif isinstance(value, dict | list):
                    # A choice keeps together; elsewhere each object speaks for itself.
                    within = known and key not in _OF_MODEL
                    below.append((value, here, scope if place.startswith("choices") else None, within))
                if not known:
                    yield Text(node, _Name(key), f"{here} (its name)", key, scope)
        else:
            for number, value in enumerate(node):
                if isinstance(value, str):
                    yield Text(node, number, f"{place}[{number}]", value, scope)
                elif isinstance(value, dict | list):
                    index = value.get("index", number) if isinstance(value, dict) else number
                    below.append((value, f"{place}[{index}]", scope, known))
        stack.extend(reversed(below))


def _within(place: str, key: str) -> str:
    if len(place) > MAX_PLACE:
        raise Uninspectable("a text of it lies too deep")
    return f"{place}.{key}" if place else key


class _Name(str):
    """The name of a field, where a name is what may have to change."""

    __slots__ = ()


def said(value: Any) -> str:
    """The text of log probabilities: their tokens, one after the other (chat and responses: `token`; completions:
    `tokens`). Of any other form, all strings."""
    if isinstance(value, dict) and isinstance(value.get("tokens"), list):
        return "".join(token for token in value["tokens"] if isinstance(token, str))
    found: list[str] = []
    lists = [part for part in value.values() if isinstance(part, list)] if isinstance(value, dict) else [value]
    for entries in lists:
        for entry in entries if isinstance(entries, list) else ():
            token = entry.get("token") if isinstance(entry, dict) else entry
            if isinstance(token, str):
                found.append(token)
    return "".join(found)


def hidden(hit: Hit, length: int, *, json: bool) -> str:
    """What stands in place of a value, or a part of it: as many characters. What may be a number in JSON stays one."""
    return ("9" if hit.number and json else "*") * length


def replace(text: Text, value: str) -> None:
    """Puts another string in its place, and takes away what repeats the first beside it."""
    holder, key = text.holder, text.key
    if isinstance(key, _Name):
        while value in holder:
            value += "*"  # two names of one length stay two
        holder[value] = holder.pop(key)
    elif key in _BESIDE:
        holder[key] = [] if isinstance(holder[key], list) else None
    else:
        holder[key] = value
    for scope in (text.scope, holder):
        if isinstance(scope, dict):
            for beside in _BESIDE:
                if scope.get(beside):
                    scope[beside] = [] if isinstance(scope[beside], list) else None
