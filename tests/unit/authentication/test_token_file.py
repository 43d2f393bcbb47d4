"""Static tokens: the file is read strictly, a token is found exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from kapi.authentication import token_file
from kapi.authentication.token_file import TokenFile, TokenFileError, parse
from kapi.clock import Entropy
from kapi.messages import UserInfo

AUDIENCES = ("https://issuer",)


def test_lines_name_user_uid_and_groups() -> None:
    users = parse('t1,admin,1,"system:masters,ops"\n\nt2,jane,2\nt3,bob,3,\n', "tokens.csv")
    assert users == {
        "t1": UserInfo("admin", "1", ("system:masters", "ops")),
        "t2": UserInfo("jane", "2"),
        "t3": UserInfo("bob", "3"),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("t1,admin\n", "tokens.csv:1: a line must have at least 3 columns"),
        ("t1,a,1\n,b,2\n", "tokens.csv:2: the token is empty"),
        ("t1,a,1\nt1,b,2\n", "tokens.csv:2: the token occurs twice"),
        ('t1,a,1,"x\n', "tokens.csv:1: unexpected end of data"),
        ('t1,a,1,"x"y\n', "tokens.csv:1: ',' expected after '\"'"),
    ],
)
def test_a_bad_line_is_named(text: str, complaint: str) -> None:
    with pytest.raises(TokenFileError) as caught:
        parse(text, "tokens.csv")
    assert str(caught.value).startswith(complaint)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_bytes(b"\xff\xfe,a,1\n")
    with pytest.raises(TokenFileError, match="not UTF-8"):
        token_file.load(path, AUDIENCES, Entropy(1))


async def test_only_the_whole_token_is_found(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text("secret,jane,7,developers\n")
    tokens = token_file.load(path, AUDIENCES, Entropy(1))
    assert await tokens.authenticate_token("secret", AUDIENCES) == (
        UserInfo("jane", "7", ("developers",)),
        AUDIENCES,
    )
    for wrong in ("SECRET", "secre", "secret ", "", "\udcff"):
        assert await tokens.authenticate_token(wrong, AUDIENCES) is None


async def test_a_token_is_good_for_the_servers_audiences_only() -> None:
    tokens = TokenFile({"t": UserInfo("u")}, ("a", "b"), Entropy(1))
    assert await tokens.authenticate_token("t", ("b", "c")) == (UserInfo("u"), ("b",))
    assert await tokens.authenticate_token("t", ("c",)) is None
