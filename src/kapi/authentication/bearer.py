"""Bearer tokens in a request: the Authorization header, and the WebSocket subprotocol for browsers.

Both only find the token and ask one TokenAuthenticator. A header that is not well formed counts as
no credentials; a token that nobody knows is wrong credentials.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#putting-a-bearer-token-in-a-request
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from kapi.authentication.authenticator import InvalidCredentials, TokenAuthenticator
from kapi.messages import Headers, Request, UserInfo

INVALID_TOKEN = "invalid bearer token"
EXTRA_SPACE = (
    "the provided Authorization header contains extra space before the bearer token, and is ignored"
)
SUBPROTOCOL_PREFIX = "base64url.bearer.authorization.k8s.io."
_SPACES = " \t\n\v\f\r\x85\xa0"  # what Go's TrimSpace takes off


async def check(tokens: TokenAuthenticator, token: str, audiences: Sequence[str]) -> UserInfo:
    """The user of a token. Raises InvalidCredentials in any other case."""
    try:
        answer = await tokens.authenticate_token(token, audiences)
    except InvalidCredentials as e:
        raise InvalidCredentials(INVALID_TOKEN, *e.texts) from e
    if answer is None:
        raise InvalidCredentials(INVALID_TOKEN)
    return answer[0]


class BearerToken:
    """`Authorization: Bearer TOKEN`."""

    def __init__(self, tokens: TokenAuthenticator, audiences: Sequence[str]) -> None:
        self._tokens = tokens
        self._audiences = tuple(audiences)

    async def authenticate(self, request: Request) -> UserInfo | None:
        header = request.headers.get("authorization")
        if not header:
            return None
        parts = header.strip(_SPACES).split(" ", 2)
        if len(parts) < 2 or parts[0].lower() != "bearer":
            return None
        if not parts[1]:
            if len(parts) == 3:
                request.warn(EXTRA_SPACE)
            return None
        return await check(self._tokens, parts[1], self._audiences)


class WebSocketToken:
    """A token among the subprotocols of a WebSocket handshake; taken out of them after success."""

    def __init__(self, tokens: TokenAuthenticator, audiences: Sequence[str]) -> None:
        self._tokens = tokens
        self._audiences = tuple(audiences)

    async def authenticate(self, request: Request) -> UserInfo | None:
        if request.websocket is None:
            return None
        found = [p for p in request.websocket if p.startswith(SUBPROTOCOL_PREFIX)]
        if not found:
            return None
        if len(found) > 1:
            raise InvalidCredentials("multiple base64.bearer.authorization tokens specified")
        token = _decode(found[0][len(SUBPROTOCOL_PREFIX) :])
        others = tuple(p for p in request.websocket if not p.startswith(SUBPROTOCOL_PREFIX))
        if not others:
            raise InvalidCredentials("missing additional subprotocol")
        if not token:
            return None
        user = await check(self._tokens, token, self._audiences)
        request.websocket = others
        rest = request.headers.without("sec-websocket-protocol").items
        request.headers = Headers([*rest, ("sec-websocket-protocol", ",".join(others))])
        return user


_URL_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _decode(text: str) -> str:
    """Unpadded base64url of UTF-8."""
    if not _URL_ALPHABET.issuperset(text):
        raise InvalidCredentials("invalid base64.bearer.authorization token encoding")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as e:
        raise InvalidCredentials("invalid base64.bearer.authorization token encoding") from e
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise InvalidCredentials("invalid base64.bearer.authorization token") from e
