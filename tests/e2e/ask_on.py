"""People who never stop asking, each on a connection of their own, and say what came of each question.

Run on the node's side, in the network of the application's pod, so that it goes on whatever is killed. Reads its plan,
one JSON document, from the first line of standard input, and ends when that is closed; prints a JSON document for
each question, when its end is known.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from typing import Any

_SECONDS = 60
_QUESTIONS = 5
"""On one connection: certificates are seen when a connection is made."""
_SHIFT = 40
"""Questions of one person."""


class Gate(http.client.HTTPSConnection):
    """A connection to an address under a name that nothing here could look up."""

    def __init__(self, plan: dict[str, Any], context: ssl.SSLContext) -> None:
        super().__init__(plan["host"], plan["port"], context=context, timeout=_SECONDS)
        self._address, self._tls = plan["address"], context

    def connect(self) -> None:
        """As the base class does, but to the address."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)

    @property
    def shown(self) -> str:
        """Which certificate the gate has shown."""
        shown = self.sock.getpeercert()
        assert shown
        return str(shown["serialNumber"])


def main() -> None:
    """One thread a person, until standard input ends."""
    plan = json.loads(sys.stdin.readline())
    context = ssl.create_default_context(cafile=plan["ca"])
    context.load_cert_chain(plan["certificate"], plan["key"])
    stop, lock = threading.Event(), threading.Lock()

    def say(what: dict[str, Any]) -> None:
        with lock:
            print(json.dumps(what), flush=True)

    threads = [
        threading.Thread(target=person, args=(plan, number, tokens, context, stop, say))
        for number, tokens in enumerate(plan["tokens"])
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()


def person(
    plan: dict[str, Any], number: int, tokens: list[str], context: ssl.SSLContext, stop: threading.Event, say: Any
) -> None:
    """Asks, streamed and not by turns, a few questions on each connection, and after a failure on a new one.

    Whoever has asked a while is relieved by somebody else, and no two questions are alike: that many of one person
    would be unusual behaviour.
    """
    connection, asked = Gate(plan, context), 0
    while not stop.wait(plan["pause"]):
        token = tokens[asked // _SHIFT % len(tokens)]
        asked += 1
        name = f"The with statement {number} {asked} {plan['name']}" + " and so on" * (asked % 3)
        found: dict[str, Any] = {"person": number, "name": name, "began": time.time()}
        found |= {"status": None, "bytes": 0, "error": None}
        try:
            if connection.sock is None:
                connection.connect()
                found["certificate"] = connection.shown
            ask(connection, plan, name, token, found, stream=asked % 2 == 0)
        except (OSError, http.client.HTTPException) as error:
            found["error"] = repr(error)
            connection.close()
        if asked % _QUESTIONS == 0:
            connection.close()
        say(found | {"ended": time.time()})
    connection.close()


def ask(
    connection: Gate, plan: dict[str, Any], prompt: str, token: str, found: dict[str, Any], *, stream: bool
) -> None:
    """One question; ``found`` tells also of an answer that breaks off."""
    body = {
        "model": plan["model"],
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 8,
        "temperature": 0,
        "stream": stream,
    }
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", plan["path"], json.dumps(body), headers)
    answer = connection.getresponse()
    found["status"] = answer.status
    while data := answer.read1(65536):
        found["bytes"] += len(data)
    answer.close()  # where a length is given, read1 does not


if __name__ == "__main__":
    main()
