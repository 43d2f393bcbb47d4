"""Calls of a KMS plugin (version 2): gRPC over its Unix socket.

A call waits for the plugin to be there for as long as its time allows, as the real server's do;
then it fails. The connection is that of `storage/etcd_rpc.py`.
https://kubernetes.io/docs/tasks/administer-cluster/kms-provider/
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from kapi.clock import Clock
from kapi.codec.protobuf_format import ProtobufError
from kapi.encryption import messages
from kapi.encryption.configuration import ConfigurationError, Kms
from kapi.encryption.messages import Encrypted, EncryptedObject, Status
from kapi.encryption.transformers import NOT_GRPC, OK, TransformError
from kapi.metrics import Metrics

SERVICE: Final = "v2.KeyManagementService"
# Seconds between attempts to connect.
RETRY_S: Final = 0.1
_DEADLINE: Final = "DeadlineExceeded"


def socket_path(endpoint: str) -> str:
    """The path behind `unix://`; `unix:///@name` is an abstract socket."""
    path = unquote(urlsplit(endpoint).path)
    return "\0" + path[2:] if path.startswith("/@") else path


class Plugin:
    """Made on the event loop that uses it."""

    def __init__(self, settings: Kms, clock: Clock, metrics: Metrics) -> None:
        """Raises ConfigurationError if the library is not there."""
        try:
            from kapi.storage.etcd_rpc import Channel, RpcError
        except ImportError as error:
            raise ConfigurationError(
                "KMS needs the package hpack: pip install 'kapi[encryption]'"
            ) from error
        self._channel = Channel("", 0, None, socket=socket_path(settings.endpoint), headers=())
        self._error = RpcError
        self._settings = settings
        self._clock = clock
        self._seconds = metrics.histogram(
            "apiserver_envelope_encryption_kms_operations_latency_seconds"
        )

    async def status(self) -> Status:
        """Raises TransformError, as all calls do."""
        answer = await self._call("Status", b"")
        try:
            return messages.read_status(answer)
        except ProtobufError as error:
            raise _unread(error) from None

    async def encrypt(self, plaintext: bytes, uid: str) -> Encrypted:
        answer = await self._call("Encrypt", messages.encrypt_request(plaintext, uid))
        try:
            return messages.read_encrypted(answer)
        except ProtobufError as error:
            raise _unread(error) from None

    async def decrypt(self, obj: EncryptedObject, uid: str) -> bytes:
        """The plain DEK source of an object."""
        answer = await self._call("Decrypt", messages.decrypt_request(obj, uid))
        try:
            return messages.read_decrypted(answer)
        except ProtobufError as error:
            raise _unread(error) from None

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: str, request: bytes) -> bytes:
        start, code = self._clock.monotonic(), NOT_GRPC
        try:
            answer = await self._answer(f"{SERVICE}/{method}", request)
            code = OK
            return answer
        except TransformError as error:
            code = error.code
            raise
        finally:
            took = self._clock.monotonic() - start
            name = f"/{SERVICE}/{method}"
            self._seconds.cell(self._settings.name, name, code).observe(took)

    async def _answer(self, method: str, request: bytes) -> bytes:
        until = self._clock.monotonic() + self._settings.timeout
        why = ""
        while (left := until - self._clock.monotonic()) > 0:
            try:
                await self._channel.connect(left)
            except OSError as error:  # TimeoutError is one
                why = str(error)
                await self._clock.sleep(min(RETRY_S, left))
                continue
            left = max(0.001, until - self._clock.monotonic())
            try:
                return await self._channel.unary(method, request, timeout=left)
            except self._error as error:
                if error.untouched:
                    why = error.text
                    continue
                raise _failed(_spelled(error.code.name), error.text) from None
        text = "context deadline exceeded"
        raise _failed(_DEADLINE, f"{text}, connection error: {why}" if why else text)


def _spelled(name: str) -> str:
    """A code as Go writes it."""
    if name in ("OK", "CANCELLED"):
        return {"OK": OK, "CANCELLED": "Canceled"}[name]
    return "".join(part.capitalize() for part in name.split("_"))


def _failed(code: str, text: str) -> TransformError:
    return TransformError(f"rpc error: code = {code} desc = {text}", code)


def _unread(error: ProtobufError) -> TransformError:
    return _failed("Internal", f"grpc: failed to unmarshal the received message: {error}")
