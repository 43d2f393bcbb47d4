"""Opening connections: names become addresses, an address a connection, a failure Go's words.

No environment variable names a proxy here: what is called is what the caller said.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from kapi.outgoing import words
from kapi.outgoing.connection import Connection
from kapi.outgoing.tls import Contexts, Tls, refusal
from kapi.outgoing.words import AddressNotAllowed, ConnectionLost, OutgoingError

DIAL_SECONDS = 30.0  # net.Dialer of client-go
HANDSHAKE_SECONDS = 10.0  # net/http's TLSHandshakeTimeout
ADDRESSES_MAX = 8  # of one name, tried in turn
RESOLV_CONF = "/etc/resolv.conf"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to call. `host`: an address or a name. `allowed`: asked of every address before it is
    dialled, also of those that a name leads to.
    """

    host: str
    port: int
    tls: Tls | None = None
    allowed: Callable[[Address], bool] | None = None

    @property
    def authority(self) -> str:
        return words.host_port(self.host, self.port)


async def dial(
    endpoint: Endpoint, contexts: Contexts, now: Callable[[], float], seconds: float = DIAL_SECONDS
) -> Connection:
    """A connection that nobody used yet. Raises OutgoingError."""
    context = contexts.of(endpoint.tls) if endpoint.tls is not None else None
    first: OutgoingError | None = None
    for address in (await _addresses(endpoint))[:ADDRESSES_MAX]:
        try:
            return await _connect(endpoint, address, context, now, seconds)
        except OutgoingError as error:
            first = first or error
    raise first or OutgoingError(words.no_host(endpoint.host, _name_server()))


async def _addresses(endpoint: Endpoint) -> list[Address]:
    """Those of the host that may be called. Raises OutgoingError."""
    try:
        found = [ipaddress.ip_address(endpoint.host)]
    except ValueError:
        found = await _look_up(endpoint.host)
    if endpoint.allowed is not None and not all(endpoint.allowed(address) for address in found):
        raise AddressNotAllowed
    return found


async def _look_up(name: str) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            infos = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise OutgoingError(f"dial tcp: lookup {name}: i/o timeout") from error
    except (OSError, UnicodeError) as error:
        raise OutgoingError(words.no_host(name, _name_server())) from error
    texts = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos)
    return [ipaddress.ip_address(text) for text in texts]


def _name_server() -> str:
    """The server that Go would name."""
    try:
        with open(RESOLV_CONF, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                parts = line.split()
                if len(parts) > 1 and parts[0] == "nameserver":
                    return words.host_port(parts[1], 53)
    except OSError:
        pass
    return "127.0.0.1:53"


async def _connect(
    endpoint: Endpoint,
    address: Address,
    context: ssl.SSLContext | None,
    now: Callable[[], float],
    seconds: float,
) -> Connection:
    loop = asyncio.get_running_loop()
    host, port = str(address), endpoint.port
    shown = words.host_port(host, port)
    name = endpoint.tls.server_name or endpoint.host if endpoint.tls is not None else None
    try:
        async with asyncio.timeout(seconds):
            sock = await _socket(loop, address, port)
    except TimeoutError as error:
        raise OutgoingError(words.dial_late(shown)) from error
    transport, connection = await _adopt(loop, sock)
    if context is None:
        return connection
    try:
        secure = await _start_tls(loop, transport, connection, context, name)
    except ssl.SSLCertVerificationError as error:
        assert name is not None, "only TLS verifies"
        raise await refusal(host, port, name, error, now) from error
    except ssl.SSLError as error:
        raise OutgoingError(words.handshake(error)) from error
    except ConnectionAbortedError as error:  # asyncio's word for a slow handshake
        raise OutgoingError(words.HANDSHAKE_LATE) from error
    except OSError as error:
        raise ConnectionLost(words.lost(error, "", shown)) from error
    except ValueError as error:  # a name that cannot be one in TLS
        raise OutgoingError(f"tls: invalid server name {name}") from error
    connection.connection_made(secure)
    return connection


async def _start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    connection: Connection,
    context: ssl.SSLContext,
    name: str | None,
) -> asyncio.Transport:
    """Whatever goes wrong, also a cancellation: nothing stays open."""
    try:
        secure = await loop.start_tls(
            transport,
            connection,
            context,
            server_hostname=name,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
    except BaseException:
        transport.abort()
        raise
    if secure is None:  # it was closed meanwhile
        raise ConnectionResetError(errno.ECONNRESET, "closed")
    return secure


async def _adopt(
    loop: asyncio.AbstractEventLoop, sock: socket.socket
) -> tuple[asyncio.Transport, Connection]:
    try:
        return await loop.create_connection(Connection, sock=sock)
    except BaseException:
        sock.close()
        raise


async def _socket(loop: asyncio.AbstractEventLoop, address: Address, port: int) -> socket.socket:
    """A connected socket. Raises OutgoingError."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, (str(address), port))
    except OSError as error:
        sock.close()
        if isinstance(error, TimeoutError) and error.errno is None:
            raise
        raise OutgoingError(words.dial(words.host_port(str(address), port), error)) from error
    except BaseException:
        sock.close()
        raise
    return sock
