"""A validating webhook beside the load: says yes to everything, over TLS, on kept connections.

Used by one row of `rows.py`. It runs in the process of the load, so its CPU is not the server's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kapi.credentials import certificates

HOST = "127.0.0.1"


@asynccontextmanager
async def local_webhook() -> AsyncIterator[dict[str, Any]]:
    """The configuration that has it asked about every write of a config map."""
    ca = certificates.make_ca("bench", time.time())
    pair = certificates.make_serving(ca, (HOST,), time.time())
    context = _tls(pair)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _answer(reader, writer)
        except (EOFError, OSError, asyncio.CancelledError):
            pass  # the server went, or the row is over
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield _configuration(port, ca.certificate)
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tls(pair: certificates.Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("crt", pair.certificate), ("key", pair.key)):
            Path(folder, name).write_bytes(data)
        context.load_cert_chain(Path(folder, "crt"), Path(folder, "key"))
    return context


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        review = json.loads(await reader.readexactly(int(length)))
        kind = {"apiVersion": review["apiVersion"], "kind": review["kind"]}
        response = {"uid": review["request"]["uid"], "allowed": True}
        body = json.dumps({**kind, "response": response}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()


def _configuration(port: int, ca: bytes) -> dict[str, Any]:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["*"],
        "resources": ["configmaps"],
    }
    client = {"url": f"https://{HOST}:{port}/", "caBundle": base64.b64encode(ca).decode()}
    webhook = {
        "name": "bench.example.org",
        "clientConfig": client,
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "bench"},
        "webhooks": [webhook],
    }
