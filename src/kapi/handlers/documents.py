"""Small generated documents as answers: discovery, version, the path list. Not for stored objects.

`document` encodes by what was negotiated, `compact` and `pretty` JSON as the real server lays them
out (a newline ends compact JSON only). `plain_not_found` is the text answer of a path that nobody
serves.
"""

from __future__ import annotations

from typing import Any

from kapi.codec import json_format, yaml_format
from kapi.codec.negotiate import JSON, YAML, Accepted
from kapi.messages import Response

TEXT = "text/plain; charset=utf-8"


def encode(value: Any, accepted: Accepted) -> bytes:
    """A document in the negotiated form."""
    if accepted.media_type == YAML:
        return yaml_format.dumps(value)
    if accepted.pretty:
        return json_format.dumps_pretty(value)
    return json_format.dumps(value) + b"\n"


def document(value: Any, accepted: Accepted) -> Response:
    return Response(200, [("Content-Type", accepted.media_type)], encode(value, accepted))


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
