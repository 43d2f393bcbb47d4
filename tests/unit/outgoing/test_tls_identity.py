"""TLS of the client: who is believed, what we show, and the words of a refusal."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from time import time

import pytest
from other_server import Asked, Authority, http, scripted, server_tls

from kapi.clock import SystemClock
from kapi.outgoing import words
from kapi.outgoing.client import Call, Client
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.tls import Tls
from kapi.outgoing.words import OutgoingError


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client(SystemClock())
    yield made
    await made.close()


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def greet(asked: Asked) -> None:
    await asked.answer(200, asked.peer.encode())


def call(port: int, tls: Tls) -> Call:
    return Call(method="GET", target="/", endpoint=Endpoint("127.0.0.1", port, tls))


async def fetch(client: Client, port: int, tls: Tls) -> bytes:
    return (await client.fetch(call(port, tls), timeout_s=10, limit=100)).body


async def failure(client: Client, port: int, tls: Tls) -> str:
    with pytest.raises(OutgoingError) as caught:
        await fetch(client, port, tls)
    return str(caught.value).removeprefix("tls: failed to verify certificate: ")


async def test_the_bundle_and_the_name_decide(
    client: Client, ca: Authority, tmp_path: Path
) -> None:
    other_ca = Authority(tmp_path, "other-ca")
    good = Tls(ca=ca.pem, server_name="web.default.svc")
    async with scripted(
        http(greet), server_tls(ca.serving("web.default.svc", "*.example.com"))
    ) as at:
        assert await fetch(client, at.port, good) == b""
        assert await fetch(client, at.port, replace(good, server_name="a.example.com")) == b""
        assert await fetch(client, at.port, Tls(insecure=True)) == b""
        foreign = replace(good, ca=other_ca.pem)
        assert (
            await failure(client, at.port, foreign)
            == "x509: certificate signed by unknown authority"
        )
        assert await failure(client, at.port, Tls(server_name="web.default.svc")) == (
            "x509: certificate signed by unknown authority"
        )
        assert await failure(client, at.port, replace(good, server_name="web.other.svc")) == (
            "x509: certificate is valid for web.default.svc, *.example.com, not web.other.svc"
        )
        assert await failure(client, at.port, Tls(ca=ca.pem)) == (
            "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"
        )


async def test_addresses_in_certificates(client: Client, ca: Authority) -> None:
    async with scripted(http(greet), server_tls(ca.serving("127.0.0.1"))) as at:
        assert await fetch(client, at.port, Tls(ca=ca.pem)) == b""
    async with scripted(http(greet), server_tls(ca.serving("127.0.0.2"))) as at:
        text = await failure(client, at.port, Tls(ca=ca.pem))
    assert text == "x509: certificate is valid for 127.0.0.2, not 127.0.0.1"


async def test_a_leaf_may_be_its_own_root(client: Client, ca: Authority) -> None:
    pair = ca.serving("127.0.0.1")
    with open(pair[0]) as file:  # noqa: ASYNC230 - a small file
        leaf = file.read()
    async with scripted(http(greet), server_tls(pair)) as at:
        assert await fetch(client, at.port, Tls(ca=leaf)) == b""


async def test_time_is_looked_at_first(client: Client, ca: Authority) -> None:
    old = ca.serving("127.0.0.9", made_at=time() - 3650 * 86400)
    async with scripted(http(greet), server_tls(old)) as at:
        text = await failure(client, at.port, Tls(ca=ca.pem))
    assert text.startswith("x509: certificate has expired or is not yet valid: current time 20")
    assert " is after 20" in text


async def test_our_certificate_is_shown(client: Client, ca: Authority) -> None:
    certificate, key = ca.client("front-proxy-client")
    ours = Tls(ca=ca.pem, certificate=certificate, key=key)
    async with scripted(http(greet), server_tls(ca.serving("127.0.0.1"), ca.path)) as at:
        assert await fetch(client, at.port, ours) == b"front-proxy-client"
        text = await failure(client, at.port, Tls(ca=ca.pem))
    # The other server may hang up before its alert is out.
    assert text in ("remote error: tls: certificate required", "EOF") or "reset" in text


def test_alerts_read_as_in_go() -> None:
    for reason, text in (
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "remote error: tls: certificate required"),
        ("TLSV1_ALERT_UNKNOWN_CA", "remote error: tls: unknown certificate authority"),
        ("UNEXPECTED_EOF_WHILE_READING", "EOF"),
        ("SOMETHING_NEW", "tls: something new"),
    ):
        error = ssl.SSLError(1, reason)
        error.reason = reason
        assert words.lost(error, "a:1", "b:2") == text


async def test_what_is_no_certificate(client: Client, ca: Authority) -> None:
    for garbage in ("", "no", "-----BEGIN CERTIFICATE-----\nnope\n-----END CERTIFICATE-----\n"):
        assert await failure(client, 1, Tls(ca=garbage)) == (
            "unable to load root certificates: unable to parse bytes as PEM block"
        )
    text = await failure(client, 1, Tls(ca=ca.pem, certificate="/nowhere", key="/nowhere"))
    assert text == "open /nowhere: no such file or directory"


async def test_a_server_that_speaks_no_tls(client: Client, ca: Authority) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with scripted(plain) as at:
        text = await failure(client, at.port, Tls(ca=ca.pem))
    assert text == "http: server gave HTTP response to HTTPS client"
