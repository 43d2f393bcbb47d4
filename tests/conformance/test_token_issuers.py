"""Whole servers and issuers of JSON Web Tokens: by flags, by a file, and when that changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import pytest
from jwt_issuer import KEYS_PATH, OTHER_KEY, WELL_KNOWN, Issuer
from other_server import Asked, Authority, http, scripted, server_tls
from server_harness import Running, eventually, running

from kapi.assembly import reloading

Json = dict[str, Any]
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
WHO_AM_I = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@dataclass
class Served:
    """An issuer behind a socket, at `base`. `tokens`: the bearer tokens that it was shown."""

    issuer: Issuer
    ca: str
    ca_file: str
    tokens: list[str]
    base: str = ""

    async def handle(self, asked: Asked) -> None:
        self.tokens.append(asked.header("authorization"))
        path = asked.path
        if path == "/moved":
            await asked.answer(302, extra=f"Location: {self.base}/real\r\n")
            return
        status, body = self.issuer.page(path)
        await asked.answer(status, body)


@asynccontextmanager
async def serving_issuer(folder: Path, name: str = "issuer") -> AsyncIterator[Served]:
    authority = Authority(folder, f"{name}-ca")
    served = Served(Issuer("", time), authority.pem, authority.path, [])
    tls = server_tls(authority.serving("127.0.0.1"))
    async with scripted(http(served.handle), tls) as serving:
        served.base = served.issuer.url = f"https://127.0.0.1:{serving.port}"
        yield served


def entry(served: Served, **more: Any) -> Json:
    issuer = {
        "url": served.issuer.url,
        "audiences": ["me"],
        "certificateAuthority": served.ca,
        **more.pop("issuer", {}),
    }
    return {
        "issuer": issuer,
        "claimMappings": {"username": {"claim": "sub", "prefix": "x:"}},
        **more,
    }


def write(path: Path, *entries: Json, **more: Any) -> str:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": list(entries),
        **more,
    }
    path.write_text(json.dumps(document))
    return str(path)


async def who(run: Running, token: str) -> Json:
    found = await run.client.post(WHO, WHO_AM_I, token=token)
    info: Json = found["status"]["userInfo"]
    return info


def metric(run: Running, series: str, /, **labels: str) -> float:
    found = 0.0
    for line in run.server.metrics.render()[1].decode().splitlines():
        head, _, value = line.rpartition(" ")
        wanted = [f'{key}="{text}"' for key, text in labels.items()]
        if head.partition("{")[0] == series and all(label in head for label in wanted):
            found += float(value)
    return found


async def test_by_flags(tmp_path: Path) -> None:
    async with serving_issuer(tmp_path) as served:
        flags: Json = {
            "oidc_issuer_url": served.issuer.url,
            "oidc_client_id": "me",
            "oidc_ca_file": served.ca_file,
            "oidc_groups_claim": "groups",
            "oidc_groups_prefix": "oidc:",
            "oidc_required_claim": {"hd": "example.com"},
        }
        async with running(alone=False, **flags) as run:
            token = served.issuer.token(groups=["dev"], hd="example.com", jti="7")
            info = await who(run, token)
            assert info == {
                "username": f"{served.issuer.url}#ada",
                "groups": ["oidc:dev", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": ["JTI=7"]},
            }
            # Only RS256 is good by default.
            other = served.issuer.token(algorithm="RS512", hd="example.com")
            refused = await run.client("GET", "/api", token=other)
            assert (refused.status, refused.message) == (401, "Unauthorized")
            review = await run.client.post(REVIEWS, {"spec": {"token": other}})
            assert review["status"]["error"] == (
                "[invalid bearer token, oidc: verify token: oidc: id token signed with unsupported "
                'algorithm, expected ["RS256"] got "RS512"]'
            )
            review = await run.client.post(REVIEWS, {"spec": {"token": token}})
            assert review["status"]["authenticated"] is True
            assert review["status"]["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
            latency = "apiserver_authentication_jwt_authenticator_latency_seconds_count"
            assert metric(run, latency, result="success") == 1
            assert metric(run, latency, result="failure") == 2
            fetch = "apiserver_authentication_jwt_authenticator_jwks_fetch_last"
            assert metric(run, f"{fetch}_key_set_info") == 1
            assert metric(run, f"{fetch}_timestamp_seconds", result="success") > 1e9


async def test_a_file_with_expressions_and_rotated_keys(tmp_path: Path) -> None:
    mappings = {
        "username": {"expression": "claims.sub"},
        "groups": {"expression": "claims.roles"},
        "extra": [{"key": "example.com/t", "valueExpression": "claims.t"}],
    }
    rules = [{"expression": "!user.username.startsWith('system:')", "message": "reserved"}]
    async with serving_issuer(tmp_path) as served:
        issuer = served.issuer
        file = write(
            tmp_path / "c", entry(served, claimMappings=mappings, userValidationRules=rules)
        )
        async with running(alone=False, authentication_config=file) as run:
            info = await who(run, issuer.token(roles=["dev"], t="1"))
            assert (info["username"], info["extra"]) == ("ada", {"example.com/t": ["1"]})
            root = issuer.token(sub="system:admin", roles=[], t="1")
            assert (await run.client("GET", "/api", token=root)).status == 401
            issuer.keys = {"two": OTHER_KEY}
            info = await who(run, issuer.token(key=OTHER_KEY, kid="two", roles=[], t="1"))
            assert info["username"] == "ada"
            old = issuer.token(roles=["other"], t="1")
            assert (await run.client("GET", "/api", token=old)).status == 401


async def test_a_discovery_url_that_moved(tmp_path: Path) -> None:
    async with serving_issuer(tmp_path) as served:
        issuer, base = served.issuer, served.base
        issuer.url = "https://nobody.example"  # what tokens and the document say
        issuer.documents["/real"] = {"issuer": issuer.url, "jwks_uri": base + KEYS_PATH}
        file = write(tmp_path / "c", entry(served, issuer={"discoveryURL": f"{base}/moved"}))
        async with running(alone=False, authentication_config=file) as run:
            assert (await who(run, issuer.token()))["username"] == "x:ada"


async def test_an_issuer_that_is_down(tmp_path: Path) -> None:
    async with serving_issuer(tmp_path) as served:
        served.issuer.documents[WELL_KNOWN] = 500
        file = write(tmp_path / "c", entry(served))
        async with running(alone=False, authentication_config=file) as run:
            token = served.issuer.token()
            review = await run.client.post(REVIEWS, {"spec": {"token": token}})
            assert review["status"]["error"] == (
                "[invalid bearer token, oidc: authenticator not initialized]"
            )
            # Others come in as ever.
            await run.client.get("/api")


async def test_distributed_groups(tmp_path: Path) -> None:
    mappings = {
        "username": {"claim": "sub", "prefix": ""},
        "groups": {"claim": "groups", "prefix": ""},
    }
    async with serving_issuer(tmp_path) as served:
        issuer = served.issuer
        file = write(tmp_path / "c", entry(served, claimMappings=mappings))
        issuer.documents["/far"] = issuer.token(groups=["far"]).encode()
        async with running(alone=False, authentication_config=file) as run:
            source = {"endpoint": f"{issuer.url}/far", "access_token": "secret"}
            more: Json = {"_claim_names": {"groups": "s"}, "_claim_sources": {"s": source}}
            info = await who(run, issuer.token(**more))
            assert info["groups"] == ["far", "system:authenticated"]
            assert "Bearer secret" in served.tokens


async def test_anonymous_on_some_paths(tmp_path: Path) -> None:
    anonymous = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}
    file = write(tmp_path / "c", anonymous=anonymous)
    async with running(authentication_config=file, authorization_mode=("AlwaysAllow",)) as run:
        client = run.client
        assert (await client("GET", "/livez", token="")).status == 200
        for path in ("/healthz", "/livez/ping", "/livez/", "/api/v1/namespaces", "/version"):
            assert (await client("GET", path, token="")).status == 401, path
        assert (await client("GET", "/livez", token="wrong")).status == 401
        assert (await client("GET", "/version")).status == 200


async def test_no_anonymous(tmp_path: Path) -> None:
    file = write(tmp_path / "c", anonymous={"enabled": False})
    async with running(authentication_config=file, authorization_mode=("AlwaysAllow",)) as run:
        assert (await run.client("GET", "/livez", token="")).status == 401


RELOADS = "apiserver_authentication_config_controller_automatic_reloads_total"


async def test_the_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_EVERY_S", 0.01)
    path = tmp_path / "c"
    async with serving_issuer(tmp_path) as one, serving_issuer(tmp_path, "two") as two:
        file = write(path, entry(one))
        async with running(alone=False, authentication_config=file) as run:

            async def until(status: str, count: float) -> None:
                async def reached() -> bool:
                    return metric(run, RELOADS, status=status) == count

                await eventually(reached)

            assert (await who(run, one.issuer.token()))["username"] == "x:ada"
            assert (await run.client("GET", "/api", token=two.issuer.token())).status == 401
            write(path, entry(two))
            await until("success", 1)
            assert (await who(run, two.issuer.token()))["username"] == "x:ada"
            fresh = one.issuer.token(sub="bob")
            assert (await run.client("GET", "/api", token=fresh)).status == 401
            path.write_text("{")
            await until("failure", 1)
            write(path, entry(one, claimMappings={}))
            await until("failure", 2)
            assert (await who(run, two.issuer.token(sub="eve")))["username"] == "x:eve"
            write(path, entry(one), anonymous={"enabled": False})
            await until("failure", 3)
            assert (await run.client("GET", "/api", token=fresh)).status == 401
            info = "apiserver_authentication_config_controller_last_config_info"
            assert metric(run, info) == 1
            write(path)
            await until("success", 2)
            last = two.issuer.token(sub="mallory")
            assert (await run.client("GET", "/api", token=last)).status == 401


async def test_a_new_issuer_that_is_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kapi.assembly import jwt_issuers

    monkeypatch.setattr(reloading, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(jwt_issuers, "REACHED_WITHIN_S", 0.0)
    path = tmp_path / "c"
    async with serving_issuer(tmp_path) as one, serving_issuer(tmp_path, "two") as two:
        two.issuer.documents[WELL_KNOWN] = 500
        file = write(path, entry(one))
        async with running(alone=False, authentication_config=file) as run:
            write(path, entry(two))

            async def failed() -> bool:
                return metric(run, RELOADS, status="failure") == 1

            await eventually(failed)
            assert (await who(run, one.issuer.token()))["username"] == "x:ada"
            monkeypatch.setattr(reloading, "AGAIN_EVERY_S", 0.0)
            write(path, entry(two, claimValidationRules=[{"claim": "sub", "requiredValue": "ada"}]))

            async def failed_again() -> bool:
                return metric(run, RELOADS, status="failure") >= 3

            await eventually(failed_again)
            del two.issuer.documents[WELL_KNOWN]

            async def reached() -> bool:
                return metric(run, RELOADS, status="success") == 1

            await eventually(reached)
            assert (await who(run, two.issuer.token()))["username"] == "x:ada"
