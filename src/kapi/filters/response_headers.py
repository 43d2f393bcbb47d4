"""Headers of every answer: no caching, and Strict-Transport-Security where it is asked for.

While the server drains and --shutdown-send-retry-after is on, everything but health checks and
metrics is refused here, so that load balancers go elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kapi.messages import Handler, Request, Response

NO_CACHE = ("Cache-Control", "no-cache, private")
NEVER_REFUSED = ("/readyz", "/livez", "/healthz", "/metrics")
RETRY_AFTER_SECONDS = 5  # as the real server: time for a load balancer to notice


def with_response_headers(
    handler: Handler,
    hsts_directives: Sequence[str] = (),
    draining: Callable[[], bool] | None = None,
) -> Handler:
    """`draining` is given only where draining servers are to refuse."""
    queued = [NO_CACHE]
    if hsts_directives:
        queued.append(("Strict-Transport-Security", "; ".join(hsts_directives)))

    async def filtered(request: Request) -> Response:
        request.reply_headers.extend(queued)
        if draining is not None and draining() and not request.path.startswith(NEVER_REFUSED):
            return _refusal()
        return await handler(request)

    return filtered


def _refusal() -> Response:
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        ("Retry-After", str(RETRY_AFTER_SECONDS)),
    ]
    return Response(429, headers, b"The apiserver is shutting down, please try again later.\n")
