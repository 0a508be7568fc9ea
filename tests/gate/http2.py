"""An HTTP/2 client that sends whatever headers and frames it is told to, right or wrong."""

import ssl
from contextlib import suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """What came back on the stream: no status where the gate ended the stream or the connection instead."""

    status: int | None = None
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    ended: str = ""


def ask(connection: ssl.SSLSocket, headers: Headers, body: bytes = b"", trailers: Headers | None = None) -> Answer:
    """One stream on a connection that has agreed on h2 by ALPN."""
    assert connection.selected_alpn_protocol() == "h2"
    config = H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
    )
    state = H2Connection(config)
    answer = Answer()
    state.initiate_connection()
    connection.sendall(state.data_to_send())
    state.send_headers(1, headers)
    if body:
        state.send_data(1, body)
    if trailers:
        state.send_headers(1, trailers, end_stream=True)
    else:
        state.end_stream(1)
    with suppress(OSError, ProtocolError):
        connection.sendall(state.data_to_send())
        while not answer.ended and (received := connection.recv(65536)):
            for event in state.receive_data(received):
                _take(answer, event)
            connection.sendall(state.data_to_send())
    answer.ended = answer.ended or "connection"
    return answer


def context_for(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same client, offering HTTP/2 only."""
    context.set_alpn_protocols(["h2"])
    return context


def _take(answer: Answer, event: Event) -> None:
    match event:
        case ResponseReceived():
            answer.headers = [(_text(name), _text(value)) for name, value in event.headers or []]
            answer.status = int(dict(answer.headers)[":status"])
        case DataReceived():
            answer.body += event.data or b""
        case StreamEnded():
            answer.ended = "stream"
        case StreamReset():
            answer.ended = "reset"
        case ConnectionTerminated():
            answer.ended = "connection"
        case _:
            pass


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
