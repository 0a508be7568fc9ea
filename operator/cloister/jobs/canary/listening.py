"""The canary that is to be reached, or must not be: it answers on every port that a workload of the zones may have."""

import asyncio
import signal
import socket
import sys
from contextlib import AsyncExitStack

from cloister.jobs.canary.attempts import Attempt
from cloister.probing import Answer, Listener, Probe, greeting

_SELF_SECONDS = 2.0
_TRIES = 10
_GREETING_SECONDS = 5.0
"""How long whoever connects may take to read; then the connection is gone."""


async def listen(config: Listener, addresses: tuple[str, ...]) -> int:
    """Listen until told to end (0); 1 when it can't be reached even by itself.

    ``addresses`` are the pod's own. Only when it has answered to itself at each, on every port, does it open the port
    that tells its kubelet: silence is then no sign of nobody listening.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        for port in config.tcp:
            await _serve(stack, config, port)
        for port in config.udp:
            await _echo(stack, config, port)
        for address in addresses:
            if deaf := await _deaf(config, address):
                print(f"can't reach itself at {address}: {', '.join(deaf)}", file=sys.stderr)
                return 1
        await _serve(stack, config, config.ready)
        print(f"listens at {' and '.join(addresses)} for {config.post}", flush=True)
        await stop.wait()
    return 0


async def _serve(stack: AsyncExitStack, config: Listener, port: int) -> None:
    said = greeting(config.run, config.post)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(said)
            await asyncio.wait_for(writer.drain(), _GREETING_SECONDS)
        except (TimeoutError, OSError):
            pass  # it has gone away
        finally:
            writer.close()

    # All addresses of the pod, whichever family the cluster gives it.
    server = await asyncio.start_server(greet, None, port)
    stack.push_async_callback(server.wait_closed)
    stack.callback(server.close)


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, said: bytes) -> None:
        self._said = said
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Note where answers go."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer whoever sends."""
        if self._transport:
            self._transport.sendto(self._said, addr)


async def _echo(stack: AsyncExitStack, config: Listener, port: int) -> None:
    said = greeting(config.run, config.post)
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            bound = _bound(family, port)
        except OSError:
            if family is socket.AF_INET:
                raise
            continue  # no IPv6 here; where the pod has an address of it, it does not reach itself there, and says so
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Echo(said), sock=bound)
        stack.callback(transport.close)


def _bound(family: socket.AddressFamily, port: int) -> socket.socket:
    """A socket for datagrams to every address of one family: each has its own, or the second finds the port taken."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("", port))
    except OSError:
        made.close()
        raise
    return made


async def _deaf(config: Listener, address: str) -> list[str]:
    """Ports on which it does not reach itself."""
    me = Probe(to=config.post, address=address, port=0, passes=True, canary=True)
    wanted = [me.model_copy(update={"port": port}) for port in config.tcp]
    wanted += [me.model_copy(update={"port": port, "kind": "udp"}) for port in config.udp]
    for _ in range(_TRIES):
        answers = await asyncio.gather(*(Attempt(probe, config.run, _SELF_SECONDS).make() for probe in wanted))
        wanted = [probe for probe, answer in zip(wanted, answers, strict=True) if answer is not Answer.REACHED]
        if not wanted:
            break
        await asyncio.sleep(0.1)
    return [f"{probe.port}/{probe.kind}" for probe in wanted]
