"""Continue tokens: where the next page of a list starts, and as of which revision.

Opaque to clients; ours are the real server's, unpadded URL-safe base64 of
`{"v":"meta.k8s.io/v1","rv":7,"start":"default/a\\u0000"}`: the key without the prefix that was
listed, and a NUL to make it the least key after it. A negative revision means the current one: the
list will not be consistent.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import orjson

from kapi import errors
from kapi.codec import json_format

TOKEN_VERSION = "meta.k8s.io/v1"
LATEST = -1
_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")
_INT64 = range(-(2**63), 2**63)


def encode(revision: int, start: str) -> str:
    """The token of a page that starts at `start`, relative to the prefix that is listed."""
    token = orjson.dumps({"v": TOKEN_VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode(text: str) -> tuple[int, str]:
    """(revision, start) of a token. Raises ApiError 400."""
    try:
        return _decode(text)
    except _Bad as error:
        raise errors.bad_request(
            f"invalid continue token: continue key is not valid: {error}"
        ) from None


class _Bad(Exception):
    pass


def _decode(text: str) -> tuple[int, str]:
    try:
        token = json_format.loads(_from_base64(text))
    except json_format.JsonSyntaxError as error:
        raise _Bad(str(error)) from None
    if token is None:
        token = {}
    if not isinstance(token, dict):
        raise _Bad(
            f"json: cannot unmarshal {_go_kind(token)} into Go value of type storage.continueToken"
        )
    version = _member(token, "v", str, "", "string")
    revision = _member(token, "rv", int, 0, "int64")
    start = _member(token, "start", str, "", "string")
    if version != TOKEN_VERSION:
        raise _Bad(f"server does not recognize this encoded version {version}")
    if revision == 0:
        raise _Bad(f"incorrect encoded start resourceVersion (version {TOKEN_VERSION})")
    if not start:
        raise _Bad(f"encoded start key empty (version {TOKEN_VERSION})")
    if not _clean(start):
        raise _Bad(start)
    return revision, start


def _from_base64(text: str) -> bytes:
    data = text.encode()
    good = _ALPHABET.match(data)
    end = good.end() if good is not None else 0
    if end < len(data):
        raise _Bad(f"illegal base64 data at input byte {end}")
    if len(data) % 4 == 1:
        raise _Bad(f"illegal base64 data at input byte {len(data) - 1}")
    try:
        return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        raise _Bad(f"illegal base64 data at input byte {len(data)}") from None


def _member(token: dict[str, Any], name: str, type_: type, absent: Any, go_type: str) -> Any:
    value = token.get(name)
    if value is None:
        return absent
    if type(value) is not type_ or (type_ is int and value not in _INT64):
        kind = _go_kind(value)
        field = f"continueToken.{name} of type {go_type}"
        raise _Bad(f"json: cannot unmarshal {kind} into Go struct field {field}")
    return value


def _go_kind(value: Any) -> str:
    """What encoding/json calls a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _clean(start: str) -> bool:
    """Whether a key is as path.Clean leaves it: it must not climb out of what is listed."""
    path = start if start.startswith("/") else "/" + start
    parts = path.split("/")[1:]
    return all(p not in ("", ".", "..") for p in parts)
