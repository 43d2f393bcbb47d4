"""POST to a webhook: from a WebhookClientConfig (url or service, CA bundle) to the body of a good
answer.

For admission and conversion webhooks. Failures are `HookError`, in the words of the real server's
client: of the transport, or of a status that is no success.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#contacting-the-webhook
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import orjson

from kapi.errors import quote
from kapi.gonet.urls import Url, UrlError, parse
from kapi.outgoing import words
from kapi.outgoing.client import Call, Client, Fetched
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.services import host_name
from kapi.outgoing.tls import Tls
from kapi.outgoing.words import ConnectionLost, OutgoingError

Json = dict[str, Any]
# An answer carries a patch, or the objects of one request converted: some times an object's 1.5 MB.
ANSWER_BYTES_MAX = 16 * 1024 * 1024
BUNDLES_MAX = 1024  # CA bundles remembered in readable form
SHOWN_BYTES_MAX = 2048  # of an error page
USER_AGENT = "kube-apiserver-admission"
DEFAULT_PORT = 443
PORT_MAX = 65535
_HEADERS = (
    ("User-Agent", USER_AGENT),
    ("Accept", "application/json, */*"),
    ("Content-Type", "application/json"),
)
# (namespace, name, port) → host and port to dial. Raises OutgoingError.
Resolve = Callable[[str, str, int], tuple[str, int]]


class HookError(Exception):
    """No good answer. `code`: that of the webhook's Status, 0 if it sent none."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


def address(config: Json, timeout_s: int) -> str:
    """Where a clientConfig leads, as messages show it."""
    service = config.get("service")
    if service is None:
        text = str(config.get("url", ""))
        try:
            url = parse(text)
        except UrlError:
            return text
        base = str(url)
        return f"{base if url.path else base + '/'}?timeout={timeout_s}s"
    return f"https://{_authority(service)}{_path(service)}?timeout={timeout_s}s"


def _url(config: Json) -> Url:
    try:
        return parse(str(config.get("url", "")))
    except UrlError as e:
        raise OutgoingError(str(e)) from None


def _authority(service: Json) -> str:
    port = service.get("port") or DEFAULT_PORT
    return f"{host_name(service['namespace'], service['name'])}:{port}"


def _path(service: Json) -> str:
    path = service.get("path") or ""
    return path if path.startswith("/") else f"/{path}"


class HookClient:
    """One per server."""

    def __init__(self, client: Client, resolve: Resolve) -> None:
        self._client = client
        self._resolve = resolve
        self._bundles: dict[str, str] = {}

    async def post(self, config: Json, body: bytes, timeout_s: int) -> bytes:
        """The body of an answer with a status of success. Raises HookError."""
        try:
            call = self._call(config, body, timeout_s)
            fetched = await self._fetched(call, timeout_s)
        except OutgoingError as e:
            raise HookError(words.url_error("POST", address(config, timeout_s), e)) from None
        if not 200 <= fetched.status <= 206:
            raise refused(fetched)
        if not fetched.body:
            kind = fetched.header("content-type")
            raise HookError(
                f"0-length response with status code: {fetched.status} and content type: {kind}"
            )
        return fetched.body

    async def _fetched(self, call: Call, timeout_s: int) -> Fetched:
        """Once more if a kept connection ended before a byte came: the webhook's server closed it
        while the request was under way. Webhooks must bear being asked twice.
        """
        try:
            return await self._client.fetch(call, timeout_s=timeout_s, limit=ANSWER_BYTES_MAX)
        except ConnectionLost:
            return await self._client.fetch(call, timeout_s=timeout_s, limit=ANSWER_BYTES_MAX)

    def _call(self, config: Json, body: bytes, timeout_s: int) -> Call:
        service = config.get("service")
        if service is None:
            url = _url(config)
            port = int(url.port or DEFAULT_PORT)
            if port > PORT_MAX:
                raise OutgoingError(f"dial tcp: address {port}: invalid port")
            endpoint = Endpoint(url.hostname, port, Tls(self._bundle(config)))
            host, path = url.host, url.escaped_path or "/"
        else:
            name, namespace = service["name"], service["namespace"]
            where = self._resolve(namespace, name, service.get("port") or DEFAULT_PORT)
            shown = host_name(namespace, name)
            endpoint = Endpoint(*where, Tls(self._bundle(config), server_name=shown))
            host, path = _authority(service), _path(service)
        return Call(
            method="POST",
            target=f"{path}?timeout={timeout_s}s",
            endpoint=endpoint,
            headers=_HEADERS,
            body=body,
            host=host,
        )

    def _bundle(self, config: Json) -> str | None:
        """The CA bundle as PEM; None: the roots of the system."""
        given = config.get("caBundle")
        if not given:
            return None
        found = self._bundles.get(given)
        if found is None:
            try:
                found = base64.b64decode(given).decode("ascii", "replace")
            except (binascii.Error, ValueError) as e:
                raise OutgoingError(f"illegal CA bundle: {e}") from e
            if len(self._bundles) >= BUNDLES_MAX:
                self._bundles.clear()
            self._bundles[given] = found
        return found


# -- answers that are no success ----------------------------------------------------------------

_BY_CODE = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    410: "the server was unable to respond with the requested resource",
    413: "the server rejected our request because it was too large",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be "
    "processing the request",
}


def refused(fetched: Fetched) -> HookError:
    """A status that is no success: the webhook's own Status, if it sent one, else what client-go
    makes of the code.
    """
    code = fetched.status
    try:
        said = orjson.loads(fetched.body)
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict) and said.get("kind") == "Status" and said.get("status") != "Success":
        own, message = said.get("code"), said.get("message")
        if isinstance(message, str):
            return HookError(message, own if isinstance(own, int) else code)
    text = fetched.body[:SHOWN_BYTES_MAX].decode("utf-8", "replace").strip()
    if not fetched.header("content-type").startswith("text/"):
        text = "unknown"
    if code in (403, 406, 415):
        return HookError(text, code)
    if code in _BY_CODE:
        return HookError(_BY_CODE[code], code)
    if code >= 500:
        words_ = f"an error on the server ({quote(text)}) has prevented the request from succeeding"
        return HookError(words_, code)
    return HookError(
        f"the server responded with the status code {code} but did not return more information",
        code,
    )
