"""Single attempts of a canary at real listeners of this machine."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloister.jobs.canary import listening, trying
from cloister.jobs.canary.__main__ import main
from cloister.jobs.canary.attempts import Attempt
from cloister.probing import Answer, Listener, Probe, Prober, greeting

RUN = "0123456789"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def attempt(port: int, kind: str = "tcp", *, canary: bool = False, seconds: float = 0.5) -> Answer:
    probe = Probe.model_validate({"to": "post", "address": "127.0.0.1", "port": port, "kind": kind, "canary": canary})
    return await Attempt(probe, RUN, seconds).make()


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]


def saying(text: bytes) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return talk


async def dumb(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("talk", "answer"),
    [
        (saying(greeting(RUN, "post")), Answer.REACHED),
        (saying(greeting(RUN, "another")), Answer.ANSWERED),
        (saying(greeting("another", "post")), Answer.ANSWERED),
        (saying(b""), Answer.ANSWERED),
        (dumb, Answer.ANSWERED),
    ],
    ids=["itself", "another post", "another run", "closes", "says nothing"],
)
async def test_only_the_canary_itself_counts_as_reached(talk: Talk, answer: Answer) -> None:
    """A mesh's proxy that accepts every connection is not the peer, and all the same something that answers."""
    async with server(talk) as port:
        assert await attempt(port, canary=True) is answer


async def test_where_nobody_listens_a_connection_is_refused() -> None:
    async with server(dumb) as port:
        pass
    assert await attempt(port) is Answer.REFUSED
    assert await attempt(port, "udp") is Answer.REFUSED


async def test_whoever_accepts_has_been_reached() -> None:
    async with server(dumb) as port:
        assert await attempt(port) is Answer.ANSWERED


@pytest.mark.parametrize("kind", ["udp", "dns"])
async def test_silence_is_told_from_an_answer(kind: str) -> None:
    class Peer(asyncio.DatagramProtocol):
        speaks = False

        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if self.speaks:
                self.transport.sendto(b"anything", addr)

    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(Peer, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    assert await attempt(port, kind) is Answer.SILENT
    peer.speaks = True
    assert await attempt(port, kind) is Answer.ANSWERED
    transport.close()


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate that signs itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("identity") / "gate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("verifies", [True, False], ids=["verifies", "does not"])
async def test_a_gate_that_wants_a_certificate_is_told_from_one_that_does_not(
    identity: Path, version: ssl.TLSVersion, verifies: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    context.load_verify_locations(identity)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(_serve_once, listening, context))
        expected = Answer.DEMANDED if verifies else Answer.ANSWERED
        assert await attempt(listening.getsockname()[1], "tls", seconds=3) is expected
        await serving


def _serve_once(listening: socket.socket, context: ssl.SSLContext) -> None:
    """One connection, by OpenSSL as it is: asyncio's server resets a TLS 1.2 connection without the alert."""
    connection, _ = listening.accept()
    with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
        secured.recv(1024)
        secured.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


async def test_a_gate_that_speaks_no_tls_proves_nothing() -> None:
    async with server(answering) as port:
        assert await attempt(port, "tls") in (Answer.FAILED, Answer.SILENT, Answer.REFUSED)


async def test_a_canary_listens_in_each_family_by_tcp_and_by_udp() -> None:
    """Also where the pod has one address only, and that of IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as found:
            port = found.getsockname()[1]
    except OSError:
        pytest.skip("there is no IPv6 here")
    config = Listener(run=RUN, post="post", tcp=(port,), udp=(port,), ready=port + 1)
    async with AsyncExitStack() as stack:
        await listening._serve(stack, config, port)
        await listening._echo(stack, config, port)
        for address in ("127.0.0.1", "::1"):
            assert await listening._deaf(config, address) == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENETDOWN])
async def test_what_is_never_sent_is_not_refused(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connecting(*_: object) -> None:
        raise OSError(number, "")

    monkeypatch.setattr("asyncio.open_connection", connecting)
    assert await attempt(1) is Answer.FAILED


R, A, S, X, E, B, C, U = (Answer(letter) for letter in "rasxebcu")


@pytest.mark.parametrize(
    ("kind", "first", "second", "counts"),
    [
        ("tcp", S, S, S),
        ("tcp", S, A, A),
        ("tcp", R, R, R),
        ("tcp", R, S, B),  # closed off too late
        ("tcp", A, X, B),
        ("udp", A, S, B),
        ("tcp", R, E, R),  # nobody knows what it is now
        ("tcp", S, E, E),
        ("tcp", E, S, S),
        ("tls", A, C, A),
        ("tls", A, S, A),  # a gate that is gone by then
        ("tls", U, C, U),
        ("tls", C, A, A),
    ],
)
def test_of_two_rounds_the_worse_counts(kind: str, first: Answer, second: Answer, counts: Answer) -> None:
    probe = Probe.model_validate({"to": "post", "address": "10.0.0.1", "port": 1, "kind": kind})
    assert trying._worse(probe, None, first) is first
    assert trying._worse(probe, first, second) is counts


@pytest.mark.parametrize("controlled", [True, False])
async def test_where_nothing_must_pass_the_network_is_given_time(
    controlled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that has no network yet is silent: where nothing tells when it has one, silence counts only later."""
    waited: list[float] = []
    tried: list[tuple[bool, list[float]]] = []

    async def once(_: Prober, probe: Probe) -> Answer:
        tried.append((probe.passes, list(waited)))
        return Answer.REACHED if probe.passes else Answer.SILENT

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(trying, "_once", once)
    monkeypatch.setattr("asyncio.sleep", sleep)
    probes = [Probe(to="a", address="10.0.0.1", port=1)]
    probes += [Probe(to="b", address="10.0.0.2", port=1, passes=True)] if controlled else []
    config = Prober(run=RUN, post="post", probes=tuple(probes))
    assert await trying._tried(config) == [S, R][: len(probes)]
    assert tried[-1] == (False, [] if controlled else [config.settle_seconds])


@pytest.mark.parametrize("arguments", [[], ["listen"], ["probe", "{}"], ["listen", "{}"], ["sing", "{}"]])
def test_arguments_that_can_not_be_used_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err
