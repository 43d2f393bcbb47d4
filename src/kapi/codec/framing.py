"""Frames of a watch: how events are told apart in a stream.

JSON: one object a line, `{"type":"ADDED","object":{…}}` and a newline, also as a WebSocket message.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations


def json_frame(type_: str, *object_pieces: bytes) -> bytes:
    """One event; the object comes in pieces, which are copied once. `type_` needs no escaping."""
    return b"".join((b'{"type":"%b","object":' % type_.encode(), *object_pieces, b"}\n"))
