"""Frames of a watch: how events are told apart in a stream.

JSON: one object a line, `{"type":"ADDED","object":{…}}` and a newline, also as a WebSocket message.
Protocol Buffers: a WatchEvent (1 the type, 2 a RawExtension, whose field 1 is the object in its
envelope) behind its length in four bytes; as a WebSocket message without the length.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

from kapi.codec.protobuf_format import BYTES, header, sized

_ONE, _TWO = header(1, BYTES), header(2, BYTES)


def json_frame(type_: str, *object_pieces: bytes) -> bytes:
    """One event; the object comes in pieces, which are copied once. `type_` needs no escaping."""
    return b"".join((b'{"type":"%b","object":' % type_.encode(), *object_pieces, b"}\n"))


def protobuf_event(type_: str, sealed: bytes) -> bytes:
    """One event, its object in an envelope."""
    return b"".join((_ONE, sized(type_.encode()), _TWO, sized(_ONE + sized(sealed))))


def protobuf_frame(type_: str, sealed: bytes) -> bytes:
    """The same as it stands in a stream."""
    event = protobuf_event(type_, sealed)
    return len(event).to_bytes(4, "big") + event
