"""HTTP/2 by ALPN, on a port that serves HTTP/1.1 as well."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from kapi.clock import SystemClock
from kapi.credentials import certificates
from kapi.edge.asgi import App
from kapi.edge.listener import Listener, bind
from kapi.edge.tls import TlsFiles, server_context
from kapi.messages import Request, Response


async def who(request: Request) -> Response:
    names = [certificate.subject.rfc4514_string() for certificate in request.peer.certificates]
    body = await request.body.read(1000)
    text = f"{request.method} {request.path} {request.http_version} {names} {body.decode()}"
    return Response(200, [("Content-Type", "text/plain")], text.encode())


async def ask_http2(port: int, context: ssl.SSLContext) -> tuple[dict[bytes, bytes], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    conn.initiate_connection()
    head = [(":method", "POST"), (":path", "/a%20b"), (":scheme", "https"), (":authority", "x")]
    conn.send_headers(1, head)
    conn.send_data(1, b"hello", end_stream=True)
    writer.write(conn.data_to_send())
    headers: dict[bytes, bytes] = {}
    body = b""
    while True:
        data = await asyncio.wait_for(reader.read(65536), 10)
        assert data, "the server closed"
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                headers = {bytes(k): bytes(v) for k, v in event.headers or []}
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
            elif isinstance(event, h2.events.StreamEnded):
                writer.close()
                return headers, body


async def test_http2_and_http1_on_one_port(tmp_path: Path) -> None:
    ca = certificates.make_ca("ca", SystemClock().now())
    pairs = {
        "ca": ca,
        "server": certificates.make_serving(ca, ["127.0.0.1"], SystemClock().now()),
        "client": certificates.make_client(ca, "me", (), SystemClock().now()),
    }
    for name, pair in pairs.items():
        (tmp_path / f"{name}.crt").write_bytes(pair.certificate)
        (tmp_path / f"{name}.key").write_bytes(pair.key)
    paths = [str(tmp_path / name) for name in ("server.crt", "server.key", "ca.crt")]
    tls = server_context(TlsFiles(paths[0], paths[1], (paths[2],), http2=True))
    listener = Listener(App(who, SystemClock()), SystemClock(), tls=tls, http2=True)
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    await listener.start(sock)
    client = ssl.create_default_context(cafile=paths[2])
    client.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
    client.set_alpn_protocols(["h2"])
    headers, body = await ask_http2(port, client)
    assert headers[b":status"] == b"200"
    assert b"date" in headers
    assert body == b"POST /a b 2 ['CN=me', 'CN=ca'] hello"
    client.set_alpn_protocols(["http/1.1"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
    writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.endswith(b"GET /x 1.1 ['CN=me', 'CN=ca'] ")
    writer.close()
    await listener.drain(1)
    assert listener.connections == 0
