"""What is sent: chat completions of three sizes, answered at once or streamed, from 1, 16 and 64 connections."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "stream", "paced"]

SIZES = (1 << 10, 16 << 10, 128 << 10)
CONNECTIONS = (1, 16, 64)
EVENTS = 200
"""Tokens of a streamed reply."""
PAUSE = 5_000
"""Microseconds between two events of a paced stream: a model that writes 200 tokens a second."""
PATH = "/v1/chat/completions"

# Letters only: nothing in it may look like a card or a telephone number, which would be work for some paths alone.
_WORDS = "Please tell me in plain words what the quick brown fox did after it had jumped over the lazy dog. "


@dataclass(frozen=True)
class Workload:
    """One cell of the table, for every path alike."""

    kind: Kind
    size: int
    """Bytes of the request's body, and of a plain reply's."""
    connections: int

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.kind}, {self.size >> 10} KB, {self.connections} conn"

    @property
    def model(self) -> str:
        """The model's name, by which the stub knows what to answer."""
        match self.kind:
            case "plain":
                return f"plain-{self.size}"
            case "stream":
                return f"events-{EVENTS}-0"
            case "paced":
                return f"events-{EVENTS}-{PAUSE}"

    def body(self) -> bytes:
        """A chat completion request of exactly ``size`` bytes."""
        streamed = {} if self.kind == "plain" else {"stream": True}
        document = {"model": self.model, **streamed, "temperature": 0.2, "max_tokens": 1024}
        empty = len(_compact(document | {"messages": _messages("")}))
        text = (_WORDS * (self.size // len(_WORDS) + 1))[: self.size - empty]
        return _compact(document | {"messages": _messages(text)})

    def request(self, headers: Mapping[str, str]) -> str:
        """The whole request as it goes over the wire."""
        body = self.body()
        fields = {"host": "model", "content-type": "application/json", "content-length": str(len(body)), **headers}
        lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        return "\r\n".join(lines) + body.decode()


PROMPT = Workload("plain", 2 << 10, 1)
"""What inspection is measured by."""


def workloads(sizes: tuple[int, ...] = SIZES, connections: tuple[int, ...] = CONNECTIONS) -> list[Workload]:
    """Every cell. Paced streams have the smallest body only: they are about time, not size."""
    kinds: tuple[Kind, ...] = ("plain", "stream")
    cells = [Workload(kind, size, count) for kind, size, count in itertools.product(kinds, sizes, connections)]
    return [*cells, PROMPT, *(Workload("paced", sizes[0], count) for count in connections)]


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
