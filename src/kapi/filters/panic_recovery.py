"""Errors become bytes here and nowhere else: an `ApiError` its Status, anything else a 500 and a
log entry.

Outermost. The Status goes out in the form that Accept asks for; where that
is not served, as indented JSON."""

from __future__ import annotations

from typing import Any

from kapi import log
from kapi.codec import json_format, yaml_format
from kapi.codec.negotiate import CBOR, PLAIN, PROTOBUF, YAML, Accepted, Offer, negotiate_error
from kapi.codec.protobuf_format import sealed
from kapi.errors import ApiError, internal_error
from kapi.messages import Handler, Request, Response
from kapi.schema.protobuf_kinds import SmallKinds
from kapi.schema.protobuf_writing import Writers

_log = log.get("panic_recovery")


Json = dict[str, Any]


def with_panic_recovery(handler: Handler, offer: Offer = PLAIN) -> Handler:
    errors = _Errors(offer)

    async def filtered(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            return errors.answer(request, error)
        except Exception:
            _log.exception(
                "request failed",
                method=request.method,
                path=request.path,
                auditID=request.audit.id,
            )
            words = f"the server failed; its log says why, by audit id {request.audit.id}"
            return errors.answer(request, internal_error(words))

    return filtered


class _Errors:
    """Errors as answers. The Status as Protocol Buffers needs no other schema."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._writers = Writers()
        schema = SmallKinds().get("Status")
        assert schema is not None
        self._schema = schema

    def answer(self, request: Request, error: ApiError) -> Response:
        """The Status of an error, in the form that the request asks for."""
        headers = request.headers
        accepted = negotiate_error(
            headers.get("accept"), request.query, headers.get("user-agent"), self._offer
        )
        out = [("Content-Type", accepted.media_type), *error.headers]
        if error.retry_after is not None:
            out.append(("Retry-After", str(error.retry_after)))
        return Response(error.code, out, self._body(error.status(), accepted))

    def _body(self, status: Json, accepted: Accepted) -> bytes:
        if accepted.media_type == PROTOBUF:
            return sealed("v1", "Status", self._writers.write(self._schema, status))
        if accepted.media_type == YAML:
            return yaml_format.dumps(status)
        if accepted.media_type == CBOR:
            from kapi.codec import cbor_format

            return cbor_format.tagged(cbor_format.dumps(status))
        if accepted.pretty:
            return json_format.dumps_pretty(status)
        return json_format.dumps(status) + b"\n"
