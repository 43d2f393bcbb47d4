"""SPDY/3.1 frames as bytes, and bytes as frames: nothing here reads or writes a socket.

`stream_translator.py` speaks it to kubelets. An `Encoder` and a `Decoder` belong to one direction
of one connection each: the header blocks of a direction share one compression. The payload of a
data frame is handed out as it comes, so that no frame is too large; a control frame beyond
CONTROL_BYTES_MAX, or one that breaks the rules, raises SpdyError. Control frames of unknown types
are passed over. https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

VERSION = 3
CONTROL_BYTES_MAX = 64 * 1024  # of one control frame
HEADERS_BYTES_MAX = 64 * 1024  # of one header block when it is unpacked
HEADERS_MAX = 1000  # in one block, as moby/spdystream
DATA_BYTES_MAX = (1 << 24) - 1  # the length has 24 bits

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS = 1, 2, 3, 4
_PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 6, 7, 8, 9
_FIN, _UNIDIRECTIONAL = 1, 2
_ID = 0x7FFFFFFF

# Status of a reset.
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 5

# Draft 3, 2.6.10.1: words behind their length in four bytes, then words as they are.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base "
    "content-encoding content-language content-length content-location content-md5 "
    "content-range content-type date etag expect expires from host if-match if-modified-since "
    "if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"
)
_MORE_WORDS = (
    "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin",
)  # fmt: skip
_PLAIN = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, "
    "Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(
        struct.pack(">I", len(word)) + word.encode() for word in (*_WORDS.split(), *_MORE_WORDS)
    )
    + _PLAIN.encode()
)


class SpdyError(Exception):
    """The other side does not keep to the protocol."""


Headers = dict[str, str]  # names in lower case; several values of one name have a NUL between them


@dataclass(frozen=True, slots=True)
class SynStream:
    """Opens a stream."""

    stream: int
    headers: Headers = field(default_factory=dict)
    fin: bool = False
    unidirectional: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """Accepts a stream."""

    stream: int
    headers: Headers = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    stream: int
    headers: Headers = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    """Ends a stream at once."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Values by their number."""

    values: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """A client's numbers are odd, a server's even; the other side sends the same frame back."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    stream: int
    more: int


@dataclass(frozen=True, slots=True)
class Data:
    """A whole payload, or a piece of one as it came; `fin` is with the last piece."""

    stream: int
    data: bytes
    fin: bool = False


Frame = (
    SynStream | SynReply | MoreHeaders | RstStream | Settings | Ping | GoAway | WindowUpdate | Data
)


class Encoder:
    """Frames of one side of one connection, in the order in which they go out."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(9, zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream, data, fin):
                if len(data) > DATA_BYTES_MAX:
                    raise ValueError("a data frame has at most 16 MiB")
                return struct.pack(">II", stream, (fin * _FIN) << 24 | len(data)) + data
            case SynStream(stream, headers, fin, unidirectional):
                body = struct.pack(">IIBB", stream, 0, 0, 0) + self._block(headers)
                return _control(_SYN_STREAM, body, fin * _FIN | unidirectional * _UNIDIRECTIONAL)
            case SynReply(stream, headers, fin):
                return _control(_SYN_REPLY, self._of(stream, headers), fin * _FIN)
            case MoreHeaders(stream, headers, fin):
                return _control(_HEADERS, self._of(stream, headers), fin * _FIN)
            case RstStream(stream, status):
                return _control(_RST_STREAM, struct.pack(">II", stream, status))
            case Settings(values):
                pairs = b"".join(struct.pack(">II", number, value) for number, value in values)
                return _control(_SETTINGS, struct.pack(">I", len(values)) + pairs)
            case Ping(number):
                return _control(_PING, struct.pack(">I", number))
            case GoAway(last, status):
                return _control(_GOAWAY, struct.pack(">II", last, status))
            case WindowUpdate(stream, more):
                return _control(_WINDOW_UPDATE, struct.pack(">II", stream, more))

    def _of(self, stream: int, headers: Headers) -> bytes:
        return struct.pack(">I", stream) + self._block(headers)

    def _block(self, headers: Headers) -> bytes:
        plain = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                plain += [struct.pack(">I", len(text)), text]
        packed = self._deflate.compress(b"".join(plain))
        return packed + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


class Decoder:
    """What one side of a connection says. After a SpdyError it is of no more use."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._stream = 0  # whose payload is coming
        self._left = 0
        self._fin = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames, and pieces of frames, that are there now. Raises SpdyError."""
        self._buffer += data
        while True:
            if self._left:
                if not self._buffer:
                    return
                yield self._piece()
                continue
            if len(self._buffer) < 8:
                return
            first, second = struct.unpack_from(">II", self._buffer)
            flags, size = second >> 24, second & 0xFFFFFF
            if first >> 31:
                if first >> 16 & 0x7FFF != VERSION:
                    raise SpdyError("another version")
                if size > CONTROL_BYTES_MAX:
                    raise SpdyError("control frame too large")
                if len(self._buffer) < 8 + size:
                    return
                body = bytes(self._buffer[8 : 8 + size])
                del self._buffer[: 8 + size]
                frame = self._control(first & 0xFFFF, flags, body)
                if frame is not None:
                    yield frame
                continue
            if not first:
                raise SpdyError("stream id zero is disallowed")
            del self._buffer[:8]
            if size:
                self._stream, self._left, self._fin = first, size, bool(flags & _FIN)
            else:
                yield Data(first, b"", bool(flags & _FIN))

    def _piece(self) -> Data:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        return Data(self._stream, data, self._fin and not self._left)

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        fin = bool(flags & _FIN)
        if kind == _SYN_STREAM:
            (stream,) = _numbers(body[:4], 1, exact=True)
            _numbers(body[:8], 2, exact=True)  # an associated stream is nothing to us
            return SynStream(
                _whole(stream), self._headers(body[10:]), fin, bool(flags & _UNIDIRECTIONAL)
            )
        if kind in (_SYN_REPLY, _HEADERS):
            (stream,) = _numbers(body, 1)
            made = SynReply if kind == _SYN_REPLY else MoreHeaders
            return made(_whole(stream), self._headers(body[4:]), fin)
        if kind == _RST_STREAM:
            stream, status = _numbers(body, 2, exact=True)
            return RstStream(_whole(stream), status)
        if kind == _PING:
            (number,) = _numbers(body, 1, exact=True)
            return Ping(number)
        if kind == _GOAWAY:
            last, status = _numbers(body, 2, exact=True)
            return GoAway(last & _ID, status)
        if kind == _WINDOW_UPDATE:
            stream, more = _numbers(body, 2, exact=True)
            return WindowUpdate(stream & _ID, more & _ID)
        if kind == _SETTINGS:
            (count,) = _numbers(body, 1)
            if len(body) != 4 + 8 * count:
                raise SpdyError("wrong number of settings")
            found = _numbers(body[4:], 2 * count)
            numbers = (value & 0xFFFFFF for value in found[::2])
            return Settings(tuple(zip(numbers, found[1::2], strict=True)))
        return None

    def _headers(self, packed: bytes) -> Headers:
        try:
            plain = self._inflate.decompress(packed, HEADERS_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError(f"header block: {error}") from None
        if self._inflate.unconsumed_tail or self._inflate.eof:
            raise SpdyError("header block too large, or ended")
        (count,) = _numbers(plain, 1)
        if count > HEADERS_MAX:
            raise SpdyError("too many headers")
        out: Headers = {}
        at = 4
        for _ in range(count):
            name, at = _text(plain, at)
            value, at = _text(plain, at)
            if name != name.lower() or name in out:
                raise SpdyError("a header's name has capitals, or is there twice")
            out[name] = value
        if at != len(plain):
            raise SpdyError("more than the headers")
        return out


def _numbers(data: bytes, count: int, *, exact: bool = False) -> tuple[int, ...]:
    size = 4 * count
    if len(data) < size or (exact and len(data) != size):
        raise SpdyError("control frame of a wrong length")
    return struct.unpack_from(f">{count}I", data)


def _whole(stream: int) -> int:
    if not stream & _ID:
        raise SpdyError("stream id zero is disallowed")
    return stream & _ID


def _text(data: bytes, at: int) -> tuple[str, int]:
    (size,) = _numbers(data[at : at + 4], 1)
    end = at + 4 + size
    if end > len(data):
        raise SpdyError("header block cut short")
    return data[at + 4 : end].decode("utf-8", "replace"), end
