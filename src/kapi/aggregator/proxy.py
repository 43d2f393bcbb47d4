"""Requests for a group version of another server: passed on with the user in headers, as a front
proxy does it.

The mux calls `handle` before it looks into its own resources. The backend knows us by the
certificate of `--proxy-client-cert-file`, and the user by `X-Remote-…`; the user's own credentials
stay here. https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
"""

from __future__ import annotations

from urllib.parse import quote_plus, unquote_plus

from kapi import log
from kapi.aggregator.api_services import Backend
from kapi.aggregator.front_proxy import Credentials, user_headers
from kapi.filters.long_running import is_long_running
from kapi.handlers.documents.answers import text
from kapi.handlers.proxying.forward import Forwarder, Forwarding, Unreachable
from kapi.handlers.proxying.links import Links
from kapi.messages import Request, Response
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.services import ServiceResolver
from kapi.outgoing.words import OutgoingError

UNAVAILABLE = "service unavailable"
_OURS = ("x-remote-user", "x-remote-uid", "x-remote-group")
_EXTRA = "x-remote-extra-"

_log = log.get("aggregator")


class AggregatorProxy:
    def __init__(
        self,
        resolver: ServiceResolver,
        forwarder: Forwarder,
        credentials: Credentials,
        *,
        rejects_redirects: bool = True,
    ) -> None:
        self._resolver = resolver
        self._forwarder = forwarder
        self._credentials = credentials
        self._rejects_redirects = rejects_redirects

    async def handle(self, request: Request, backend: Backend) -> Response:
        """The backend's answer, or a 503 in plain text."""
        if not backend.available:
            return text(503, UNAVAILABLE + "\n")
        try:
            host, port = self._resolver.resolve(backend.namespace, backend.service, backend.port)
        except OutgoingError as error:
            _log.warning("service of an APIService", name=backend.name, problem=str(error))
            return text(503, UNAVAILABLE + "\n")
        assert request.user is not None, "authentication comes first"
        tls = backend.tls(self._credentials.certificate, self._credentials.key)
        endpoint = Endpoint(host, port, tls)
        request.headers = request.headers.without(
            *_OURS, *(name for name, _ in request.headers.items if name.startswith(_EXTRA))
        )
        authority = endpoint.authority
        forwarding = Forwarding(
            endpoint=endpoint,
            path=request.path,
            query=_encoded(request.query.text),
            links=Links("", authority, request.headers.get("host"), "https", authority),
            add=[*user_headers(request.user), ("Audit-Id", request.audit.id)],
            forwarded=[
                ("X-Forwarded-Uri", request.path),
                ("X-Forwarded-Host", authority),
                ("X-Forwarded-Proto", "https"),
            ],
            rejects_redirects=self._rejects_redirects,
            endless=is_long_running(request.info),
            failed=_failed,
        )
        return await self._forwarder.forward(request, forwarding)


def _failed(error: Exception) -> Response:
    if isinstance(error, Unreachable):
        return text(503, f"error trying to reach service: {error}\n")
    return text(503, f"{error}\n")


def _encoded(query: str) -> str:
    """As net/url encodes parsed values: by name, broken pairs left out."""
    pairs: list[tuple[str, str]] = []
    for pair in query.split("&") if query else ():
        if pair and ";" not in pair:
            name, _, value = pair.partition("=")
            pairs.append((unquote_plus(name), unquote_plus(value)))
    pairs.sort(key=lambda pair: pair[0])
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
