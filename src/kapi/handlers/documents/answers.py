"""Small generated documents as answers: discovery, version, the path list. Not for stored objects.

`encode` goes by what was negotiated and lays JSON out as the real server does (a newline ends
compact JSON only). `plain_not_found` is the text answer of a path that nobody
serves.
"""

from __future__ import annotations

from typing import Any

from kapi.codec import json_format, yaml_format
from kapi.codec.negotiate import CBOR, JSON, PROTOBUF, YAML, Accepted
from kapi.handlers.encoder import Encoder
from kapi.messages import Response

TEXT = "text/plain; charset=utf-8"


def encode(value: Any, accepted: Accepted, encoder: Encoder) -> bytes:
    """A document in the negotiated form."""
    if accepted.media_type == PROTOBUF:
        return encoder.sealed(value)
    if accepted.media_type == YAML:
        return yaml_format.dumps(value)
    if accepted.media_type == CBOR:
        from kapi.codec.cbor_format import dumps_sorted, tagged

        return tagged(dumps_sorted(value))
    if accepted.pretty:
        return json_format.dumps_pretty(value)
    return json_format.dumps(value) + b"\n"


def raw_json(value: Any) -> Response:
    """Indented JSON whatever the client asks for."""
    return Response(200, [("Content-Type", JSON)], json_format.dumps_pretty(value))


def text(status: int, body: str) -> Response:
    """Plain text; browsers are told not to guess better."""
    return Response(
        status, [("Content-Type", TEXT), ("X-Content-Type-Options", "nosniff")], body.encode()
    )


def plain_not_found() -> Response:
    return text(404, "404 page not found\n")
