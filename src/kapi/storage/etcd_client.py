"""Calls to etcd: connections to its members, failover, deadlines, and retries that are safe.

One `EtcdClient` per store; it talks to one member at a time and goes to the next when that one does
not answer. A read is tried again until its time is over. A write is sent once: it is tried again
only where it is certain that nothing was done (no connection, or a member that said so); otherwise
the caller gets `Unavailable` with `uncertain` set.

grpcio carries the calls; it is imported with this module, which `server.py` imports only for a
store in etcd. The messages are bytes (`etcd_messages.py`). Every call asks for a member that has a
leader, so that a cut-off one says no at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import grpc.aio

from kapi.clock import Clock
from kapi.storage.interface import TooLarge, Unavailable

# Seconds for a read in all, and for one try of it.
READ_S: Final = 6.0
ATTEMPT_S: Final = 2.0
# Seconds for a write. etcd itself gives up after 7.
WRITE_S: Final = 8.0
# Waits between tries when no member answers, in seconds: doubled from the first to the last.
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.05, 0.5
# How long a connection may take to come up before the next member is tried.
CONNECT_S: Final = 1.0
# How often the state of a connection that comes up is looked at.
LOOK_S: Final = 0.005

_REQUIRE_LEADER: Final = (("hasleader", "true"),)
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A member that is gone without a word is noticed after 10 + 5 seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)
# Answers with which a member says that it did nothing, so that another may be asked.
_REFUSALS: Final = (
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: rpc not supported for learner",
    "raft proposal dropped",
    "raft: proposal dropped",
    "failed to connect to all addresses",
)
# ... and with which there is no use in asking another.
_FULL: Final = "etcdserver: mvcc: database space exceeded"
_TOO_LARGE: Final = ("etcdserver: request is too large", "trying to send message larger than max")
COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
LEASE_GONE: Final = "etcdserver: requested lease not found"
FUTURE: Final = "etcdserver: mvcc: required revision is a future revision"


class EtcdRefused(Unavailable):
    """etcd understood the call and said no; `text` is what it said. Nothing was done."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class EtcdFiles:
    """Paths; empty ones are not used."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def stamp(self) -> tuple[float, ...]:
        """Changes when a file does."""
        paths = (self.ca, self.certificate, self.key)
        return tuple(os.stat(p).st_mtime for p in paths if p and os.path.exists(p))

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Raises OSError."""
        out: list[bytes | None] = []
        for path in (self.ca, self.key, self.certificate):
            if not path:
                out.append(None)
                continue
            with open(path, "rb") as file:
                out.append(file.read())
        return out[0], out[1], out[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSettings:
    """What the `--etcd-…` flags say."""

    servers: Sequence[str]
    files: EtcdFiles = field(default_factory=EtcdFiles)
    prefix: str = "/registry"
    # Seconds that keys under a prefix (of kapi) live after they were last written.
    lifetimes: Mapping[str, int] = field(default_factory=dict)


class Member:
    """One endpoint and its connection."""

    def __init__(self, url: str, files: EtcdFiles, clock: Clock) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        self.url = url
        self._secure = parts.scheme == "https"
        self._target = parts.netloc if parts.port else f"{parts.netloc}:2379"
        self._files = files
        self._clock = clock
        self._stamp: tuple[float, ...] = ()
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    @property
    def channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            if self._secure:
                self._stamp = self._files.stamp()
                credentials = grpc.ssl_channel_credentials(*self._files.read())
                self._channel = grpc.aio.secure_channel(self._target, credentials, _OPTIONS)
            else:
                self._channel = grpc.aio.insecure_channel(self._target, _OPTIONS)
        return self._channel

    async def renew(self) -> None:
        """Connect anew if the certificates were replaced."""
        if self._secure and self._channel is not None and self._files.stamp() != self._stamp:
            await self.close()

    def unary(self, method: str) -> Any:
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self.channel.unary_unary(f"/etcdserverpb.{method}")
        return call

    def stream(self, method: str) -> Any:
        stub: Any = self.channel.stream_stream(f"/etcdserverpb.{method}")
        return stub(metadata=_REQUIRE_LEADER)

    async def connected(self, seconds: float) -> bool:
        """Whether a connection stands, or comes up within so many seconds."""
        ready = grpc.ChannelConnectivity.READY
        failed = (
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            grpc.ChannelConnectivity.SHUTDOWN,
        )
        state = self.channel.get_state(try_to_connect=True)
        until = self._clock.monotonic() + seconds
        while state is not ready:
            if state in failed or self._clock.monotonic() >= until:
                return False
            await self._clock.sleep(LOOK_S)
            state = self.channel.get_state(try_to_connect=True)
        return True

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        self._calls = {}
        if channel is not None:
            await channel.close()


class EtcdClient:
    """Made on the event loop that uses it."""

    def __init__(self, urls: Sequence[str], files: EtcdFiles, clock: Clock) -> None:
        self._members = [Member(url, files, clock) for url in urls]
        self._at = 0
        self._clock = clock
        self.failovers = 0
        self.trouble = ""  # what the last call met; "" if it was answered

    @property
    def member(self) -> Member:
        """The one that is asked now."""
        return self._members[self._at]

    @property
    def members(self) -> Sequence[Member]:
        return self._members

    def leave(self, member: Member) -> None:
        """Ask the next one from now on, unless that has happened meanwhile."""
        if member is self.member:
            self._at = (self._at + 1) % len(self._members)
            self.failovers += 1

    async def read(
        self, method: str, request: bytes, *, timeout: float = READ_S, attempt: float = ATTEMPT_S
    ) -> bytes:
        """A call that changes nothing. Raises EtcdRefused, Unavailable."""
        return await self._call(method, request, timeout, attempt, write=False)

    async def write(self, method: str, request: bytes, *, timeout: float = WRITE_S) -> bytes:
        """A call that is made at most once. Raises EtcdRefused, TooLarge, Unavailable."""
        return await self._call(method, request, timeout, timeout, write=True)

    async def _call(
        self, method: str, request: bytes, timeout: float, attempt: float, *, write: bool
    ) -> bytes:
        until = self._clock.monotonic() + timeout
        backoff, tries = BACKOFF_FIRST_S, 0
        while True:
            member = self.member
            left = until - self._clock.monotonic()
            try:
                if not await member.connected(min(CONNECT_S, left)):
                    raise _Again(f"cannot connect to {member.url}")
                data: bytes = await member.unary(method)(
                    request,
                    timeout=max(0.05, min(attempt, until - self._clock.monotonic())),
                    metadata=_REQUIRE_LEADER,
                )
                self.trouble = ""
                return data
            except grpc.aio.AioRpcError as error:
                again = _judge(error, write=write)
            except OSError as error:  # a certificate cannot be read
                again = _Again(str(error))
            except _Again as error:
                again = error
            self.trouble = again.text
            self.leave(member)
            await member.renew()
            tries += 1
            pause = backoff if tries % len(self._members) == 0 else 0.0
            if self._clock.monotonic() + pause >= until:
                raise Unavailable(again.text)
            if pause:
                await self._clock.sleep(pause)
                backoff = min(2 * backoff, BACKOFF_LAST_S)

    async def close(self) -> None:
        for member in self._members:
            await member.close()


class _Again(Exception):
    """The call may be made again, with another member."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def _judge(error: grpc.aio.AioRpcError, *, write: bool) -> _Again:
    """Whether a failed call may be made again; otherwise raises what it came to."""
    code, text = error.code(), error.details() or error.code().name
    if any(part in text for part in _TOO_LARGE):
        raise TooLarge("etcdserver: request is too large") from error
    if text.startswith(_FULL):
        raise Unavailable(text) from error
    if any(part in text for part in _REFUSALS):
        return _Again(text)
    transient = (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
    if code in transient:
        if write:
            raise Unavailable(text, uncertain=True) from error
        return _Again(text)
    raise EtcdRefused(text) from error


def retrieved(task: asyncio.Task[Any]) -> None:
    """A failure whose callers have all gone away is nobody's."""
    if not task.cancelled():
        task.exception()
