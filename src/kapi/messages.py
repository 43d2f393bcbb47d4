"""What travels inside: `Request`, `Response` and the one `Handler` type. Nothing here knows ASGI
or sockets.

Each fact field of `Request` is written by exactly one filter (named beside it) and read by
everyone after it. What must last until the last byte of the answer is pushed on `request.exit`;
headers that go with any answer, errors included, are queued on `request.reply_headers`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class Headers:
    """Request headers: names lower-case, in order, repeated names kept."""

    __slots__ = ("_first", "items")

    def __init__(self, items: Sequence[tuple[str, str]]) -> None:
        self.items = items
        first: dict[str, str] = {}
        for name, value in items:
            first.setdefault(name, value)
        self._first = first

    def get(self, name: str, default: str = "") -> str:
        """The first value of a lower-case name."""
        return self._first.get(name, default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.items if key == name]

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def without(self, *names: str) -> Headers:
        return Headers([(k, v) for k, v in self.items if k not in names])


class Query:
    """Query parameters: decoded, in order. A pair with a broken escape or a `;` is left out, as Go
    does.
    """

    __slots__ = ("_values", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._values: dict[str, list[str]] = {}
        for pair in text.split("&") if text else ():
            if not pair or ";" in pair:
                continue
            key, _, value = pair.partition("=")
            try:
                self._values.setdefault(_unescape(key), []).append(_unescape(value))
            except ValueError:
                continue

    def get(self, name: str, default: str = "") -> str:
        """The first value."""
        values = self._values.get(name)
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)


_HEX = frozenset("0123456789abcdefABCDEF")


def _unescape(text: str) -> str:
    if "%" not in text:
        return text.replace("+", " ")
    for i, c in enumerate(text):
        if c == "%" and not (text[i + 1 : i + 2] in _HEX and text[i + 2 : i + 3] in _HEX):
            raise ValueError("broken escape")
        if c == "%" and (not text[i + 1 : i + 2] or not text[i + 2 : i + 3]):
            raise ValueError("broken escape")
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


class Body(Protocol):
    """The bytes of a request."""

    async def read(self, limit: int) -> bytes:
        """All of it. Raises ApiError 413 as soon as more than `limit` bytes have come."""

    def stream(self) -> AsyncIterator[bytes]:
        """Piece by piece, for proxying."""


class EmptyBody:
    """No bytes; for requests made in process."""

    async def read(self, limit: int) -> bytes:
        return b""

    async def stream(self) -> AsyncIterator[bytes]:
        return
        yield b""


class BytesBody:
    """Bytes already in memory; for requests made in process."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, limit: int) -> bytes:
        return self._data

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._data


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the connection."""

    address: str = ""
    port: int = 0
    tls: bool = False
    # What the client showed, leaf first: it has the key, but nobody vouches for it yet.
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the URL and method mean. Shapes: https://kubernetes.io/docs/reference/using-api/api-
    concepts/
    """

    is_resource: bool
    path: str
    # get list watch create update patch delete deletecollection proxy; else the lower-case method
    verb: str
    api_prefix: str = ""  # "api" or "apis"
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()  # the path from the resource on
    field_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks: the subject that authentication found or impersonation chose."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # What audit is told of the credentials: annotations; no part of who it is.
    notes: tuple[tuple[str, str], ...] = field(default=(), compare=False)


_PATCHES = "patch.webhook.admission.k8s.io/"
_WITH_OBJECTS = 2  # the audit level Request


@dataclass(slots=True)
class AuditFacts:
    """What audit knows of a request; annotations are added by whoever decides something.

    `level`: how much is to be told, the number of an audit level; 0: nothing, and nobody needs to
    note anything. From 1 on handlers note what the request is about, from 2 on also its object,
    at 3 how the answer is made as JSON, where it is none (`handlers/notes.py`).
    """

    id: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    impersonator: UserInfo | None = None  # who really asks, when impersonation chose another user
    constraint: str = ""  # the verb that allowed a constrained impersonation
    level: int = 0
    omit_managed_fields: bool = False
    noted: Mapping[str, str] | None = None  # name, namespace … of the object sent
    object: bytes = b""  # the object of the request, as JSON
    status: Mapping[str, Any] | None = None  # the Status that is the answer
    answer: Callable[[], Awaitable[Response]] | None = None  # the answer as plain JSON

    def annotate(self, key: str, value: str) -> None:
        """What was said first stays. Patches of webhooks are told where objects are."""
        if self.level >= _WITH_OBJECTS or not key.startswith(_PATCHES):
            self.annotations.setdefault(key, value)


ExitCallback = Callable[[], None]


@dataclass(slots=True)
class Request:
    method: str
    raw_path: str  # as sent, still percent-encoded, without the query
    path: str  # decoded once
    query: Query
    headers: Headers
    body: Body
    peer: Peer
    http_version: str = "1.1"
    websocket: tuple[str, ...] | None = (
        None  # the offered subprotocols, if this is a WebSocket handshake
    )
    can_tunnel: bool = False  # an answer may take the connection over
    # Names what is called once if the client goes away; None takes it back.
    when_gone: Callable[[Callable[[], object] | None], None] | None = None
    received_at: float = 0.0  # Clock.monotonic

    info: RequestInfo = RequestInfo(is_resource=False, path="", verb="")  # request_info
    user: UserInfo | None = None  # authentication, then impersonation
    audit: AuditFacts = field(default_factory=AuditFacts)  # audit
    deadline: float | None = None  # timeout: Clock.monotonic at which the request must be answered
    warnings: list[str] = field(default_factory=list)  # anyone; the warning filter sends them
    warned: set[str] = field(default_factory=set)  # the same, to look up
    # flow_control: what a watch calls once it has sent what was there; who takes it sets None.
    begun: Callable[[], None] | None = None
    reply_headers: list[tuple[str, str]] = field(default_factory=list)
    exit: list[ExitCallback] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning; the same text is sent once."""
        if text and text not in self.warned:
            self.warned.add(text)
            self.warnings.append(text)


# Whole bytes, slices written one after the other, or a stream that ends when the iterator does.
ResponseBody = bytes | Sequence[bytes] | AsyncIterator[bytes]


class AnswerBroken(Exception):
    """A stream that was passed on has ended before its end: the connection must be cut."""


class Pipe(Protocol):
    """The raw connection to a client, once it speaks another protocol."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Raises OSError once the client is gone."""

    def write_eof(self) -> None: ...


Tunnel = Callable[[Pipe], Awaitable[None]]


@dataclass(slots=True)
class Response:
    """An answer. Header names as they go out; content-length is the edge's work."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: ResponseBody = b""
    binary: bool = False  # the messages of a WebSocket are bytes, not text
    upgrade: Tunnel | None = None  # takes the connection over after the head (`can_tunnel`)


Handler = Callable[[Request], Awaitable[Response]]
