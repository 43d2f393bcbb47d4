"""Calls to etcd: connections to its members, failover, deadlines, and retries that are safe.

One `EtcdClient` per store; it talks to one member at a time and goes to the next when that one does
not answer. A read is tried again until its time is over. A write is sent once: it is tried again
only where it is certain that nothing was done (no connection, or a member that said so); otherwise
the caller gets `Unavailable` with `uncertain` set.

`etcd_rpc.py` carries the calls; it is imported with this module, which `stores.py` imports only for
a store in etcd. The messages are bytes (`etcd_messages.py`). Every call asks for a member that has
a leader, so that a cut-off one says no at once.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from kapi.clock import Clock
from kapi.storage.etcd_rpc import Call, Channel, Code, RpcError
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
# A connection that nothing came from for so many seconds is asked whether it still stands before a
# write takes it, for a write cannot be sent again; and how long it may take to answer.
QUIET_S, AWAKE_S, LOOK_S = 2.0, 2.0, 0.002
DEFAULT_PORT: Final = 2379

# Answers with which a member says that it did nothing, so that another may be asked.
_REFUSALS: Final = (
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: rpc not supported for learner",
    "raft proposal dropped",
    "raft: proposal dropped",
)
# ... and with which there is no use in asking another.
_FULL: Final = "etcdserver: mvcc: database space exceeded"
_TOO_LARGE: Final = (
    "etcdserver: request is too large",
    "grpc: received message larger than max",
    "trying to send message larger than max",  # of a proxy
)
# Codes after which a call that changes nothing is made again.
_TRANSIENT: Final = frozenset(
    (
        Code.UNAVAILABLE,
        Code.DEADLINE_EXCEEDED,
        Code.CANCELLED,
        Code.INTERNAL,
        Code.UNKNOWN,
        Code.RESOURCE_EXHAUSTED,
    )
)
COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
LEASE_GONE: Final = "etcdserver: requested lease not found"
FUTURE: Final = "etcdserver: mvcc: required revision is a future revision"


def _now() -> float:
    """The loop's time, by which connections say when they heard something."""
    return asyncio.get_running_loop().time()


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

    @property
    def paths(self) -> tuple[str, str, str]:
        return self.ca, self.certificate, self.key

    def stamp(self) -> tuple[float, ...]:
        """Changes when a file does."""
        return tuple(os.stat(p).st_mtime for p in self.paths if p and os.path.exists(p))

    def context(self) -> ssl.SSLContext:
        """What is verified, and who we are. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(["h2"])
        if self.ca:
            context.load_verify_locations(self.ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key or None)
        return context


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
        # Who names no scheme but files means TLS, as to etcd's own client.
        named = "://" in url
        self._secure = parts.scheme in ("https", "unixs") or (not named and any(files.paths))
        local = parts.scheme in ("unix", "unixs")
        # A relative path has its first part in the place of a host.
        self._socket = parts.netloc + parts.path if local else ""
        self._host = "localhost" if local else parts.hostname or ""
        self._port = DEFAULT_PORT if local else parts.port or DEFAULT_PORT
        self._files = files
        self._stamp: tuple[float, ...] = ()
        self._channel: Channel | None = None
        self._clock = clock

    async def renew(self) -> None:
        """Connect anew if the certificates were replaced."""
        if self._secure and self._channel is not None and self._files.stamp() != self._stamp:
            await self.close()

    @property
    def up(self) -> bool:
        return self._channel is not None and self._channel.up

    async def connect(self, seconds: float) -> None:
        """Return with a connection. Raises OSError; also for certificates that cannot be used."""
        if self._channel is None:
            tls = None
            if self._secure:
                self._stamp = self._files.stamp()
                tls = self._files.context()
            self._channel = Channel(self._host, self._port, tls, socket=self._socket)
        await self._channel.connect(seconds)

    @property
    def quiet(self) -> bool:
        """Whether nothing has come from it for some time."""
        connection = None if self._channel is None else self._channel.connection
        return connection is not None and _now() - connection.heard > QUIET_S

    async def awake(self, seconds: float) -> None:
        """Return if the connection stands. Raises OSError if it does not say so; it takes no more
        calls then, and `connect` makes another.
        """
        connection = self._standing().connection
        assert connection is not None, "asked of a member that is up"
        heard, until = connection.heard, _now() + seconds
        connection.ask()
        while connection.heard == heard and connection.usable:
            if _now() >= until:
                connection.leave()
                raise ConnectionError("it does not answer")
            await self._clock.sleep(LOOK_S)

    async def unary(
        self, method: str, request: bytes, *, timeout: float, kept: bool = False
    ) -> bytes:
        """Raises RpcError. `kept`: it goes on when the caller is cancelled."""
        channel, name = self._standing(), f"etcdserverpb.{method}"
        return await channel.unary(name, request, timeout=timeout, kept=kept)

    def stream(self, method: str) -> Call:
        """Raises RpcError."""
        return self._standing().stream(f"etcdserverpb.{method}")

    def _standing(self) -> Channel:
        if self._channel is None:
            raise RpcError(Code.UNAVAILABLE, "not connected", untouched=True)
        return self._channel

    async def close(self) -> None:
        channel, self._channel = self._channel, None
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
                if not member.up:
                    await member.connect(min(CONNECT_S, left))
                    left = until - self._clock.monotonic()
                elif write and member.quiet:
                    await member.awake(min(AWAKE_S, left))
                    left = until - self._clock.monotonic()
                seconds = max(0.05, min(attempt, left))
                data = await member.unary(method, request, timeout=seconds, kept=write)
                self.trouble = ""
                return data
            except RpcError as error:
                again = _judge(error, write=write)
            except OSError as error:
                again = f"cannot connect to {member.url}: {error or 'it took too long'}"
            self.trouble = again
            self.leave(member)
            await member.renew()
            tries += 1
            pause = backoff if tries % len(self._members) == 0 else 0.0
            if self._clock.monotonic() + pause >= until:
                raise Unavailable(again)
            if pause:
                await self._clock.sleep(pause)
                backoff = min(2 * backoff, BACKOFF_LAST_S)

    async def close(self) -> None:
        for member in self._members:
            await member.close()


def _judge(error: RpcError, *, write: bool) -> str:
    """Why a call failed that may be made again; otherwise raises what it came to."""
    text = error.text
    if error.untouched:
        return text
    if any(part in text for part in _TOO_LARGE):
        raise TooLarge("etcdserver: request is too large") from error
    if text.startswith(_FULL):  # those that fill it up are made, and refused all the same
        raise Unavailable(text, uncertain=write) from error
    if any(part in text for part in _REFUSALS):
        return text
    if error.code in _TRANSIENT:
        if write:
            raise Unavailable(text, uncertain=True) from error
        return text
    raise EtcdRefused(text) from error
