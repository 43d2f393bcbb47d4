"""A KMS plugin for tests: the server of grpcio on a Unix socket, with keys that can be changed.

Its messages are taken apart here once more, not with what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Context = grpc.aio.ServicerContext[bytes, bytes]
ANNOTATION = "version.encryption.remote.io"


def fields(data: bytes) -> dict[int, list[bytes]]:
    """A message whose fields are all bytes, each shorter than 16 KB."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data):
        number, wire = data[at] >> 3, data[at] & 7
        assert wire == 2, data
        size, at = data[at + 1], at + 2
        if size > 127:
            size, at = (size & 127) | data[at] << 7, at + 1
        found.setdefault(number, []).append(data[at : at + size])
        at += size
    return found


def field(number: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((number << 3 | 2,)) + length + value


class KmsPlugin:
    """`key_id` is the key it encrypts with; it decrypts with all in `keys`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.endpoint = f"unix://{path}"
        self.keys: dict[str, bytes] = {}
        self.healthz = "ok"
        self.version = "v2"
        self.refuses = False  # to decrypt
        self.hangs = False
        self.calls: list[str] = []
        self.authorities: set[str] = set()
        self._server: grpc.aio.Server | None = None
        self.use("key-1")

    def use(self, key_id: str) -> None:
        self.key_id = key_id
        self.keys.setdefault(key_id, os.urandom(32))

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = grpc.aio.server()
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(call)
            for name, call in (
                ("Status", self._status),
                ("Encrypt", self._encrypt),
                ("Decrypt", self._decrypt),
            )
        }
        generic = grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_insecure_port(self.endpoint)
        await self._server.start()

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.hangs:
            await asyncio.Event().wait()

    async def _status(self, request: bytes, context: Context) -> bytes:
        await self._called("Status")
        return (
            field(1, self.version.encode())
            + field(2, self.healthz.encode())
            + (field(3, self.key_id.encode()) if self.key_id else b"")
        )

    async def _encrypt(self, request: bytes, context: Context) -> bytes:
        await self._called("Encrypt")
        [plain], [uid] = fields(request)[1], fields(request)[2]
        assert len(uid) == 36
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(self.keys[self.key_id]).encrypt(nonce, plain, None)
        note = field(1, ANNOTATION.encode()) + field(2, b"1")
        return field(1, sealed) + field(2, self.key_id.encode()) + field(3, note)

    async def _decrypt(self, request: bytes, context: Context) -> bytes:
        await self._called("Decrypt")
        got = fields(request)
        [sealed], [key_id], [note] = got[1], got[3], got[4]
        assert fields(note) == {1: [ANNOTATION.encode()], 2: [b"1"]}
        if self.refuses or key_id.decode() not in self.keys:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no such key")
        try:
            key = self.keys[key_id.decode()]
            return field(1, AESGCM(key).decrypt(sealed[:12], sealed[12:], None))
        except InvalidTag:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not mine")
        raise AssertionError


@contextlib.asynccontextmanager
async def kms_plugin(path: Path) -> AsyncIterator[KmsPlugin]:
    plugin = KmsPlugin(path)
    await plugin.start()
    try:
        yield plugin
    finally:
        await plugin.stop()
