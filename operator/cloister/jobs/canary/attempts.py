"""One attempt to reach something, and what came of it."""

import asyncio
import errno
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass

from cloister.probing import Answer, Probe, greeting

_DNS_QUESTION = (
    # RFC 1035, section 4.1: one question, recursion desired; `kubernetes.default.svc.cluster.local.`, A, IN.
    struct.pack("!6H", 0x1CA6, 0x0100, 1, 0, 0, 0)
    + b"".join(bytes([len(label)]) + label for label in (b"kubernetes", b"default", b"svc", b"cluster", b"local", b""))
    + struct.pack("!2H", 1, 1)
)
_REQUEST = b"GET / HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
_REFUSALS = {
    *(errno.ECONNREFUSED, errno.ECONNRESET),
    # By ICMP, or by a filter of the node's own.
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENOPROTOOPT),
    *(errno.EPERM, errno.EACCES),
}
_REPETITIONS = 3
"""Datagrams of an attempt: one may get lost. Connections, where the end of one tells little."""
_DEMANDS = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE")
"""Alerts by which a server says that it wants a certificate (RFC 8446, section 6.2; RFC 5246, section 7.2.2)."""


@dataclass(frozen=True)
class Attempt:
    """A probe, the run that it belongs to, and how long silence is listened to."""

    probe: Probe
    run: str
    seconds: float

    async def make(self) -> Answer:
        """Try once."""
        tried = {"tcp": self._tcp, "udp": self._datagrams, "dns": self._datagrams, "tls": self._tls}[self.probe.kind]
        try:
            return await tried()
        except TimeoutError:
            return Answer.SILENT
        except OSError as error:
            return Answer.REFUSED if error.errno in _REFUSALS else Answer.FAILED

    async def _tcp(self) -> Answer:
        connecting = asyncio.open_connection(self.probe.address, self.probe.port)
        reader, writer = await asyncio.wait_for(connecting, self.seconds)
        try:
            said = await asyncio.wait_for(reader.readline(), self.seconds) if self.probe.canary else b""
        except (TimeoutError, OSError):
            said = b""
        finally:
            writer.close()
        return self._told(said)

    async def _datagrams(self) -> Answer:
        protocol = _Datagrams()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: protocol, remote_addr=(self.probe.address, self.probe.port)
        )
        try:
            for _ in range(_REPETITIONS):
                transport.sendto(_DNS_QUESTION if self.probe.kind == "dns" else greeting(self.run, "?"))
                try:
                    return self._told(await asyncio.wait_for(protocol.answer(), self.seconds / _REPETITIONS))
                except TimeoutError:
                    continue
        finally:
            transport.close()
        return Answer.SILENT

    async def _tls(self) -> Answer:
        """A request without a certificate. A gate that ends a connection for other reasons, as when it restarts, does
        not do so time after time."""
        answer = Answer.FAILED
        for _ in range(_REPETITIONS):
            answer = await self._tls_once()
            if answer is not Answer.UNASKED:
                break
        return answer

    async def _tls_once(self) -> Answer:
        # It has no trust bundle, and nothing that it would say to the wrong server: it is to be refused.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connecting = asyncio.open_connection(self.probe.address, self.probe.port, ssl=context)
        try:
            reader, writer = await asyncio.wait_for(connecting, self.seconds)
        except ssl.SSLError as error:
            return Answer.DEMANDED if _demands(error) else Answer.FAILED
        try:
            # In TLS 1.3 a client has finished before the server says that it wants a certificate. A request that is
            # on its way then would have the connection reset, and the alert lost with it.
            with suppress(TimeoutError):
                said = await asyncio.wait_for(reader.read(1), self.seconds / 2)
                return Answer.ANSWERED if said else Answer.UNASKED
            writer.write(_REQUEST)
            said = await asyncio.wait_for(reader.read(1), self.seconds)
        except ssl.SSLError as error:
            return Answer.DEMANDED if _demands(error) else Answer.FAILED
        except ConnectionError:
            return Answer.FAILED
        finally:
            writer.close()
        return Answer.ANSWERED if said else Answer.UNASKED

    def _told(self, said: bytes) -> Answer:
        own = self.probe.canary and said == greeting(self.run, self.probe.to)
        return Answer.REACHED if own else Answer.ANSWERED


def _demands(error: ssl.SSLError) -> bool:
    return any(word in (error.reason or "") for word in _DEMANDS)


class _Datagrams(asyncio.DatagramProtocol):
    """The first answer, or the error that came instead."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def answer(self) -> bytes:
        """What came; cancelling this does not forget what comes later."""
        return await asyncio.shield(self._answer)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """An answer."""
        if not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """A message of ICMP."""
        if not self._answer.done():
            self._answer.set_exception(exc)
