"""Where a bearer token may stand, and what happens to one that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kapi.authentication.authenticator import InvalidCredentials, TokenAnswer, union
from kapi.authentication.bearer import EXTRA_SPACE, BearerToken, WebSocketToken
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, UserInfo

PREFIX = "base64url.bearer.authorization.k8s.io."


class Tokens:
    """Knows `good`; has bad news about `stale`."""

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        if token == "stale":
            raise InvalidCredentials("service account token has expired")
        return (UserInfo("jane"), tuple(audiences)) if token == "good" else None


def request(*headers: tuple[str, str], websocket: tuple[str, ...] | None = None) -> Request:
    return Request(
        "GET", "/", "/", Query(""), Headers(headers), EmptyBody(), Peer(), websocket=websocket
    )


@pytest.mark.parametrize(
    "header", ["Bearer good", "bearer good", " BEARER good\t", "Bearer good x"]
)
async def test_the_header_names_a_user(header: str) -> None:
    found = await BearerToken(Tokens(), ("a",)).authenticate(request(("authorization", header)))
    assert found == UserInfo("jane")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "good", "Basic good", "Bearer\tgood", "Bearer:good"]
)
async def test_a_malformed_header_is_no_credentials(header: str) -> None:
    asked = request(("authorization", header))
    assert await BearerToken(Tokens(), ()).authenticate(asked) is None
    assert asked.warnings == []


async def test_an_extra_space_is_warned_of() -> None:
    asked = request(("authorization", "Bearer  good"))
    assert await BearerToken(Tokens(), ()).authenticate(asked) is None
    assert asked.warnings == [EXTRA_SPACE]


async def test_the_first_header_counts() -> None:
    asked = request(("authorization", "Bearer good"), ("authorization", "Bearer bad"))
    assert await BearerToken(Tokens(), ()).authenticate(asked) == UserInfo("jane")


async def test_an_unknown_token_is_wrong() -> None:
    bearer = BearerToken(Tokens(), ())
    with pytest.raises(InvalidCredentials, match=r"^invalid bearer token$"):
        await bearer.authenticate(request(("authorization", "Bearer bad")))
    with pytest.raises(InvalidCredentials) as caught:
        await bearer.authenticate(request(("authorization", "Bearer stale")))
    assert str(caught.value) == "[invalid bearer token, service account token has expired]"


async def test_a_handshake_carries_a_token_among_its_subprotocols() -> None:
    asked = request(
        ("sec-websocket-protocol", PREFIX + "Z29vZA, base64.binary.k8s.io"),
        websocket=(PREFIX + "Z29vZA", "base64.binary.k8s.io"),
    )
    assert await WebSocketToken(Tokens(), ()).authenticate(asked) == UserInfo("jane")
    assert asked.websocket == ("base64.binary.k8s.io",)
    assert asked.headers.get("sec-websocket-protocol") == "base64.binary.k8s.io"


@pytest.mark.parametrize(
    ("protocols", "complaint"),
    [
        ((PREFIX + "Z29vZA==", "v4"), "invalid base64.bearer.authorization token encoding"),
        ((PREFIX + "Z", "v4"), "invalid base64.bearer.authorization token encoding"),
        ((PREFIX + "_w", "v4"), "invalid base64.bearer.authorization token"),
        ((PREFIX + "Z29vZA",), "missing additional subprotocol"),
        (
            (PREFIX + "Z29vZA", PREFIX + "Z29vZA", "v4"),
            "multiple base64.bearer.authorization tokens specified",
        ),
        ((PREFIX + "YmFk", "v4"), "invalid bearer token"),
    ],
)
async def test_a_bad_handshake_is_wrong(protocols: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InvalidCredentials) as caught:
        await WebSocketToken(Tokens(), ()).authenticate(request(websocket=protocols))
    assert str(caught.value) == complaint


@pytest.mark.parametrize("protocols", [None, ("v4",), (PREFIX, "v4")])
async def test_a_handshake_without_token_is_no_credentials(
    protocols: tuple[str, ...] | None,
) -> None:
    assert await WebSocketToken(Tokens(), ()).authenticate(request(websocket=protocols)) is None


async def test_a_union_takes_the_first_user_and_keeps_the_complaints() -> None:
    both = union([BearerToken(Tokens(), ()), WebSocketToken(Tokens(), ())])
    asked = request(("authorization", "Bearer bad"), websocket=(PREFIX + "Z29vZA", "v4"))
    assert await both.authenticate(asked) == UserInfo("jane")
    asked = request(("authorization", "Bearer bad"), websocket=(PREFIX + "Z29vZA",))
    with pytest.raises(InvalidCredentials) as caught:
        await both.authenticate(asked)
    assert str(caught.value) == "[invalid bearer token, missing additional subprotocol]"
    assert await both.authenticate(request()) is None
