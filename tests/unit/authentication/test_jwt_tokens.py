"""Tokens of other issuers: which are good, whom they make, and what hostile ones come to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt_issuer import (
    EC_KEYS,
    KEYS_PATH,
    OTHER_KEY,
    RSA_KEY,
    WELL_KNOWN,
    Issuer,
    jwk,
    raw_token,
)

from kapi.authentication.authenticator import CREDENTIAL_ID, InvalidCredentials
from kapi.authentication.distributed_claims import DistributedClaims
from kapi.authentication.jwt_claims import Verifier, untrusted_issuer
from kapi.authentication.jwt_configuration import ALGORITHMS, configure
from kapi.authentication.jwt_keys import DISCOVER_EVERY_S, FETCHES_MAX, Provider, read_keys
from kapi.authentication.jwt_tokens import JwtAuthenticator, JwtTokens
from kapi.messages import UserInfo

Json = dict[str, Any]
NOW = 1_800_000_000.0
URL = "https://issuer.example"


class FakeClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class World:
    """One authenticator over one issuer."""

    def __init__(self, algorithms: Sequence[str] = ALGORITHMS, **entry: Any) -> None:
        self.clock = FakeClock()
        self.issuer = Issuer(URL, self.clock.now)
        self.results: list[bool] = []
        issuer = {"url": URL, "audiences": ["me"], **entry.pop("issuer", {})}
        document = {"claimMappings": {"username": {"claim": "sub", "prefix": ""}}, **entry}
        (settings,) = configure({"jwt": [{"issuer": issuer, **document}]}, algorithms, ()).jwt

        def made(url: str) -> tuple[Provider, Verifier]:
            provider = Provider(
                url, settings.discovery_url, self.issuer.get, self.clock, lambda good, digest: None
            )
            verifier = Verifier(url, settings.audiences, settings.algorithms, provider, self.clock)
            return provider, verifier

        provider, verifier = made(URL)
        distributed = None
        if settings.groups.claim:
            distributed = DistributedClaims(settings.groups.claim, self.issuer.get, made)
        self.tokens = JwtTokens(
            ("kapi", "more"), self.clock, lambda issuer, good, seconds: self.results.append(good)
        )
        self.tokens.replace([JwtAuthenticator(settings, provider, verifier, distributed)])

    async def user(self, token: str | None = None, **claims: Any) -> UserInfo:
        text = self.issuer.token(**claims) if token is None else token
        answer = await self.tokens.authenticate_token(text, ("kapi",))
        assert answer is not None
        assert answer[1] == ("kapi",)
        return answer[0]

    async def problem(self, token: str | None = None, **claims: Any) -> str:
        text = self.issuer.token(**claims) if token is None else token
        with pytest.raises(InvalidCredentials) as raised:
            await self.tokens.authenticate_token(text, ("kapi",))
        assert text not in str(raised.value)
        return str(raised.value)


def mapped(**mappings: Json) -> Json:
    return {"claimMappings": {"username": {"claim": "sub", "prefix": ""}, **mappings}}


# -- verification ---------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm(algorithm: str) -> None:
    world = World()
    key = EC_KEYS.get(algorithm, RSA_KEY)
    world.issuer.keys = {"one": key}
    assert (await world.user(key=key, algorithm=algorithm)).name == "ada"
    assert world.results == [True]


async def test_an_algorithm_that_is_not_wanted() -> None:
    world = World(algorithms=("RS256",))
    assert await world.problem(algorithm="PS256") == (
        "oidc: verify token: oidc: id token signed with unsupported algorithm, expected "
        '["RS256"] got "PS256"'
    )


async def test_tokens_without_a_signature() -> None:
    world = World()
    claims = world.issuer.claims()
    for name in ("none", "None", "", "HS256", 1, None):
        for signature in (b"", b"x"):
            text = await world.problem(raw_token({"alg": name}, claims, signature))
            assert "unsupported algorithm" in text


async def test_a_public_key_is_no_secret() -> None:
    world = World()
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    token = raw_token({"alg": "HS256", "kid": "one"}, world.issuer.claims())
    message = token.rpartition(".")[0]
    digest = hmac.new(pem, message.encode(), hashlib.sha256).digest()
    forged = f"{message}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    assert "unsupported algorithm" in await world.problem(forged)


async def test_an_algorithm_of_another_kind_of_key() -> None:
    world = World()
    world.issuer.keys = {"one": EC_KEYS["ES256"]}
    failed = "oidc: verify token: failed to verify signature: failed to verify id token signature"
    assert await world.problem() == failed
    wide = raw_token({"alg": "ES384", "kid": "one"}, world.issuer.claims(), b"\1" * 96)
    assert await world.problem(wide) == failed


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "other"}, 'oidc: expected audience "me" got ["other"]'),
        ({"aud": ...}, 'oidc: expected audience "me" got []'),
        ({"aud": 7}, "oidc: failed to unmarshal claims: "),
        (
            {"exp": 1_700_000_000},
            "oidc: token is expired (Token Expiry: 2023-11-14 22:13:20 +0000 UTC)",
        ),
        ({"exp": ...}, "oidc: token is expired (Token Expiry: 1970-01-01 00:00:00 +0000 UTC)"),
        (
            {"nbf": int(NOW) + 61},
            "oidc: current time 2027-01-15 08:00:00 +0000 UTC before the nbf (not before) time: "
            "2027-01-15 08:01:01 +0000 UTC",
        ),
        ({"exp": "soon"}, "cannot unmarshal into Go struct field idToken.exp"),
        ({"exp": True}, "cannot unmarshal into Go struct field idToken.exp"),
    ],
)
async def test_claims_of_no_use(claims: Json, words: str) -> None:
    world = World()
    payload = world.issuer.claims(**claims)
    token = raw_token({"alg": "RS256", "kid": "one"}, payload)
    text = await world.problem(token)
    assert text.startswith("oidc: verify token: ")
    assert words in text
    assert KEYS_PATH not in world.issuer.fetched  # nobody is asked for the keys of these


async def test_within_the_leeway_and_lists_of_audiences() -> None:
    world = World(issuer={"audiences": ["a", "me"], "audienceMatchPolicy": "MatchAny"})
    assert (await world.user(aud=["x", "a"], nbf=int(NOW) + 59)).name == "ada"
    text = await world.problem(aud=["x"])
    assert text.endswith('oidc: expected audience in ["a" "me"] got ["x"]')


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "....",
        "{}",
        raw_token({}, b"[]"),
        raw_token({}, b"{"),
        raw_token({}, {"iss": 1}),
        raw_token({}, {"iss": "https://else.example"}),
        "x" * (2 << 20),
        ".." + "x" * (2 << 20),
        raw_token({}, b'{"a":' * 2000 + b"1" + b"}" * 2000),
    ],
)
async def test_tokens_of_others_are_not_judged(token: str) -> None:
    world = World()
    assert await world.tokens.authenticate_token(token, ("kapi",)) is None
    assert untrusted_issuer(token) in ("", "https://else.example")
    assert world.results == []


@pytest.mark.parametrize(
    "header",
    [{"alg": "RS256", "crit": ["b64"]}, {"alg": "RS256", "kid": 7}, {"alg": "RS256", "kid": {}}],
)
async def test_odd_headers(header: Json) -> None:
    world = World()
    assert "malformed jwt" in await world.problem(raw_token(header, world.issuer.claims()))


async def test_parts_that_are_no_json() -> None:
    world = World()
    good = world.issuer.token().split(".")
    for parts in (("!", good[1], good[2]), (good[1][:-2], good[1], good[2]), (*good[:2], "=")):
        assert "malformed jwt" in await world.problem(".".join(parts))


async def test_another_signature() -> None:
    world = World()
    assert "failed to verify id token signature" in await world.problem(key=OTHER_KEY)
    head, payload, signature = world.issuer.token().split(".")
    changed = world.issuer.claims(sub="root")
    other = base64.urlsafe_b64encode(orjson.dumps(changed)).rstrip(b"=").decode()
    assert "failed to verify" in await world.problem(f"{head}.{other}.{signature}")
    assert payload != other


async def test_audiences_of_this_server() -> None:
    world = World()
    token = world.issuer.token()
    assert await world.tokens.authenticate_token(token, ("else",)) is None
    answer = await world.tokens.authenticate_token(token, ())
    assert answer is not None
    assert answer[1] == ()


# -- keys -----------------------------------------------------------------------------------------


async def test_keys_are_fetched_once() -> None:
    world = World()
    for _ in range(3):
        await world.user()
    assert world.issuer.fetched == [WELL_KNOWN, KEYS_PATH]
    await world.user(kid=None)
    assert world.issuer.fetched.count(KEYS_PATH) == 1


async def test_new_keys_are_found() -> None:
    world = World()
    await world.user()
    world.issuer.keys = {"two": OTHER_KEY}
    await world.user(key=OTHER_KEY, kid="two")
    assert "failed to verify" in await world.problem()


async def test_unsigned_tokens_do_not_have_keys_fetched_without_end() -> None:
    world = World()
    await world.user()
    for i in range(50):
        await world.problem(kid=f"k{i}", key=OTHER_KEY)
    assert world.issuer.fetched.count(KEYS_PATH) <= FETCHES_MAX
    await world.user()  # those with known keys are not held up
    world.clock.time += 60
    world.issuer.keys = {"two": OTHER_KEY}
    await world.user(key=OTHER_KEY, kid="two")


async def test_an_issuer_that_is_down() -> None:
    world = World()
    world.issuer.down = True
    assert await world.problem() == "oidc: authenticator not initialized"
    world.issuer.down = False
    assert await world.problem() == "oidc: authenticator not initialized"
    world.clock.time += DISCOVER_EVERY_S
    await world.user()
    world.issuer.down = True
    await world.user()
    text = await world.problem(kid="new", key=OTHER_KEY)
    assert text.startswith("oidc: verify token: failed to verify signature: fetching keys Get ")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (500, "500: no"),
        (b"{", "failed to decode provider discovery object"),
        (b"[]", 'expected "https://issuer.example" got ""'),
        ({"issuer": "https://x", "jwks_uri": "y"}, 'got "https://x"'),
        ({"issuer": URL}, "names no jwks_uri"),
        (b" " * (2 << 20), "response body too large"),
    ],
)
async def test_an_issuer_that_lies(document: Any, words: str) -> None:
    world = World()
    world.issuer.documents[WELL_KNOWN] = document
    assert await world.problem() == "oidc: authenticator not initialized"
    (issuer,) = world.tokens.issuers
    assert words in issuer.provider.problem


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (404, "oidc: get keys failed: 404 no"),
        (b"{", "oidc: failed to decode keys"),
        ({}, "oidc: failed to decode keys"),
        ({"keys": {}}, "oidc: failed to decode keys"),
        (b"[" * 100_000, "oidc: failed to decode keys"),
        (b"x" * (10 << 20), "response body too large"),
    ],
)
async def test_key_sets_that_are_none(document: Any, words: str) -> None:
    world = World()
    world.issuer.documents[KEYS_PATH] = document
    assert words in await world.problem()
    del world.issuer.documents[KEYS_PATH]
    await world.user()


def test_keys_that_cannot_be_used_are_left_out() -> None:
    good = jwk(RSA_KEY, "good")
    curve = jwk(EC_KEYS["ES256"], "curve")
    weak = base64.urlsafe_b64encode(b"\xff" * 127).rstrip(b"=").decode()
    huge = base64.urlsafe_b64encode(b"\xff" * 4096).rstrip(b"=").decode()
    odd: list[Any] = [
        1,
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "good"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {**good, "kid": 1},
        {**good, "n": huge},
        {**good, "n": weak},
        {**good, "e": huge},
        {**good, "e": "AA"},
        {**good, "n": "!"},
        {**good, "n": None},
        {**curve, "crv": "P-1"},
        {**curve, "x": curve["y"]},
        good,
        curve,
    ]
    found = read_keys(orjson.dumps({"keys": odd}))
    assert [key.id for key in found] == ["good", "curve"]
    assert len(read_keys(orjson.dumps({"keys": [good] * 1000}))) <= 256


# -- users ----------------------------------------------------------------------------------------


async def test_a_whole_mapping() -> None:
    world = World(
        claimMappings={
            "username": {"expression": "'oidc:' + claims.sub"},
            "groups": {"expression": "claims.roles.split(',')"},
            "uid": {"claim": "oid"},
            "extra": [
                {"key": "example.com/tenant", "valueExpression": "claims.tenant"},
                {"key": "example.com/none", "valueExpression": "claims.?no.orValue('')"},
                {"key": "example.com/list", "valueExpression": "['a', '', 'b']"},
            ],
        },
        claimValidationRules=[
            {"claim": "hd", "requiredValue": "example.com"},
            {"expression": "claims.level > 2", "message": "too low"},
        ],
        userValidationRules=[
            {"expression": "!user.username.startsWith('system:')", "message": "reserved"},
            {"expression": "user.groups.all(g, g != 'root')", "message": "no root"},
        ],
    )
    more: Json = {"roles": "dev,ops", "oid": "7", "tenant": ["t"], "hd": "example.com", "level": 3}
    assert await world.user(jti="id", **more) == UserInfo(
        name="oidc:ada",
        uid="7",
        groups=("dev", "ops"),
        extra={
            CREDENTIAL_ID: ("JTI=id",),
            "example.com/tenant": ("t",),
            "example.com/list": ("a", "b"),
        },
    )
    assert await world.problem(**{**more, "level": 1}) == (
        "oidc: error evaluating claim validation expression: validation expression "
        "'claims.level > 2' failed: too low"
    )
    assert await world.problem(**{**more, "roles": "root"}) == (
        "oidc: error evaluating user info validation rule: validation expression "
        "'user.groups.all(g, g != 'root')' failed: no root"
    )
    assert await world.problem(**{**more, "hd": "x"}) == (
        "oidc: required claim hd value does not match. Got = x, want = example.com"
    )
    del more["hd"]
    assert await world.problem(**more) == "oidc: required claim hd not present in ID token"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["a", "b"], ("g:a", "g:b")),
        ("a", ("g:a",)),
        ([], ()),
        (None, ()),
        ([f"g{i}" for i in range(5000)], tuple(f"g:g{i}" for i in range(5000))),
    ],
)
async def test_groups(groups: Any, expected: tuple[str, ...]) -> None:
    world = World(**mapped(groups={"claim": "groups", "prefix": "g:"}))
    assert (await world.user(groups=groups)).groups == expected


@pytest.mark.parametrize("groups", [7, {"a": 1}, ["a", 1], [["a"]]])
async def test_groups_that_are_none(groups: Any) -> None:
    world = World(**mapped(groups={"claim": "groups", "prefix": ""}))
    text = await world.problem(groups=groups)
    assert text.startswith('oidc: parse groups claim "groups": json: cannot unmarshal ')


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"name": 7}, 'oidc: parse username claims "name": json: cannot unmarshal number into Go '
         "value of type string"),
        ({}, 'oidc: parse username claims "name": claim not present'),
    ],
)  # fmt: skip
async def test_names_that_are_none(claims: Json, words: str) -> None:
    world = World(claimMappings={"username": {"claim": "name", "prefix": "x"}})
    assert await world.problem(**claims) == words


@pytest.mark.parametrize(
    ("verified", "words"),
    [
        (True, ""),
        (..., ""),
        (False, "oidc: email not verified"),
        ("true", "oidc: parse 'email_verified' claim: json: cannot unmarshal string into Go value "
         "of type bool"),
    ],
)  # fmt: skip
async def test_unverified_addresses(verified: Any, words: str) -> None:
    world = World(claimMappings={"username": {"claim": "email", "prefix": ""}})
    claims = {"email": "a@b", "email_verified": verified}
    if words:
        assert await world.problem(**claims) == words
    else:
        assert (await world.user(**claims)).name == "a@b"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("claims.sub == 'ada'", "username claim expression must return a string"),
        ("''", "oidc: empty username via CEL expression is not allowed"),
        ("claims.no", "expression 'claims.no' resulted in error: no such key: no"),
    ],
)
async def test_names_by_expression(expression: str, words: str) -> None:
    world = World(claimMappings={"username": {"expression": expression}})
    assert words in await world.problem()


async def test_expressions_cannot_run_for_long() -> None:
    text = "claims.l.all(a, claims.l.all(b, a.contains(b) || true))"
    world = World(claimValidationRules=[{"expression": text}])
    assert "cost limit" in await world.problem(l=[f"x{i}" for i in range(3000)])


async def test_deep_and_large_claims() -> None:
    world = World(claimMappings={"username": {"expression": "string(claims.n)"}})
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    assert "exceeded max depth" in await world.problem(n=1, deep=deep)
    assert (await world.user(n=2**63)).name == "9.223372036854776e+18"


# -- groups that stand elsewhere ------------------------------------------------------------------


def elsewhere(**source: Any) -> Json:
    return {
        "_claim_names": {"groups": "src"},
        "_claim_sources": {"src": {"endpoint": f"{URL}/groups", "access_token": "t", **source}},
    }


def groups_world() -> World:
    return World(**mapped(groups={"claim": "groups", "prefix": ""}))


async def test_groups_elsewhere() -> None:
    world = groups_world()
    world.issuer.documents["/groups"] = world.issuer.token(groups=["far"]).encode()
    assert (await world.user(**elsewhere())).groups == ("far",)
    assert (await world.user(**elsewhere(), groups=["near"])).groups == ("near",)
    assert (await world.user(**elsewhere(endpoint=""))).groups == ()


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"_claim_names": {"groups": "src"}}, "oidc: no claim sources"),
        ({"_claim_names": [], "_claim_sources": {}}, "error parsing distributed claim names"),
        ({"_claim_names": {"groups": 1}}, "error parsing distributed claim names"),
        ({"_claim_names": {"groups": "x"}, "_claim_sources": 1}, "could not parse claim sources"),
        (
            {"_claim_names": {"groups": "x"}, "_claim_sources": {}},
            "id token _claim_names contained a source x missing in _claims_sources",
        ),
        (elsewhere(endpoint=7), "could not parse claim sources"),
        (elsewhere(), 'while getting distributed claim "groups": error while getting '
         "distributed claim JWT: 404"),
    ],
)  # fmt: skip
async def test_groups_elsewhere_that_are_not_had(claims: Json, words: str) -> None:
    text = await groups_world().problem(**claims)
    assert text.startswith("oidc: could not expand distributed claims: ")
    assert words in text


async def test_groups_elsewhere_of_others() -> None:
    world = groups_world()
    documents = world.issuer.documents
    documents["/groups"] = b"what"
    assert "getting untrusted issuer from endpoint" in await world.problem(**elsewhere())
    documents["/groups"] = world.issuer.token(iss="https://else.example").encode()
    assert "verifier not initialized for issuer" in await world.problem(**elsewhere())
    documents["/groups"] = world.issuer.token(key=OTHER_KEY, groups=["root"]).encode()
    assert "verify distributed claim token" in await world.problem(**elsewhere())
    documents["/groups"] = world.issuer.token().encode()
    assert "did not contain claim: groups" in await world.problem(**elsewhere())


# -- while others wait ----------------------------------------------------------------------------


async def test_after_an_end_nothing_is_fetched() -> None:
    world = World()
    await world.user()
    (issuer,) = world.tokens.issuers
    await issuer.close()
    await world.user()  # known keys are good
    before = list(world.issuer.fetched)
    text = await world.problem(kid="new", key=OTHER_KEY)
    assert text.endswith("fetching keys the issuers changed")
    assert world.issuer.fetched == before


async def test_many_wait_for_one_fetch_and_an_end_answers_them() -> None:
    world = World()
    await world.user()
    (issuer,) = world.tokens.issuers
    never = asyncio.Event()

    async def slow(url: str, limit: int) -> Any:
        world.issuer.fetched.append("slow")
        await never.wait()

    provider = Provider(URL, "", slow, world.clock, lambda good, digest: None)
    waiting = [asyncio.ensure_future(provider.discover()) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.issuer.fetched.count("slow") == 1
    waiting[0].cancel()
    await asyncio.sleep(0)
    await provider.close()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [False] * 19
    await issuer.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["iss", "aud", "exp", "alg", "kid", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["aud", "exp", "nbf", "iat", "sub", "groups", "email", "jti", "_claim_names"]),
    JSON,
    max_size=6,
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(header=JSON, claims=CLAIMS, signature=st.binary(max_size=300))
def test_whatever_is_sent_is_refused(header: Any, claims: Json, signature: bytes) -> None:
    async def run() -> None:
        world = World(**mapped(groups={"claim": "groups", "prefix": ""}))
        whole = {"iss": URL, "aud": "me", "exp": NOW + 60, **claims}
        head = header if isinstance(header, dict) else {"alg": "RS256", "kid": header}
        token = raw_token(head, json.dumps(whole).encode(), signature)
        try:
            answer = await world.tokens.authenticate_token(token, ("kapi",))
        except InvalidCredentials:
            return
        assert answer is None

    asyncio.run(run())


@settings(derandomize=True, max_examples=200, deadline=None)
@given(claims=CLAIMS)
def test_whatever_is_signed_is_a_user_or_refused(claims: Json) -> None:
    async def run() -> None:
        world = World(
            claimMappings={
                "username": {"expression": "claims.sub"},
                "groups": {"claim": "groups", "prefix": ""},
                "extra": [{"key": "a.b/c", "valueExpression": "claims.?email.orValue('')"}],
            },
            claimValidationRules=[{"expression": "size(claims.sub) > 0"}],
        )
        whole = {"iss": URL, "aud": "me", "exp": NOW + 60, **claims}
        token = jwt.PyJWS().encode(
            json.dumps(whole).encode(), RSA_KEY, "RS256", headers={"kid": "one"}
        )
        try:
            answer = await world.tokens.authenticate_token(token, ("kapi",))
        except InvalidCredentials:
            return
        assert answer is None or isinstance(answer[0].name, str)

    asyncio.run(run())
