"""Static bearer tokens of --token-auth-file: CSV lines `token,user,uid[,"group1,group2"]`.

Read once at start. Tokens are kept and looked up as keyed digests, so that the time of a look-up
says nothing about a token. A token found twice, an empty one or a short line stops the start with
one clear message.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

from kapi.authentication.authenticator import TokenAnswer
from kapi.clock import Entropy
from kapi.messages import UserInfo

DIGEST_BYTES = 16


class TokenFileError(ValueError):
    """The file cannot be used; the text says where and why."""


class TokenFile:
    """Tokens that do not change while the server runs. They are good for `audiences`."""

    def __init__(
        self, users: dict[str, UserInfo], audiences: Sequence[str], entropy: Entropy
    ) -> None:
        self._key = entropy.token(32).encode()[:64]
        self._users = {self._digest(token): user for token, user in users.items()}
        self._audiences = tuple(audiences)

    def _digest(self, token: str) -> bytes:
        data = token.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, digest_size=DIGEST_BYTES, key=self._key).digest()

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        user = self._users.get(self._digest(token))
        if user is None:
            return None
        good_for = tuple(a for a in self._audiences if a in audiences)
        if audiences and self._audiences and not good_for:
            return None
        return user, good_for


def load(path: Path, audiences: Sequence[str], entropy: Entropy) -> TokenFile:
    """Read the file. Raises TokenFileError, or OSError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise TokenFileError(f"{path}: not UTF-8: {e}") from e
    return TokenFile(parse(text, str(path)), audiences, entropy)


def parse(text: str, source: str) -> dict[str, UserInfo]:
    """Token → user. `source` names the file in errors."""
    users: dict[str, UserInfo] = {}
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        for record in reader:
            if not record:
                continue
            where = f"{source}:{reader.line_num}"
            if len(record) < 3:
                raise TokenFileError(
                    f"{where}: a line must have at least 3 columns "
                    f"(token, user name, user uid), found {len(record)}"
                )
            token, name, uid = record[:3]
            if not token:
                raise TokenFileError(f"{where}: the token is empty")
            if token in users:
                raise TokenFileError(f"{where}: the token occurs twice")
            groups = tuple(record[3].split(",")) if len(record) > 3 and record[3] else ()
            users[token] = UserInfo(name=name, uid=uid, groups=groups)
    except csv.Error as e:
        raise TokenFileError(f"{source}:{reader.line_num}: {e}") from e
    return users
