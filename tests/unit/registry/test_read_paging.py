"""Continue tokens: ours come back as they were, others are refused in the real words."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.registry import paging

SEGMENT = st.text(min_size=1).filter(
    lambda s: s not in (".", "..") and "/" not in s and s.isprintable()
)


@seed(9)
@given(st.integers(-(2**63), 2**63 - 1).filter(bool), st.lists(SEGMENT, min_size=1, max_size=2))
def test_round_trip(revision: int, parts: list[str]) -> None:
    start = "/".join(parts) + "\0"
    assert paging.decode(paging.encode(revision, start)) == (revision, start)


def test_the_real_form() -> None:
    token = paging.encode(7, "default/a\0")
    padded = token + "=" * (-len(token) % 4)
    assert base64.urlsafe_b64decode(padded) == (
        b'{"v":"meta.k8s.io/v1","rv":7,"start":"default/a\\u0000"}'
    )


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


V1 = "meta.k8s.io/v1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\0", "illegal base64 data at input byte 0"),
        ("ab c", "illegal base64 data at input byte 2"),
        ("abcde", "illegal base64 data at input byte 4"),
        ("zzz", "invalid character 'Ï' looking for beginning of value"),
        (token({}), "server does not recognize this encoded version "),
        (token({"v": "v2", "rv": 1}), "server does not recognize this encoded version v2"),
        (token({"v": V1}), f"incorrect encoded start resourceVersion (version {V1})"),
        (token({"v": V1, "rv": 5}), f"encoded start key empty (version {V1})"),
        (token({"v": V1, "rv": 1, "start": "../x"}), "../x"),
        (token({"v": V1, "rv": 1, "start": "a//b"}), "a//b"),
        (token({"v": V1, "rv": 1, "start": "a/"}), "a/"),
        (
            token([]),
            "json: cannot unmarshal array into Go value of type storage.continueToken",
        ),
        (
            token({"v": V1, "rv": "1"}),
            "json: cannot unmarshal string into Go struct field continueToken.rv of type int64",
        ),
        (
            token({"v": 1}),
            "json: cannot unmarshal number 1 into Go struct field continueToken.v of type string",
        ),
    ],
)
def test_refusals(text: str, problem: str) -> None:
    with pytest.raises(ApiError) as caught:
        paging.decode(text)
    assert caught.value.code == 400
    assert caught.value.message == (f"invalid continue token: continue key is not valid: {problem}")


@seed(10)
@given(st.text(max_size=20) | st.binary(max_size=20).map(lambda b: base64.b64encode(b).decode()))
def test_any_text_is_a_token_or_a_400(text: str) -> None:
    assert outcome(text) in (200, 400)


def outcome(text: str) -> int:
    try:
        paging.decode(text)
    except ApiError as error:
        return error.code
    return 200
