"""Calls of gRPC against the server of grpcio, another implementation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from kapi.storage import etcd_rpc
from kapi.storage.etcd_frames import literal
from kapi.storage.etcd_rpc import Channel, Code, RpcError

LARGE = 6_000_000  # more than a stream's window
_ANY_SIZE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

Context = grpc.aio.ServicerContext[bytes, bytes]


class Service:
    """`unary` and `stream` are what the server does."""

    def __init__(self) -> None:
        self.server: grpc.aio.Server | None = None
        self.port = 0
        self.metadata: dict[str, Any] = {}
        self.gone: asyncio.Event = asyncio.Event()

    async def start(self) -> None:
        self.server = grpc.aio.server(options=_ANY_SIZE)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Echo": grpc.unary_unary_rpc_method_handler(self._echo),
            "Refuse": grpc.unary_unary_rpc_method_handler(self._refuse),
            "Hang": grpc.unary_unary_rpc_method_handler(self._hang),
            "Echoes": grpc.stream_stream_rpc_method_handler(self._echoes),
            "Many": grpc.stream_stream_rpc_method_handler(self._many),
            "Breaks": grpc.stream_stream_rpc_method_handler(self._breaks),
        }
        generic = grpc.method_handlers_generic_handler("test.Service", handlers)
        self.server.add_generic_rpc_handlers((generic,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        assert self.server is not None
        await self.server.stop(None)

    async def _echo(self, request: bytes, context: Context) -> bytes:
        self.metadata = dict(context.invocation_metadata() or ())
        return request

    async def _refuse(self, request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "etcd 100% sagt: nö")
        raise AssertionError

    async def _hang(self, request: bytes, context: Context) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            self.gone.set()
        raise AssertionError

    async def _echoes(self, requests: AsyncIterator[bytes], context: Context) -> Any:
        try:
            async for request in requests:
                yield request
        finally:
            self.gone.set()

    async def _many(self, requests: AsyncIterator[bytes], context: Context) -> Any:
        for number in range(3_000):
            yield b"%d" % number * 2_000

    async def _breaks(self, requests: AsyncIterator[bytes], context: Context) -> Any:
        yield b"one"
        await context.abort(grpc.StatusCode.UNAVAILABLE, "no more")


@contextlib.asynccontextmanager
async def _running() -> AsyncIterator[tuple[Service, Channel]]:
    service = Service()
    await service.start()
    channel = Channel("127.0.0.1", service.port, None)
    try:
        await channel.connect(10)
        yield service, channel
    finally:
        await channel.close()
        await service.stop()


async def _call(channel: Channel, method: str, request: bytes, timeout: float = 10) -> bytes:
    return await channel.unary(f"test.Service/{method}", request, timeout=timeout)


async def _soon(call: Awaitable[Any]) -> Any:
    async with asyncio.timeout(10):
        return await call


async def test_one_answer_for_one_request() -> None:
    async with _running() as (service, channel):
        for request in (b"", b"x", b"y" * 70_000, b"z" * LARGE):
            assert await _call(channel, "Echo", request) == request
        assert service.metadata["hasleader"] == "true"


@pytest.mark.parametrize(
    ("host", "authority"),
    [("localhost", b"localhost:1"), ("10.0.0.1", b"10.0.0.1:1"), ("fd00::1", b"[fd00::1]:1")],
)
def test_how_a_server_is_called(host: str, authority: bytes) -> None:
    assert literal(b":authority", authority) in Channel(host, 1, None)._head("a/B")


async def test_many_calls_at_once() -> None:
    async with _running() as (_, channel):
        requests = [b"%d" % number * 1_000 for number in range(200)]
        answers = await asyncio.gather(*(_call(channel, "Echo", r) for r in requests))
        assert answers == requests


async def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_rpc, "ANSWER_BYTES_MAX", 100_000)
    async with _running() as (_, channel):
        assert len(await _call(channel, "Echo", b"x" * 100_000)) == 100_000
        with pytest.raises(RpcError, match="more than 100000 bytes") as caught:
            await _call(channel, "Echo", b"x" * 100_001)
        assert caught.value.code == Code.RESOURCE_EXHAUSTED
        assert await _call(channel, "Echo", b"y") == b"y"


async def test_a_refusal_has_its_code_and_text() -> None:
    async with _running() as (_, channel):
        for method, code, text in (
            ("Refuse", Code.OUT_OF_RANGE, "etcd 100% sagt: nö"),
            ("Unknown", Code.UNIMPLEMENTED, "Method not found!"),
        ):
            with pytest.raises(RpcError) as caught:
                await _call(channel, method, b"x")
            assert (caught.value.code, caught.value.text) == (code, text)
            assert not caught.value.untouched


async def test_a_call_ends_when_its_time_is_over() -> None:
    async with _running() as (service, channel):
        with pytest.raises(RpcError) as caught:
            await _call(channel, "Hang", b"", timeout=0.05)
        assert caught.value.code == Code.DEADLINE_EXCEEDED
        await _soon(service.gone.wait())
        assert await _call(channel, "Echo", b"next") == b"next"


async def test_a_call_that_is_cancelled_ends_on_the_server() -> None:
    async with _running() as (service, channel):
        task = asyncio.get_running_loop().create_task(_call(channel, "Hang", b""))
        assert await _call(channel, "Echo", b"meanwhile") == b"meanwhile"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _soon(service.gone.wait())


async def test_a_call_that_is_kept_goes_on_without_its_caller() -> None:
    async with _running() as (service, channel):
        call = channel.unary("test.Service/Hang", b"", timeout=10, kept=True)
        task = asyncio.get_running_loop().create_task(call)
        await _call(channel, "Echo", b"x")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(20):
            await _call(channel, "Echo", b"x")
        assert not service.gone.is_set()


async def test_a_server_that_goes_away_fails_its_calls_and_may_come_back() -> None:
    async with _running() as (service, channel):
        task = asyncio.get_running_loop().create_task(_call(channel, "Hang", b""))
        await _call(channel, "Echo", b"x")
        await service.stop()
        with pytest.raises(RpcError) as caught:
            await _soon(task)
        assert not caught.value.untouched
        assert not channel.up
        with pytest.raises(RpcError) as caught:
            await _call(channel, "Echo", b"x")
        assert caught.value.untouched
        with pytest.raises(ConnectionRefusedError):
            await channel.connect(1)
        await service.start()
        await channel.connect(10)
        assert await _call(channel, "Echo", b"back") == b"back"


async def test_callers_share_one_attempt_to_connect() -> None:
    async with _running() as (service, _):
        channel = Channel("127.0.0.1", service.port, None)
        await asyncio.gather(*(channel.connect(10) for _ in range(5)))
        assert await _call(channel, "Echo", b"x") == b"x"
        await channel.close()
        assert not channel.up


async def test_a_stream_both_ways() -> None:
    async with _running() as (service, channel):
        call = channel.stream("test.Service/Echoes")
        for request in (b"", b"a", b"b" * 100_000, b"c" * LARGE):
            call.write(request)
            assert await _soon(call.read()) == request
        call.cancel()
        await _soon(service.gone.wait())
        with pytest.raises(RpcError):
            await call.read()


async def test_a_reader_that_is_behind_gets_everything() -> None:
    async with _running() as (_, channel):
        call = channel.stream("test.Service/Many")
        await asyncio.sleep(0.2)
        for number in range(3_000):
            assert await _soon(call.read()) == b"%d" % number * 2_000
        assert await _soon(call.read()) is None


async def test_a_stream_that_breaks_off_says_why() -> None:
    async with _running() as (_, channel):
        call = channel.stream("test.Service/Breaks")
        assert await _soon(call.read()) == b"one"
        with pytest.raises(RpcError) as caught:
            await _soon(call.read())
        assert (caught.value.code, caught.value.text) == (Code.UNAVAILABLE, "no more")


async def test_a_closed_channel_ends_what_is_under_way() -> None:
    async with _running() as (_, channel):
        call = channel.stream("test.Service/Echoes")
        task = asyncio.get_running_loop().create_task(_call(channel, "Hang", b""))
        await asyncio.sleep(0)
        await channel.close()
        for failing in (task, call.read()):
            with pytest.raises(RpcError):
                await _soon(failing)


async def test_who_does_not_speak_http2_is_no_server() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        channel = Channel("127.0.0.1", server.sockets[0].getsockname()[1], None)
        with pytest.raises(OSError, match="does not speak HTTP/2"):
            await channel.connect(10)
        await channel.close()


async def test_who_never_answers_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        channel = Channel("127.0.0.1", server.sockets[0].getsockname()[1], None)
        with pytest.raises(TimeoutError):
            await channel.connect(0.05)
        assert not channel.up
        await channel.close()


async def test_a_call_that_was_never_sent_was_not_looked_at() -> None:
    """One stream at a time: who waits longer than a call may take was not sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        server.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        writer.write(server.data_to_send())
        while data := await reader.read(65_536):
            server.receive_data(data)
            writer.write(server.data_to_send())
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        channel = Channel("127.0.0.1", listener.sockets[0].getsockname()[1], None)
        await channel.connect(10)
        calls = [_call(channel, "Echo", b"x", timeout=0.1) for _ in range(2)]
        sent, unsent = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(sent, RpcError)
        assert isinstance(unsent, RpcError)
        assert sent.code == unsent.code == Code.DEADLINE_EXCEEDED
        assert (sent.untouched, unsent.untouched) == (False, True)
        await channel.close()


ODD: Sequence[tuple[dict[str, str], bytes, dict[str, str] | None, Code]] = (
    ({":status": "503"}, b"", None, Code.UNAVAILABLE),
    ({":status": "200", "grpc-status": "7"}, b"", None, Code.PERMISSION_DENIED),
    ({":status": "404"}, b"<html>", {}, Code.UNIMPLEMENTED),
    ({":status": "418"}, b"", None, Code.UNKNOWN),
    ({":status": "200"}, b"", {"grpc-status": "99"}, Code.UNKNOWN),
    ({":status": "200"}, b"", {"grpc-status": "none"}, Code.UNKNOWN),
    ({":status": "200"}, b"\0\0\0\0\0", {}, Code.INTERNAL),
    ({":status": "200"}, b"", {"grpc-status": "0"}, Code.INTERNAL),
    ({":status": "200"}, b"\0\0\0\0\2x", {"grpc-status": "0"}, Code.INTERNAL),
    ({":status": "200"}, b"\1\0\0\0\1x", {"grpc-status": "0"}, Code.INTERNAL),
    ({":status": "200"}, b"\0\0\0\0\0" * 2, {"grpc-status": "0"}, Code.INTERNAL),
)


async def test_odd_answers_are_errors() -> None:
    answers = iter(ODD)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        writer.write(server.data_to_send())
        while data := await reader.read(65_536):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    number = event.stream_id
                    head, body, trailers, _ = next(answers)
                    server.send_headers(number, [*head.items()], end_stream=trailers is None)
                    if trailers is not None:
                        server.send_data(number, body, end_stream=not trailers)
                        if trailers:
                            server.send_headers(number, [*trailers.items()], end_stream=True)
            writer.write(server.data_to_send())
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        channel = Channel("127.0.0.1", listener.sockets[0].getsockname()[1], None)
        await channel.connect(10)
        for odd in ODD:
            with pytest.raises(RpcError) as caught:
                await _call(channel, "Echo", b"x")
            assert caught.value.code == odd[3], odd
        await channel.close()
