"""What a model server that has been taken over would try, from where it runs. Standard library only: its source is
handed to a bare interpreter in the workload's container, with its task as one JSON argument; it prints what happened.
"""

import http.client
import json
import os
import socket
import ssl
import sys
from typing import Any


def sockets(paths: list[str]) -> dict[str, str]:
    """Each unix socket: connected, or the name of the error."""
    return {path: _attempt(lambda path=path: _connected(path)) for path in paths}


def _connected(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)
    return "connected"


def ports() -> list[int]:
    """Every TCP port of the pod that takes a connection."""
    found = []
    for port in range(1, 65536):
        with socket.socket() as one:
            # Now and then a free port is its own at that moment, and it meets itself.
            if one.connect_ex(("127.0.0.1", port)) == 0 and one.getsockname() != one.getpeername():
                found.append(port)
    return found


def asked(port: int, method: str, path: str, headers: dict[str, str]) -> list[Any]:
    """Status and body of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, b"{}" if method != "GET" else None, headers)
    reply = connection.getresponse()
    return [reply.status, reply.read().decode("latin-1")]


def over_tls(port: int, headers: dict[str, str]) -> list[Any]:
    """A request to the gate as anybody who has no certificate; the model has none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    connection.request("POST", "/v1/chat/completions", b"{}", headers)
    return [connection.getresponse().status]


def abstract() -> list[str]:
    """Unix sockets that lie in no directory: these the network namespace shares."""
    with open("/proc/net/unix") as table:  # noqa: PTH123
        return [line.split()[-1] for line in table if line.split()[-1].startswith("@")]


def listed(paths: list[str]) -> dict[str, Any]:
    """What is in directories."""
    return {path: _attempt(lambda path=path: sorted(os.listdir(path))) for path in paths}  # noqa: PTH208


def _attempt(action: Any) -> Any:
    try:
        return action()
    except OSError as error:
        return type(error).__name__


def main(task: dict[str, Any]) -> dict[str, Any]:
    """Everything that was asked for."""
    headers = task["headers"]
    return {
        "who": [os.getuid(), os.getgid(), sorted(os.getgroups())],
        "sockets": sockets(task["sockets"]),
        "listed": listed(task["directories"]),
        "ports": ports() if task["scan"] else [],
        "abstract": abstract(),
        "asked": [[*one, _attempt(lambda one=one: asked(one[0], one[1], one[2], headers))] for one in task["requests"]],
        "tls": [_attempt(lambda port=port: over_tls(port, headers)) for port in task["tls"]],
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
