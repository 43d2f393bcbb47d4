"""Health checks, the version and the list of paths."""

import json
from typing import Any

import pytest

from kapi.clock import SystemClock
from kapi.errors import ApiError
from kapi.handlers.documents import version
from kapi.handlers.documents.discovery import Discovery
from kapi.handlers.documents.health import Check, Health, always_well
from kapi.handlers.documents.openapi import OpenApi
from kapi.handlers.documents.root_paths import Served, root_paths
from kapi.handlers.encoder import Encoder
from kapi.kinds.catalog import Catalog
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, Response
from kapi.registry.resource import ResourceTable


def request(path: str, method: str = "GET", accept: str = "") -> Request:
    path, _, query = path.partition("?")
    headers = Headers([("accept", accept)] if accept else [])
    return Request(method, path, path, Query(query), headers, EmptyBody(), Peer())


class Trouble:
    """A check whose complaint a test sets."""

    def __init__(self) -> None:
        self.complaint = ""

    def __call__(self) -> str:
        return self.complaint


def health(trouble: Trouble) -> Health:
    return Health(
        [
            Check("ping", always_well),
            Check("etcd", trouble),
            Check("informer-sync", always_well, live=False),
            Check("loopback-serving-certificate", always_well, ready=False),
        ]
    )


async def ask(checks: Health, path: str) -> Response:
    return await checks.paths()[path.partition("?")[0]](request(path))


async def test_well() -> None:
    checks = health(Trouble())
    for path in ("/livez", "/readyz", "/healthz", "/livez?exclude=etcd", "/livez?allowlist=x"):
        response = await ask(checks, path)
        assert (response.status, response.body) == (200, b"ok")
        assert ("X-Content-Type-Options", "nosniff") in response.headers
    single = await ask(checks, "/livez/ping?verbose")
    assert (single.status, single.body) == (200, b"ok")
    assert "X-Content-Type-Options" not in dict(single.headers)
    assert checks.ready()


async def test_verbose() -> None:
    checks = health(Trouble())
    assert (await ask(checks, "/livez?verbose&exclude=etcd")).body == (
        b"[+]ping ok\n[+]etcd excluded: ok\n[+]loopback-serving-certificate ok\n"
        b"livez check passed\n"
    )
    assert (await ask(checks, "/readyz?verbose=true&exclude=nope")).body == (
        b"[+]ping ok\n[+]etcd ok\n[+]informer-sync ok\n"
        b'warn: some health checks cannot be excluded: no matches for "nope"\n'
        b"readyz check passed\n"
    )


async def test_what_is_excluded_is_not_asked_for() -> None:
    """It may take its time: a plugin that hangs, three seconds."""
    asked: list[str] = []

    async def refresh() -> None:
        asked.append("asked")

    checks = Health([Check("ping", always_well), Check("slow", always_well, refresh=refresh)])
    assert (await ask(checks, "/livez?exclude=slow")).status == 200
    assert not asked
    for path in ("/livez", "/livez?exclude=ping", "/livez/slow"):
        assert (await ask(checks, path)).status == 200
    assert len(asked) == 3


async def test_who_excludes_a_group_excludes_all_of_it() -> None:
    trouble = Trouble()
    trouble.complaint = "gone"
    checks = Health(
        [
            Check("etcd", always_well, group="etcd"),
            Check("etcd-readiness", always_well, live=False, group="etcd-readiness"),
            Check("etcd-override-0", trouble, group="etcd"),
            Check("etcd-override-readiness-0", trouble, live=False, group="etcd-readiness"),
        ]
    )
    assert (await ask(checks, "/livez?verbose&exclude=etcd")).body == (
        b"[+]etcd excluded: ok\n[+]etcd-override-0 excluded with etcd: ok\nlivez check passed\n"
    )
    assert (await ask(checks, "/livez?verbose&exclude=etcd-override-0")).body == (
        b"[+]etcd ok\n[+]etcd-override-0 excluded: ok\nlivez check passed\n"
    )
    assert (await ask(checks, "/readyz?verbose&exclude=etcd-readiness")).status == 500
    assert (await ask(checks, "/readyz?exclude=etcd-readiness&exclude=etcd")).status == 200


async def test_failing() -> None:
    trouble = Trouble()
    checks = health(trouble)
    trouble.complaint = "disk is full"
    response = await ask(checks, "/readyz")
    assert (response.status, response.body) == (
        500,
        b"[+]ping ok\n[-]etcd failed: reason withheld\n[+]informer-sync ok\nreadyz check failed\n",
    )
    assert (await ask(checks, "/livez?exclude=etcd")).status == 200
    single = await ask(checks, "/livez/etcd")
    assert (single.status, single.body) == (500, b"internal server error: disk is full\n")
    assert not checks.ready()
    slis = await checks.slis(request("/metrics/slis"))
    assert isinstance(slis.body, bytes)
    assert b'kubernetes_healthcheck{name="etcd",type="livez"} 0\n' in slis.body


async def test_version() -> None:
    response = await version.handle(request("/version/?pretty=0"))
    assert isinstance(response.body, bytes)
    assert response.body.count(b"\n") == 14
    info = json.loads(response.body)
    assert list(info)[:3] == ["major", "minor", "emulationMajor"]
    assert info["gitVersion"].startswith("v1.37.2+kapi-")


@pytest.mark.parametrize(
    ("path", "method", "accept", "code"),
    [
        ("/version", "POST", "", 405),
        ("/version", "OPTIONS", "", 405),
        ("/version/x", "GET", "", 404),
        ("/version", "GET", "text/html", 406),
        ("/version", "GET", "application/vnd.kubernetes.protobuf", 406),
    ],
)
async def test_version_refuses(path: str, method: str, accept: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        await version.handle(request(path, method, accept))
    assert (caught.value.code, caught.value.details) == (code, {})


async def test_root_paths() -> None:
    table, catalog = ResourceTable(), Catalog()
    encoder = Encoder(catalog.schema_of, catalog.object_meta())
    for resource in catalog.resources({}):
        table.add(resource)

    async def other(_: Request) -> Response:
        return Response(200, [], b"other")

    paths = root_paths(
        Served(
            discovery=Discovery(table, lambda: "x", encoder),
            openapi=OpenApi(table, SystemClock()),
            health=health(Trouble()),
            metrics=lambda: ("text/plain", b"metrics"),
            others={"/openid/v1/jwks": other},
        )
    )
    index: Any = await paths.exact["/"](request("/", "POST"))
    listed = json.loads(index.body)["paths"]
    assert listed == sorted(listed)
    assert {"/api", "/api/v1", "/apis", "/apis/", "/apis/apps", "/apis/apps/v1"} <= set(listed)
    assert {"/livez/etcd", "/metrics", "/openapi/v3/", "/openid/v1/jwks"} <= set(listed)
    assert "/" not in listed
    assert (await paths.exact["/metrics"](request("/metrics"))).body == b"metrics"
    missing = await paths.fallback(request("/nope"))
    assert (missing.status, missing.body) == (404, b"404 page not found\n")
    assert all(prefix.endswith("/") for prefix in paths.prefixes)
