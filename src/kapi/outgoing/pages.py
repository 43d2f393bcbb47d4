"""GET of a document by its URL, from a server whose CA is known: what issuers of tokens publish.

Redirects are followed a few times, to https only. Failures are `OutgoingError`, in the words of
Go's http.Client.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from kapi.outgoing import words
from kapi.outgoing.client import Call, Client, Fetched
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.tls import Tls
from kapi.outgoing.words import ConnectionLost, OutgoingError

TIMEOUT_S = 30.0  # of one document; each redirect has its own
REDIRECTS_MAX = 10  # net/http's
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HEADERS = (("User-Agent", "kube-apiserver"), ("Accept", "*/*"))


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    body: bytes


class Pages:
    """Documents of one server, or of those that it sends us to. `ca`: PEM; "": the system's."""

    def __init__(self, client: Client, ca: str) -> None:
        self._client = client
        self._tls = Tls(ca or None)

    async def get(self, url: str, *, limit: int, token: str = "") -> Page:
        """Raises OutgoingError. `token` is for the first server alone."""
        headers = (*_HEADERS, ("Authorization", f"Bearer {token}")) if token else _HEADERS
        where = url
        for _ in range(REDIRECTS_MAX):
            try:
                fetched = await self._fetched(where, headers, limit)
            except OutgoingError as error:
                raise OutgoingError(words.url_error("GET", where, error)) from error
            target = fetched.header("location")
            if fetched.status not in _REDIRECTS or not target:
                return Page(fetched.status, fetched.body)
            where = urljoin(where, target)
            if urlsplit(where).netloc != urlsplit(url).netloc:
                headers = _HEADERS
        problem = OutgoingError(f"stopped after {REDIRECTS_MAX} redirects")
        raise OutgoingError(words.url_error("GET", where, problem))

    async def _fetched(self, url: str, headers: tuple[tuple[str, str], ...], limit: int) -> Fetched:
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError as error:
            raise OutgoingError(f"invalid URL: {error}") from error
        if parts.scheme != "https" or not parts.hostname:
            raise OutgoingError(f'unsupported protocol scheme "{parts.scheme}"')
        call = Call(
            method="GET",
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            endpoint=Endpoint(parts.hostname, port, self._tls),
            headers=headers,
            host=parts.netloc.rpartition("@")[2],
        )
        try:
            return await self._client.fetch(call, timeout_s=TIMEOUT_S, limit=limit)
        except ConnectionLost:  # a kept connection that the other side has just closed
            return await self._client.fetch(call, timeout_s=TIMEOUT_S, limit=limit)
