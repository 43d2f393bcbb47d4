"""Errors become bytes here and nowhere else: an `ApiError` its Status, anything else a 500 and a
log entry.

Outermost but for the audit id. The Status goes out in the form that Accept asks for; where that
is not served, as indented JSON."""

from __future__ import annotations

from kapi import log
from kapi.codec import json_format, yaml_format
from kapi.codec.negotiate import JSON, YAML, negotiate_error
from kapi.errors import ApiError, internal_error
from kapi.messages import Handler, Request, Response

_log = log.get("panic_recovery")


def with_panic_recovery(handler: Handler) -> Handler:
    async def filtered(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            return error_response(request, error)
        except Exception:
            _log.exception(
                "request failed",
                method=request.method,
                path=request.path,
                auditID=request.audit.id,
            )
            words = f"the server failed; its log says why, by audit id {request.audit.id}"
            return error_response(request, internal_error(words))

    return filtered


def error_response(request: Request, error: ApiError) -> Response:
    """The Status of an error, in the form that the request asks for."""
    headers = request.headers
    accepted = negotiate_error(headers.get("accept"), request.query, headers.get("user-agent"))
    status = error.status()
    if accepted.media_type == YAML:
        body = yaml_format.dumps(status)
    elif accepted.pretty:
        body = json_format.dumps_pretty(status)
    else:
        body = json_format.dumps(status) + b"\n"
    content_type = accepted.media_type if accepted.media_type == YAML else JSON
    out = [("Content-Type", content_type), *error.headers]
    if error.retry_after is not None:
        out.append(("Retry-After", str(error.retry_after)))
    return Response(error.code, out, body)
