"""Replies of the three APIs, streamed and whole, that say given texts; and what a client reads out of them."""

import json
from collections.abc import Iterable
from typing import Any

from cloister import sidecar
from cloister.auditor.callers import Caller
from cloister.auditor.http.messages import Head
from cloister.auditor.judges import Asked
from cloister.auditor.openai.dialect import dialect_of
from cloister.auditor.output.guard import OutputGuard
from cloister.auditor.stats import Stats
from cloister.inspection.sensitive import KINDS

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
Place = tuple[str, str]
"""Choice or item, and what of it: `content`, `arguments`, ..."""


def guard(action: str = "Mask", stats: Stats | None = None, **output: Any) -> OutputGuard:
    """One that looks for everything, but where it is told otherwise."""
    found = sidecar.Output.model_validate({"action": action, "kinds": KINDS} | output)
    return OutputGuard(found, Stats() if stats is None else stats)


def asked(path: str = CHAT, **document: Any) -> Asked:
    """A request."""
    return Asked(Caller("spiffe://cluster.local/ns/a/sa/b"), "chat", dialect_of(path), document)


def event(document: dict[str, Any], name: str = "") -> bytes:
    """One event."""
    first = f"event: {name}\n" if name else ""
    return f"{first}data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def chat(delta: dict[str, Any], index: int = 0, **more: Any) -> bytes:
    """One chunk of a chat completion."""
    choice = {"index": index, "delta": delta, "finish_reason": None} | more
    return event({"id": "c1", "object": "chat.completion.chunk", "model": "tiny", "choices": [choice]})


def finish(index: int = 0) -> bytes:
    """The chunk that ends a choice."""
    return chat({}, index, finish_reason="stop")


def called(arguments: str, index: int = 0, tool: int = 0) -> bytes:
    """A chunk with a piece of a tool call's arguments."""
    return chat({"tool_calls": [{"index": tool, "function": {"arguments": arguments}}]}, index)


def streamed(path: str, texts: Iterable[tuple[Place, str]]) -> list[bytes]:
    """Events that say these pieces, in this order, and end."""
    out: list[bytes] = []
    seen: dict[Place, str] = {}
    for place, text in texts:
        choice, kind = place
        seen[place] = seen.get(place, "") + text
        if path == CHAT:
            index = int(choice)
            out.append(called(text, index) if kind == "arguments" else chat({kind: text}, index))
        elif path == COMPLETIONS:
            out.append(event({"id": "c1", "choices": [{"index": int(choice), "text": text, "finish_reason": None}]}))
        else:
            name = _NAMES[kind]
            where = {"item_id": f"i{choice}", "output_index": int(choice), "content_index": 0}
            out.append(event({"type": f"{name}.delta", **where, "delta": text}, f"{name}.delta"))
    for (choice, kind), text in seen.items() if path == RESPONSES else ():
        name = _NAMES[kind]
        where = {"item_id": f"i{choice}", "output_index": int(choice), "content_index": 0}
        key = "arguments" if kind == "arguments" else "text"
        out.append(event({"type": f"{name}.done", **where, key: text}, f"{name}.done"))
    if path == RESPONSES:
        return [*out, event({"type": "response.completed", "response": {"id": "r1", "status": "completed"}})]
    ends = [finish(int(choice)) for choice in sorted({choice for choice, _ in seen})] if path == CHAT else []
    return [*out, *ends, b"data: [DONE]\n\n"]


_NAMES = {"content": "response.output_text", "arguments": "response.function_call_arguments"}


def spoken(stream: bytes) -> dict[Place, str]:
    """What a client has heard in the end, by its place."""
    heard: dict[Place, str] = {}

    def hear(choice: Any, kind: str, text: Any) -> None:
        if isinstance(text, str):
            heard[str(choice), kind] = heard.get((str(choice), kind), "") + text

    for raw in stream.split(b"\n\n"):
        data = raw.rpartition(b"data: ")[2]
        if not raw or data == b"[DONE]":
            continue
        document = json.loads(data)
        for choice in document.get("choices", ()):
            hear(choice["index"], "text" if "text" in choice else "", choice.get("text"))
            for kind, value in choice.get("delta", {}).items():
                for call in value if kind == "tool_calls" else ():
                    hear(choice["index"], "arguments", call["function"]["arguments"])
                hear(choice["index"], kind, value)
        for kind, name in _NAMES.items():
            if document.get("type") == f"{name}.delta":
                hear(document["output_index"], kind, document["delta"])
    return heard


def received(reply: bytes) -> bytes:
    """What a caller receives of a reply to a chat, whole or streamed, where values are masked, as they are if a
    deployment says nothing else."""
    inspection = guard().begin(asked())
    if reply.startswith(b"data: "):
        return inspection.feed(reply) + inspection.end()
    return inspection.whole(Head(200, [(b"content-type", b"application/json")]), reply)
