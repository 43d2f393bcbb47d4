"""Tokens of service accounts: what is issued is accepted while what it is bound to exists."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kapi.authentication import service_account_keys as keys
from kapi.authentication.authenticator import InvalidCredentials
from kapi.authentication.legacy_tokens import LegacyTokens
from kapi.authentication.service_account import (
    Issuer,
    Objects,
    Reference,
    ServiceAccountTokens,
    split_username,
)
from kapi.authentication.token_use import LAST_USED, TokenUse
from kapi.clock import Entropy, rfc3339
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
URL = "https://kubernetes.default.svc"
AUDIENCES = (URL,)
NOW = 1_800_000_000.0
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class FakeClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Store(dict[tuple[str, str, str], Json]):
    """Objects by resource, namespace, name; the cache sees them only when told to."""

    def put(self, resource: str, namespace: str, name: str, uid: str, **more: Any) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": uid}
        self[(resource, namespace, name)] = {"metadata": metadata, **more}

    async def live(self, resource: str, namespace: str, name: str) -> Json | None:
        return super().get((resource, namespace, name))


class Empty:
    def get(self, namespace: str, name: str) -> Json | None:
        return None


class World:
    def __init__(self, key: keys.PrivateKey = EC_KEY) -> None:
        self.clock = FakeClock()
        self.store = Store()
        self.store.put("serviceaccounts", "ns", "sa", "sa-uid")
        names = ("serviceaccounts", "pods", "secrets", "nodes")
        self.objects = Objects({name: Empty() for name in names}, self.store.live)
        self.keys = keys.KeySet([EC_KEY.public_key(), RSA_KEY.public_key()])
        self.issuer = Issuer(URL, keys.Signer(key), self.clock, Entropy(1))
        self.tokens = ServiceAccountTokens([URL], self.keys, AUDIENCES, self.objects, self.clock)

    def issue(self, **more: Any) -> str:
        audiences = more.pop("audiences", AUDIENCES)
        account = more.pop("account", Reference("sa", "sa-uid"))
        return self.issuer.issue("ns", account, audiences, 3600, **more)

    async def refused(self, token: str, audiences: tuple[str, ...] = AUDIENCES) -> str:
        with pytest.raises(InvalidCredentials) as caught:
            await self.tokens.authenticate_token(token, audiences)
        return str(caught.value)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
async def test_an_issued_token_names_its_account(key: keys.PrivateKey, algorithm: str) -> None:
    world = World(key)
    token = world.issue()
    assert jwt.get_unverified_header(token) == {
        "alg": algorithm,
        "kid": keys.key_id(key.public_key()),
    }
    claims = jwt.decode(token, options={"verify_signature": False})
    assert list(claims) == [
        "aud", "exp", "iat", "iss", "jti", "kubernetes.io", "nbf", "sub",
    ]  # fmt: skip
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["sub"] == "system:serviceaccount:ns:sa"
    assert claims["kubernetes.io"] == {
        "namespace": "ns",
        "serviceaccount": {"name": "sa", "uid": "sa-uid"},
    }
    answer = await world.tokens.authenticate_token(token, AUDIENCES)
    user = UserInfo(
        "system:serviceaccount:ns:sa",
        "sa-uid",
        ("system:serviceaccounts", "system:serviceaccounts:ns"),
        {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)},
    )
    assert answer == (user, AUDIENCES)


async def test_another_library_accepts_the_signature() -> None:
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    token = World(RSA_KEY).issue()
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    assert jwt.decode(token, pem, ["RS256"], audience=URL, options=options)["iss"] == URL


async def test_times_are_checked_with_leeway() -> None:
    world = World()
    token = world.issue()
    world.clock.time = NOW + 3600 + 60
    assert await world.tokens.authenticate_token(token, AUDIENCES)
    world.clock.time += 1
    assert await world.refused(token) == "service account token has expired"
    world.clock.time = NOW - 61
    assert await world.refused(token) == "service account token is not valid yet"


async def test_a_token_that_should_have_been_renewed_is_noted() -> None:
    world = World()
    token = world.issue(warn_after_s=600)
    answer = await world.tokens.authenticate_token(token, AUDIENCES)
    assert answer is not None
    assert answer[0].notes == ()
    world.clock.time += 605
    answer = await world.tokens.authenticate_token(token, AUDIENCES)
    assert answer is not None
    said = "subject: system:serviceaccount:ns:sa, seconds after warning threshold: 5"
    assert answer[0].notes == (("authentication.k8s.io/stale-token", said),)


async def test_audiences_are_checked() -> None:
    world = World()
    token = world.issue(audiences=("one", "two"))
    answer = await world.tokens.authenticate_token(token, ("two", "three"))
    assert answer is not None
    assert answer[1] == ("two",)
    assert await world.refused(token, ("three",)) == (
        'token audiences ["one" "two"] is invalid for the target audiences ["three"]'
    )
    assert await world.refused(token, ()) == (
        f'token audiences ["one" "two"] is invalid for the target audiences ["{URL}"]'
    )


async def test_the_account_must_exist_with_the_same_uid() -> None:
    world = World()
    token = world.issue()
    world.store.put("serviceaccounts", "ns", "sa", "other")
    assert await world.refused(token) == (
        "service account UID (other) does not match claim (sa-uid)"
    )
    world.store.clear()
    assert await world.refused(token) == 'serviceaccounts "sa" not found'


async def test_a_deleted_account_counts_for_a_minute() -> None:
    world = World()
    token = world.issue()
    metadata = world.store[("serviceaccounts", "ns", "sa")]["metadata"]
    metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"  # NOW
    world.clock.time = NOW + 60
    assert await world.tokens.authenticate_token(token, AUDIENCES)
    world.clock.time = NOW + 61
    assert await world.refused(token) == "service account ns/sa has been deleted"


@pytest.mark.parametrize("what", ["pod", "secret", "node"])
async def test_a_bound_token_dies_with_its_object(what: str) -> None:
    world = World()
    namespace = "" if what == "node" else "ns"
    world.store.put(f"{what}s", namespace, "x", "x-uid")
    token = world.issue(**{what: Reference("x", "x-uid")})
    answer = await world.tokens.authenticate_token(token, AUDIENCES)
    assert answer is not None
    expected = (
        {}
        if what == "secret"
        else {
            f"authentication.kubernetes.io/{what}-name": ("x",),
            f"authentication.kubernetes.io/{what}-uid": ("x-uid",),
        }
    )
    extra = dict(answer[0].extra)
    del extra["authentication.kubernetes.io/credential-id"]
    assert extra == expected
    world.store.put(f"{what}s", namespace, "x", "new")
    assert await world.refused(token) == (
        f"{what} UID (new) does not match service account {what} ref claim (x-uid)"
    )
    del world.store[(f"{what}s", namespace, "x")]
    assert await world.refused(token) == "service account token has been invalidated"


async def test_the_node_of_a_pod_is_only_told() -> None:
    world = World()
    world.store.put("pods", "ns", "p", "p-uid")
    token = world.issue(pod=Reference("p", "p-uid"), node=Reference("gone"))
    answer = await world.tokens.authenticate_token(token, AUDIENCES)
    assert answer is not None
    assert answer[0].extra["authentication.kubernetes.io/node-name"] == ("gone",)
    assert "authentication.kubernetes.io/node-uid" not in answer[0].extra


def _sign(header: Json, claims: Any, key: ec.EllipticCurvePrivateKey = EC_KEY) -> str:
    parts = [keys.base64url(orjson.dumps(part)) for part in (header, claims)]
    message = ".".join(parts)
    algorithm = jwt.algorithms.get_default_algorithms()["ES256"]
    return f"{message}.{keys.base64url(algorithm.sign(message.encode(), key))}"


async def test_what_is_no_token_of_ours_is_left_to_others() -> None:
    world = World()
    header = {"alg": "ES256"}
    for token in (
        "", "a.b.c", "..", "x", "a.b", "{}", "é.é.é",
        "eyJhbGciOiJub25lIn0.e30.",
        _sign(header, {"iss": "elsewhere"}),
        _sign(header, {"iss": ["x"]}),
        _sign(header, [1]),
        _sign({"alg": "none"}, {"iss": URL}),
        _sign({"alg": ["x"]}, {"iss": URL}),
        _sign({"alg": "HS256"}, {"iss": URL}),
    ):  # fmt: skip
        assert await world.tokens.authenticate_token(token, AUDIENCES) is None, token


async def test_a_wrong_signature_is_wrong() -> None:
    world = World()
    head, payload, signature = world.issue().split(".")
    right = base64.urlsafe_b64decode(signature + "==")
    flipped = base64.urlsafe_b64encode(right[:-1] + bytes([right[-1] ^ 1])).rstrip(b"=")
    assert await world.refused(f"{head}.{payload}.{flipped.decode()}") == (
        "go-jose/go-jose: error in cryptographic primitive"
    )
    assert await world.refused(f"{head}.{payload}.") == (
        "go-jose/go-jose: error in cryptographic primitive"
    )
    stranger = _sign({"alg": "ES256", "kid": "stranger"}, {"iss": URL})
    assert await world.refused(stranger) == "invalid signature, no keys found"
    # A key is used with its own algorithm only.
    confused = _sign({"alg": "RS256", "kid": keys.key_id(EC_KEY.public_key())}, {"iss": URL})
    assert await world.refused(confused) == "go-jose/go-jose: error in cryptographic primitive"


async def test_odd_claims_are_wrong_and_do_no_harm() -> None:
    world = World()
    odd: list[Any] = [None, [], {"serviceaccount": 7}, {"namespace": {}, "serviceaccount": []}]
    for private in odd:
        token = _sign({"alg": "ES256"}, {"iss": URL, "aud": [URL], "kubernetes.io": private})
        assert await world.refused(token) == 'serviceaccounts "" not found'


# -- tokens kept in Secrets -----------------------------------------------------------------------


def _legacy(**changes: str) -> str:
    claims = {
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "ns",
        "kubernetes.io/serviceaccount/secret.name": "s",
        "kubernetes.io/serviceaccount/service-account.name": "sa",
        "kubernetes.io/serviceaccount/service-account.uid": "sa-uid",
        "sub": "system:serviceaccount:ns:sa",
        **changes,
    }
    return _sign({"alg": "ES256"}, claims)


async def test_a_legacy_token_is_good_while_its_secret_holds_it() -> None:
    world = World()
    legacy = LegacyTokens(world.keys, AUDIENCES, world.objects)
    token = _legacy()
    data = {"token": base64.b64encode(token.encode()).decode()}
    world.store.put("secrets", "ns", "s", "u", data=data)
    user = UserInfo(
        "system:serviceaccount:ns:sa",
        "sa-uid",
        ("system:serviceaccounts", "system:serviceaccounts:ns"),
    )
    assert await legacy.authenticate_token(token, AUDIENCES) == (user, AUDIENCES)
    assert await legacy.authenticate_token(world.issue(), AUDIENCES) is None
    world.store.put("secrets", "ns", "s", "u", data={"token": "bm8="})
    with pytest.raises(InvalidCredentials, match="Token does not match server's copy"):
        await legacy.authenticate_token(token, AUDIENCES)
    del world.store[("secrets", "ns", "s")]
    with pytest.raises(InvalidCredentials, match="Token has been invalidated"):
        await legacy.authenticate_token(token, AUDIENCES)


async def test_who_made_a_legacy_token_is_noted() -> None:
    world = World()
    legacy = LegacyTokens(world.keys, AUDIENCES, world.objects)
    token = _legacy()
    data = {"token": base64.b64encode(token.encode()).decode()}
    world.store.put("secrets", "ns", "s", "u", data=data)
    for secrets, word in (([], "manual"), ([{"name": "s"}], "autogenerated")):
        world.store.put("serviceaccounts", "ns", "sa", "sa-uid", secrets=secrets)
        answer = await legacy.authenticate_token(token, AUDIENCES)
        assert answer is not None
        key = f"authentication.k8s.io/legacy-token-{word}-secret"
        assert answer[0].notes == ((key, "s"),)


async def test_the_day_of_a_legacy_tokens_last_use_is_kept() -> None:
    world, labelled, token = World(), list[tuple[str, ...]](), _legacy()
    data = {"token": base64.b64encode(token.encode()).decode()}

    async def label(*words: str) -> None:
        labelled.append(words)
        if len(labelled) > 1:
            raise ApiError(404, "NotFound", "it is gone")

    use = TokenUse(world.clock, label)
    legacy = LegacyTokens(world.keys, AUDIENCES, world.objects, use)
    world.store.put("secrets", "ns", "s", "u", data=data)
    today = rfc3339(world.clock.now())[:10]
    assert await legacy.authenticate_token(token, AUDIENCES) is not None
    assert labelled == [("ns", "s", LAST_USED, today)]
    meta = world.store[("secrets", "ns", "s")]["metadata"]
    for day in (today, rfc3339(world.clock.now() + 86400)[:10]):
        meta["labels"] = {LAST_USED: day}
        await legacy.authenticate_token(token, AUDIENCES)
    assert len(labelled) == 1
    meta["labels"] = {LAST_USED: "2020-01-01"}
    assert await legacy.authenticate_token(token, AUDIENCES) is not None
    assert len(labelled) == 2


@pytest.mark.parametrize(
    ("claim", "value", "complaint"),
    [
        ("sub", "", "sub claim is missing"),
        ("sub", "system:serviceaccount:ns:other", "sub claim is invalid"),
        ("kubernetes.io/serviceaccount/namespace", "", "namespace claim is missing"),
        ("kubernetes.io/serviceaccount/secret.name", "", "secretName claim is missing"),
    ],
)
async def test_a_legacy_token_needs_its_claims(claim: str, value: str, complaint: str) -> None:
    world = World()
    legacy = LegacyTokens(world.keys, AUDIENCES, world.objects)
    with pytest.raises(InvalidCredentials) as caught:
        await legacy.authenticate_token(_legacy(**{claim: value}), AUDIENCES)
    assert str(caught.value) == complaint


def test_user_names_of_accounts() -> None:
    assert split_username("system:serviceaccount:ns:a.b") == ("ns", "a.b")
    for name in (
        "jane", "system:serviceaccount:", "system:serviceaccount:ns", "system:serviceaccount:ns:",
        "system:serviceaccount:NS:a", "system:serviceaccount:ns:a:b", "system:serviceaccount:-:a",
    ):  # fmt: skip
        assert split_username(name) is None
