"""Cross-origin requests of browsers, for the origins of --cors-allowed-origins; absent without
that flag."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kapi.messages import Handler, Request, Response

_ALLOWED = (
    ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE, PATCH"),
    (
        "Access-Control-Allow-Headers",
        "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization,"
        " X-Requested-With, If-Modified-Since",
    ),
    ("Access-Control-Expose-Headers", "Date"),
    ("Access-Control-Allow-Credentials", "true"),
)


def with_cors(handler: Handler, allowed_origins: Sequence[str]) -> Handler:
    """`allowed_origins`: regular expressions, found anywhere in the origin unless anchored."""
    patterns = [re.compile(pattern) for pattern in allowed_origins]

    async def filtered(request: Request) -> Response:
        origin = request.headers.get("origin")
        if not origin or not any(pattern.search(origin) for pattern in patterns):
            return await handler(request)
        request.reply_headers.append(("Access-Control-Allow-Origin", origin))
        request.reply_headers.extend(_ALLOWED)
        if request.method == "OPTIONS":  # a preflight asks no further
            return Response(204)
        return await handler(request)

    return filtered
