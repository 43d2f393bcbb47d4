"""A listener on a real socket: HTTP as clients send it, good and bad, TLS, and drain."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kapi.clock import SystemClock
from kapi.credentials import certificates
from kapi.edge import asgi, protocol, websocket_protocol
from kapi.edge.asgi import App
from kapi.edge.listener import AddressInUse, BadAddress, Listener, bind, bind_unix
from kapi.edge.tls import TlsFiles, server_context
from kapi.messages import Handler, Request, Response

WAIT_S = 10.0  # for what comes at once, on a busy machine


async def echo(request: Request) -> Response:
    body = await request.body.read(1 << 20)
    line = f"{request.method} {request.raw_path} {request.path} {len(body)}"
    return Response(200, [("Content-Type", "text/plain")], line.encode())


@asynccontextmanager
async def serving(
    handler: Handler = echo, *, tls: ssl.SSLContext | None = None, http2: bool = False
) -> AsyncIterator[tuple[Listener, int]]:
    listener = Listener(App(handler, SystemClock()), SystemClock(), tls=tls, http2=http2)
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    await listener.start(sock)
    try:
        yield listener, port
    finally:
        await listener.drain(1)


async def exchange(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), WAIT_S)
    finally:
        writer.close()


async def unanswered(exchanged: Awaitable[bytes]) -> bool:
    """Whether the server closed the connection, politely or not, without a byte."""
    try:
        return await exchanged == b""
    except (ssl.SSLError, ConnectionError):
        return True


CLOSE = b"Host: a\r\nConnection: close\r\n\r\n"


async def ask(port: int, line: bytes, tls: ssl.SSLContext | None = None) -> tuple[bytes, bytes]:
    head, _, body = (await exchange(port, line + b"\r\n" + CLOSE, tls)).partition(b"\r\n\r\n")
    return head, body


async def test_keep_alive_and_date() -> None:
    async with serving() as (_, port):
        request = b"GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n"
        answer = await exchange(port, request + b"GET /z HTTP/1.1\r\n" + CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"\r\ndate: ") == 2
    assert answer.endswith(b"GET /z /z 0")


@pytest.mark.parametrize("method", [b"GET", b"FOO", b"LIST", b"CONNECT", b"X-y!z", b"PRI"])
async def test_any_method_name(method: bytes) -> None:
    async with serving() as (_, port):
        head, body = await ask(port, method + b" /a HTTP/1.1")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == method + b" /a /a 0"


async def test_method_names_of_pipelined_requests_are_not_mixed_up() -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPO")
        assert (await reader.readuntil(b"GET /1 /1 0"))[:12] == b"HTTP/1.1 200"
        writer.write(b"ST /2 HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\nab")
        assert b"200" in await reader.readuntil(b"POST /2 /2 2")
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /% HTTP/1.1\r\n" + CLOSE, 400),
        (b"GET /a%2 HTTP/1.1\r\n" + CLOSE, 400),
        (b"GET /a%zz HTTP/1.1\r\n" + CLOSE, 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n" + CLOSE, 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" + CLOSE, 400),
        (b"GET / HTTP/1.1\r\nExpect: nothing\r\n" + CLOSE, 417),
    ],
)
async def test_refused_before_any_handler(data: bytes, status: int) -> None:
    async def never(request: Request) -> Response:
        raise AssertionError("a handler was asked")

    async with serving(never) as (_, port):
        answer = await exchange(port, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in answer
    if status == 400:
        assert answer.endswith(b"400 Bad Request")


async def test_garbage_after_a_request_does_not_cost_its_answer() -> None:
    async with serving() as (_, port):
        answer = await exchange(port, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01garbage")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"GET /a /a 0")


async def test_escapes_in_the_path() -> None:
    async with serving() as (_, port):
        _, body = await ask(port, b"GET /a%2Fb%00%C3%BC%ff HTTP/1.1")
    assert body.decode() == "GET /a%2Fb%00%C3%BC%ff /a/b\x00ü� 0"


async def test_header_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_BYTES_MAX", 4096)
    async with serving() as (_, port):
        huge = b"GET / HTTP/1.1\r\nX: " + b"x" * 5000 + b"\r\n" + CLOSE
        answer = await exchange(port, huge)
        assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
        fits = b"GET / HTTP/1.1\r\nX: " + b"x" * 3000 + b"\r\n" + CLOSE
        assert (await exchange(port, fits)).startswith(b"HTTP/1.1 200")


async def test_continue_is_sent_when_the_body_is_wanted() -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert (await reader.readuntil(b"PUT / / 2")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_unwanted_body_is_discarded_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(request: Request) -> Response:
        return Response(413, [], b"no")

    monkeypatch.setattr(protocol, "DISCARD_BYTES_MAX", 100_000)
    async with serving(refuse) as (_, port):
        small = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000
        answer = await exchange(port, small + b"PUT /again HTTP/1.1\r\n" + CLOSE)
        assert answer.count(b"HTTP/1.1 413") == 2
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        assert await reader.readuntil(b"no")
        with pytest.raises(ConnectionError):
            await flood(writer)
        writer.close()


async def flood(writer: asyncio.StreamWriter) -> None:
    for _ in range(200):
        writer.write(b"x" * 10_000)
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("constant", "sent"),
    [
        ("HEADER_SECONDS", b"GET / HTTP/1.1\r\nHos"),
        ("HEADER_SECONDS", b""),
        ("BODY_STALL_SECONDS", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"),
    ],
)
async def test_slow_clients_are_cut_off(
    monkeypatch: pytest.MonkeyPatch, constant: str, sent: bytes
) -> None:
    monkeypatch.setattr(protocol, constant, 0.1)
    async with serving() as (_, port):
        start = time.monotonic()
        assert await unanswered(exchange(port, sent))
        assert time.monotonic() - start > 0.05


async def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async def endless(request: Request) -> Response:
        return Response(200, [], body())

    monkeypatch.setattr(protocol, "WRITE_STALL_SECONDS", 0.2)
    async with serving(endless) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(closed.wait(), WAIT_S)
        writer.close()


@pytest.mark.parametrize("form", ["slices", "bytes", "stream"])
async def test_who_takes_an_answer_in_sips_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """What the request holds (a seat of flow control) is given back though bytes are taken."""
    over = asyncio.Event()
    piece = os.urandom(100_000)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield piece

    async def large(request: Request) -> Response:
        request.exit.append(over.set)
        request.deadline = SystemClock().monotonic()
        if form == "stream":
            return Response(200, [], stream())
        return Response(200, [], [piece] * 200 if form == "slices" else piece * 200)

    monkeypatch.setattr(asgi, "LATE_SECONDS", 0.2)
    async with serving(large) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")

        async def sip() -> None:
            while await reader.read(64 * 1024):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

        sipping = asyncio.create_task(sip())
        await asyncio.wait_for(over.wait(), WAIT_S / 2)  # taking it all takes longer
        assert not sipping.done()
        sipping.cancel()
        writer.close()


async def test_a_stream_ends_with_its_client() -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            started.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def endless(request: Request) -> Response:
        return Response(200, [], body())

    async with serving(endless) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await started.wait()
        writer.close()
        await asyncio.wait_for(closed.wait(), WAIT_S)
        await asyncio.sleep(0)
        assert listener.connections == 0


# -- WebSocket ------------------------------------------------------------------------------------

HANDSHAKE = (
    b"GET /w HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Origin: https://example.com\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def watch(request: Request) -> Response:
    async def events() -> AsyncIterator[bytes]:
        yield b'{"n":1}\n'

    if request.websocket is None:
        return Response(200, [], b"plain")
    return Response(101, [("Audit-Id", "7")], events())


async def test_websocket_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "GOODBYE_SECONDS", 0.05)  # this client says none
    async with serving(watch) as (_, port):
        answer = await exchange(port, HANDSHAKE + b"Sec-WebSocket-Protocol: p\r\n\r\n")
    head, _, frames = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert b"Sec-WebSocket-Protocol: p" in head
    assert b"audit-id: 7" in head.lower()
    assert frames.startswith(b'\x81\x08{"n":1}\n')  # one text frame
    assert frames[10:] == b"\x88\x02\x03\xe8"  # close, 1000


async def test_any_subprotocol_may_be_offered() -> None:
    seen: list[tuple[str, ...] | None] = []

    async def watching(request: Request) -> Response:
        seen.append(request.websocket)
        assert request.headers.get("sec-websocket-protocol") == "a=, b"
        return Response(401, [], b"no")

    async with serving(watching) as (_, port):
        answer = await exchange(port, HANDSHAKE + b"Sec-WebSocket-Protocol: a=, b\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")
    assert seen == [("a=", "b")]


@pytest.mark.parametrize(
    "broken",
    [
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 12"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"Connection: Upgrade", b"Connection: x"),
        (b"websocket", b"SPDY/3.1"),
        (b"GET", b"POST"),
    ],
)
async def test_what_is_no_handshake_is_a_plain_request(broken: tuple[bytes, bytes]) -> None:
    async with serving(watch) as (_, port):
        request = HANDSHAKE.replace(*broken) + b"Content-Length: 0\r\nX: close\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.readuntil(b"plain")
        assert answer.startswith(b"HTTP/1.1 200")
        writer.close()


# -- TLS ------------------------------------------------------------------------------------------


class Pki:
    def __init__(self, directory: Path) -> None:
        now = time.time()
        self.directory = directory
        authorities = {name: certificates.make_ca(name, now) for name in ("users", "proxies", "x")}
        for name, ca in authorities.items():
            client = certificates.make_client(ca, f"{name}-client", ("g",), now)
            self._write(name, ca)
            self._write(f"{name}-client", client)
        self._write("server", certificates.make_serving(authorities["users"], ["127.0.0.1"], now))

    def _write(self, name: str, pair: certificates.Pair) -> None:
        self.path(name, "crt").write_bytes(pair.certificate)
        self.path(name, "key").write_bytes(pair.key)

    def path(self, name: str, kind: str) -> Path:
        return self.directory / f"{name}.{kind}"

    def server(self, **more: object) -> ssl.SSLContext:
        files = TlsFiles(
            str(self.path("server", "crt")),
            str(self.path("server", "key")),
            (str(self.path("users", "crt")), str(self.path("proxies", "crt"))),
            **more,  # type: ignore[arg-type]
        )
        return server_context(files)

    def client(self, name: str = "") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.path("users", "crt")))
        if name:
            context.load_cert_chain(self.path(name, "crt"), self.path(name, "key"))
        return context


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


async def who(request: Request) -> Response:
    names = [certificate.subject.rfc4514_string() for certificate in request.peer.certificates]
    return Response(200, [], repr((request.peer.tls, names)).encode())


@pytest.mark.parametrize(
    ("client", "seen"),
    [
        ("", []),
        ("users-client", ["CN=users-client,O=g", "CN=users"]),
        ("proxies-client", ["CN=proxies-client,O=g", "CN=proxies"]),
    ],
)
async def test_client_certificates_of_either_ca(pki: Pki, client: str, seen: list[str]) -> None:
    async with serving(who, tls=pki.server()) as (_, port):
        _, body = await ask(port, b"GET / HTTP/1.1", pki.client(client))
    assert body.decode() == repr((True, seen))


async def test_a_websocket_has_the_certificate_of_its_connection(pki: Pki) -> None:
    seen: list[str] = []

    async def watching(request: Request) -> Response:
        seen.extend(c.subject.rfc4514_string() for c in request.peer.certificates)
        return await watch(request)

    async with serving(watching, tls=pki.server()) as (_, port):
        context = pki.client("users-client")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b'{"n":1}\n')
        writer.close()
    assert seen == ["CN=users-client,O=g", "CN=users"]


async def test_a_certificate_of_an_unknown_ca_is_shown_all_the_same(pki: Pki) -> None:
    async with serving(who, tls=pki.server()) as (_, port):
        _, body = await ask(port, b"GET / HTTP/1.1", pki.client("x-client"))
    assert body.decode() == repr((True, ["CN=x-client,O=g"]))


async def test_tls_versions(pki: Pki) -> None:
    old = pki.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(who, tls=pki.server()) as (_, port):
        assert (await ask(port, b"GET / HTTP/1.1", old))[0].startswith(b"HTTP/1.1 200")
    async with serving(who, tls=pki.server(min_version="VersionTLS13")) as (_, port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(port, b"GET / HTTP/1.1", old)


async def test_cipher_suites_by_go_name(pki: Pki) -> None:
    name = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    context = pki.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(who, tls=pki.server(ciphers=(name,))) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert writer.get_extra_info("cipher")[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
        writer.close()


# -- life -----------------------------------------------------------------------------------------


async def test_drain_lets_answers_finish_and_closes_idle_connections(pki: Pki) -> None:
    release = asyncio.Event()
    entered = asyncio.Event()

    async def slow(request: Request) -> Response:
        if request.path == "/slow":
            entered.set()
            await release.wait()
        return Response(200, [], b"done")

    async with serving(slow, tls=pki.server()) as (listener, port):
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", port, ssl=pki.client())
        idle.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await idle_reader.readuntil(b"done")
        reader, busy = await asyncio.open_connection("127.0.0.1", port, ssl=pki.client())
        busy.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await entered.wait()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(listener.drain(5))
            assert await asyncio.wait_for(idle_reader.read(), WAIT_S) == b""
            with pytest.raises(OSError, match=r"refused|Connect"):
                await asyncio.open_connection("127.0.0.1", port, ssl=pki.client())
            assert not draining.done()
            release.set()
            answer = await asyncio.wait_for(reader.read(), WAIT_S)
        assert answer.endswith(b"done")
        assert b"connection: close" in answer
        assert listener.connections == 0
        busy.close()
        idle.close()


async def test_drain_is_bounded() -> None:
    cancelled = asyncio.Event()
    entered = asyncio.Event()

    async def stuck(request: Request) -> Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response(200)

    async with serving(stuck) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await entered.wait()
        await asyncio.wait_for(listener.drain(0.1), WAIT_S)
        assert cancelled.is_set()
        assert await unanswered(reader.read())
        writer.close()


async def test_idle_drain_is_quick() -> None:
    async with serving() as (listener, _):
        await asyncio.wait_for(listener.drain(60), WAIT_S)


def test_ports() -> None:
    first = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(AddressInUse, match=rf"127\.0\.0\.1:{port} is in use"):
        bind("127.0.0.1", port)
    first.close()
    bind("127.0.0.1", port).close()
    with pytest.raises(BadAddress, match=r"cannot listen on 192\.0\.2\.1:1"):
        bind("192.0.2.1", 1)


async def test_two_listeners_in_one_loop() -> None:
    def named(name: str) -> Handler:
        async def handler(request: Request) -> Response:
            return Response(200, [], name.encode())

        return handler

    async with serving(named("a")) as (_, one), serving(named("b")) as (_, two):
        answers = await asyncio.gather(
            ask(one, b"GET / HTTP/1.1"), ask(two, b"GET / HTTP/1.1"), ask(one, b"GET / HTTP/1.1")
        )
    assert [body for _, body in answers] == [b"a", b"b", b"a"]


def test_a_socket_of_this_machine_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(0)
    try:
        sock = bind_unix(str(path))
    finally:
        os.umask(before)
    sock.close()
    assert path.stat().st_mode & 0o777 == 0o600
