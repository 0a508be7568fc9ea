"""Tries connections from many networks of one machine at once, again and again, and says which came through.

Run on the node's side: nothing of it is in any pod. It enters each pod's network (setns(2)) only to make a socket.
Reads its plan, one JSON document, from the first line of standard input, and ends when that is closed; prints a JSON
document a round: when it began and ended (seconds since 1970), and the numbers of the attempts that came through.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

_CLONE_NEWNET = 0x40000000
_QUESTION = struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + b"\x07cluster\x05local\x00" + struct.pack("!HH", 6, 1)
"""A DNS question without its number (RFC 1035, section 4.1): a server of names answers it, everybody else sends it
back. The number is the attempt's, so that what arrives tells also where no answer finds its way back."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: thousands of connections that are closed in good order would keep their ports for a minute each."""


class Networks:
    """The networks by name, entered for as long as it takes to make a socket."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._own = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._others = {name: os.open(path, os.O_RDONLY) for name, path in paths.items()}

    def socket(self, network: str, protocol: str) -> socket.socket:
        """A socket in that network."""
        self._enter(self._others[network])
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        finally:
            self._enter(self._own)
        made.setblocking(False)
        return made

    def _enter(self, descriptor: int) -> None:
        if self._libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes, and notes whose it was."""

    def __init__(self, arrived: set[int]) -> None:
        self._arrived = arrived

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._arrived.add(struct.unpack("!H", data[:2])[0])
        self._transport.sendto(data, addr)


async def listen(networks: Networks, network: str, protocol: str, port: int, arrived: set[int]) -> None:
    """Take connections, or datagrams, for as long as the program runs; not where the pod itself does."""
    loop = asyncio.get_running_loop()
    sock = networks.socket(network, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            return
        raise
    if protocol == "tcp":
        await asyncio.start_server(lambda _, writer: writer.close(), sock=sock)
    else:
        await loop.create_datagram_endpoint(lambda: Echo(arrived), sock=sock)


async def attempt(networks: Networks, number: int, network: str, protocol: str, host: str, port: int) -> bool:
    """Whether a connection came about, or an answer came."""
    loop = asyncio.get_running_loop()
    with networks.socket(network, protocol) as sock:
        try:
            await loop.sock_connect(sock, (host, port))
            if protocol == "tcp":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return True
            await loop.sock_sendall(sock, struct.pack("!H", number) + _QUESTION)
            return bool(await loop.sock_recv(sock, 512))
        except OSError:
            return False


async def one_round(networks: Networks, attempts: list[Any], seconds: float, arrived: set[int]) -> dict[str, Any]:
    """All attempts at once."""
    began = time.time()
    arrived.clear()
    tasks = [asyncio.create_task(attempt(networks, number, *what)) for number, what in enumerate(attempts)]
    _, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    through = {number for number, task in enumerate(tasks) if not task.cancelled() and task.result()}
    return {"began": began, "ended": time.time(), "through": sorted(through | arrived)}


async def main() -> None:
    """Round after round, until standard input ends."""
    plan = json.loads(sys.stdin.readline())
    networks, arrived = Networks(plan["networks"]), set[int]()
    for network, protocol, port in plan["listen"]:
        await listen(networks, network, protocol, port, arrived)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        found = await one_round(networks, plan["attempts"], plan["seconds"], arrived)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        asyncio.run(main())
