"""Bootstrap tokens: every doubt makes them unknown."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kapi.authentication.bootstrap_token import SECRET_TYPE, BootstrapTokens
from kapi.messages import UserInfo

Json = dict[str, Any]
TOKEN = "abcdef.0123456789abcdef"
GOOD = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
}


class FakeClock:
    def now(self) -> float:
        return 1_800_000_000.0  # 2027-01-15T08:00:00Z

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


class Secrets:
    def __init__(self, texts: dict[str, str], **changes: Any) -> None:
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}
        metadata = {"name": "bootstrap-token-abcdef", **changes.pop("metadata", {})}
        self.secret = {"metadata": metadata, "type": SECRET_TYPE, "data": encoded, **changes}

    def get(self, namespace: str, name: str) -> Json | None:
        found = (namespace, name) == ("kube-system", "bootstrap-token-abcdef")
        return self.secret if found else None


async def ask(secrets: Secrets, token: str = TOKEN) -> UserInfo | None:
    answer = await BootstrapTokens(secrets, ("a",), FakeClock()).authenticate_token(token, ("a",))
    return answer[0] if answer else None


async def test_a_token_names_its_id_and_groups() -> None:
    extra = "system:bootstrappers:z,system:bootstrappers:kubeadm:x"
    assert await ask(Secrets({**GOOD, "auth-extra-groups": extra})) == UserInfo(
        "system:bootstrap:abcdef",
        groups=("system:bootstrappers", "system:bootstrappers:kubeadm:x", "system:bootstrappers:z"),
    )
    assert await ask(Secrets({**GOOD, "expiration": "2027-01-15T08:00:01Z"}))


@pytest.mark.parametrize(
    "secrets",
    [
        Secrets({**GOOD, "token-secret": "x" * 16}),
        Secrets({**GOOD, "token-id": "other1"}),
        Secrets({**GOOD, "usage-bootstrap-authentication": "yes"}),
        Secrets({**GOOD, "expiration": "2027-01-15T07:59:59Z"}),
        Secrets({**GOOD, "expiration": "tomorrow"}),
        Secrets({**GOOD, "expiration": "2027-01-16T00:00:00"}),
        Secrets({**GOOD, "auth-extra-groups": "system:masters"}),
        Secrets(GOOD, type="Opaque"),
        Secrets(GOOD, data=None),
        Secrets(GOOD, data={"token-secret": "%"}),
        Secrets(GOOD, metadata={"deletionTimestamp": "2027-01-01T00:00:00Z"}),
    ],
)
async def test_doubts(secrets: Secrets) -> None:
    assert await ask(secrets) is None


@pytest.mark.parametrize("token", ["", "abcdef", TOKEN + "0", TOKEN.upper(), TOKEN + "\n"])
async def test_other_shapes(token: str) -> None:
    assert await ask(Secrets(GOOD), token) is None


async def test_other_audiences() -> None:
    tokens = BootstrapTokens(Secrets(GOOD), ("a",), FakeClock())
    assert await tokens.authenticate_token(TOKEN, ("b",)) is None
