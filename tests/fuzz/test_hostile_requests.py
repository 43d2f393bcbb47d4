"""Paths, methods, queries and headers that nobody sends in good faith: a corpus, and mixtures of it
by a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest
from hostile import CONFIG_MAPS, check, send, target
from server_harness import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Client

SEGMENTS = (
    "a", "..", ".", "%2e%2e", "%2E%2e%2f", "a%2Fb", "%00", "a%00b", "%", "%zz", "%25", "é", "%ff",
    "%ed%a0%80", "", "*", "~", "{x}", "a b", "a;b", "a:b:c", "x" * 5_000, "namespaces", "default",
    "pods", "configmaps", "deployments", "services", "nodes", "serviceaccounts", "bindings",
    "componentstatuses", "v1", "api", "apis", "apps", "watch", "proxy", "status", "scale", "log",
    "exec", "attach", "portforward", "token", "eviction", "binding", "finalize", "approval",
    "ephemeralcontainers", "resize",
)  # fmt: skip
ROOTS = (
    "/", "//", "/api", "/api/", "/api/v1", "/api/v1/", "/api/v1//", "/apis", "/apis/",
    "/apis/apps/v1/", "/apis/authorization.k8s.io/v1/", "/api/v1/namespaces/",
    "/api/v1/namespaces/default/", "/api/v1/namespaces/default/configmaps/", "/livez/", "/openapi/",
    "/openapi/v3/", "/openid/v1/", "/metrics", "/version/", "/api/v1/watch/", "/.well-known/",
)  # fmt: skip
METHODS = (
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "", "get", "Xé",
)  # fmt: skip
PARAMETERS = (
    "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector",
    "fieldSelector", "timeout", "allowWatchBookmarks", "sendInitialEvents", "pretty", "dryRun",
    "fieldManager", "fieldValidation", "force", "gracePeriodSeconds", "propagationPolicy",
    "orphanDependents", "includeObject", "container", "tailLines", "sinceTime", "sinceSeconds",
    "limitBytes", "follow", "command", "ports", "path", "verbose", "exclude", "hash", "x", "",
)  # fmt: skip
VALUES = (
    "", "0", "1", "-1", "true", "false", "x", "é", "²", "١", "%00", "%zz", "%ff", "9" * 30,
    "9" * 5_000, "-9223372036854775809", "1e3", "1s", "1h30m", "-5s", "9" * 30 + "h", "a=b",
    "a in (b)", "a in (", "a notin ()", "!", "!!a", "a,,b", "=", "==", "a%3Db", "a%3D%3D%3Db",
    "metadata.name%3Da", "metadata.name=a,metadata.name=b", "metadata.name!=", "spec.nodeName=x",
    "status.phase%3D", "a%5C", "a%5C%2Cb%3Dc", "Exact", "NotOlderThan", "All", "Some", "Strict",
    "Foreground", "nil", "Object", "2026-01-02T03:04:05Z", "9999-99-99T99:99:99Z", "x" * 3_000,
    "MQ", "W10", "bnVsbA", "e30", "eyJ2IjoxfQ", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi8ifQ",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiXHUwMDAwIn0",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MWUzMCwic3RhcnQiOltdfQ",
)  # fmt: skip
ACCEPTS = (
    "", "*/*", ",", ";", ";;;", "a/b/c", "é", "x" * 5_000, "text/html", "application/*",
    "application/json;as=Table", "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v9;g=x",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/yaml;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;stream=watch", "application/yaml", "application/cbor",
    "application/json;stream=watch", "application/json;q=x", 'application/json;charset="',
    "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io",
    ",".join(["application/json;q=0.1"] * 2_000),
)  # fmt: skip
CONTENT_TYPES = (
    "", "x", "/", "application/json;charset=x", "application/json; ;", "application/yaml",
    "application/vnd.kubernetes.protobuf", "application/cbor", "multipart/form-data", "é/x",
    "APPLICATION/JSON", JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH,
)  # fmt: skip
HEADERS: tuple[tuple[str, str], ...] = (
    *(("accept", v) for v in ACCEPTS),
    *(("content-type", v) for v in CONTENT_TYPES),
    *(("content-length", v) for v in ("١", "9" * 30, "-1", "x", "0x10")),
    *(
        ("authorization", v)
        for v in (
            "", "Bearer", "Bearer ", "Bearer x", "Bearer  x", "Basic eDp5", "é", "Bearer a.b.c",
            "Bearer " + "a." * 50, "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer " + "x" * 9_000,
            "Bearer \udcff", "Bearer eyJhbGciOiJSUzI1NiJ9.W10.x",
        )
    ),
    *(("impersonate-user", v) for v in ("", "x", "system:admin", "é", "a\0b", "x" * 5_000)),
    ("impersonate-group", "x"), ("impersonate-uid", "1"), ("impersonate-extra-", "x"),
    ("impersonate-extra-%zz", "x"), ("impersonate-extra-a%2fb", "x"), ("user-agent", ""),
    ("user-agent", "é/1"), ("user-agent", "x\0/1"), ("accept-encoding", "gzip"),
    ("if-none-match", "*"), ("range", "bytes=5-1"), ("range", "bytes=-"), ("range", "bytes=-١"),
    ("range", "bytes=" + "9" * 5_000 + "-"), ("x-remote-user", "a"), ("audit-id", "x" * 300),
    ("audit-id", "\0"), ("origin", "x"), ("expect", "100-continue"), ("upgrade", "websocket"),
)  # fmt: skip
BODIES = (
    b"", b"{}", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b"\0", b'{"metadata":{"name":"a"}}',
    b'{"metadata":{"name":"x"}}', b'{"spec":null}', b'[{"op":"add","path":"/a","value":1}]',
    b"[{}]",
    b"k8s\0\x0a\x00", b"a: b: c", b"--- \n---", b'{"kind":"DeleteOptions","apiVersion":"v1"}',
)  # fmt: skip
RESOURCES = (
    "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods", "/api/v1/nodes",
    "/apis/apps/v1/namespaces/default/deployments", "/api/v1/namespaces/default/services",
    "/api/v1/namespaces", "/api/v1/namespaces/default/serviceaccounts", "/api/v1/pods",
    "/apis/autoscaling/v1/namespaces/nope/horizontalpodautoscalers", "/api/v1/componentstatuses",
    "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
)  # fmt: skip
NAMES = ("a", "a", "a", "default", "nope", "..", "%2e%2e", ":a:", "https:a:1", "a:x", "a%00", "%25")


async def prepare(client: Client) -> None:
    """Objects called `a` to aim at."""
    pod = {"containers": [{"name": "a", "image": "b"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    selector = {"matchLabels": {"a": "b"}}
    for path, spec in (
        ("/api/v1/namespaces/default/configmaps", {}),
        ("/api/v1/namespaces/default/serviceaccounts", {}),
        ("/api/v1/namespaces/default/pods", {"spec": pod}),
        ("/api/v1/nodes", {}),
        ("/api/v1/namespaces/default/services", {"spec": {"ports": [{"port": 80}]}}),
        (
            "/apis/apps/v1/namespaces/default/deployments",
            {"spec": {"selector": selector, "template": template}},
        ),
    ):
        await client.post(path, {"metadata": {"name": "a"}, **spec})


def every_one() -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Each item of the corpus at least once."""
    for segment in SEGMENTS:
        for root in ROOTS:
            yield "GET", root + segment, {}, b""
        for method in METHODS:
            body, query = (b"", "?dryRun=All") if method == "DELETE" else (b"{}", "")
            yield method, f"{CONFIG_MAPS}/{segment}{query}", {}, body
            yield method, f"{CONFIG_MAPS}/a/{segment}{query}", {}, body
            yield method, f"/api/v1/namespaces/{segment}/configmaps{query}", {}, body
    for parameter in PARAMETERS:
        for value in VALUES:
            pair = f"{parameter}={value}"
            yield "GET", f"{CONFIG_MAPS}?{pair}", {}, b""
            yield "GET", f"{CONFIG_MAPS}/a?{pair}&{pair}", {}, b""
            yield "DELETE", f"{CONFIG_MAPS}/nope?{pair}", {}, b""
            yield "POST", f"{CONFIG_MAPS}?{pair}&dryRun=All", {}, b'{"metadata":{"name":"b"}}'
    for name, text in HEADERS:
        for method in ("GET", "POST", "PATCH"):
            yield method, f"{CONFIG_MAPS}/a", {name: text}, b"{}"
        yield "GET", CONFIG_MAPS, {name: text}, b""
        yield "GET", "/openapi/v2", {name: text}, b""
        yield "GET", "/apis", {name: text}, b""


async def test_every_one() -> None:
    async with target() as run:
        await prepare(run.client)
        for method, path, headers, body in every_one():
            if "/watch" not in path:  # those last
                await send(run.client, method, path, body or None, headers=headers)


def mixed(random: Random) -> tuple[str, str, dict[str, str], bytes]:
    choose = random.choice
    if random.random() < 0.3:
        path = choose(ROOTS) + "/".join(choose(SEGMENTS) for _ in range(random.randrange(6)))
    else:
        path = choose(RESOURCES)
        for options in (NAMES, SEGMENTS[-15:]):
            if random.random() < 0.6:
                path += "/" + choose(options)
    path = path.replace("/watch", "/watched")
    pairs = [f"{choose(PARAMETERS)}={choose(VALUES)}" for _ in range(random.randrange(4))]
    method = choose(METHODS)
    body = choose(BODIES)
    if method == "DELETE":
        body = b""  # whose options would win
        pairs.append("dryRun=All")
    return (
        method,
        path + "?" * bool(pairs) + "&".join(pairs),
        dict(choose(HEADERS) for _ in range(random.randrange(3))),
        body,
    )


async def mixtures(seed: int, count: int) -> None:
    async with target() as run:
        await prepare(run.client)
        for number in range(count):
            method, path, headers, body = mixed(Random(f"{seed}/{number}"))
            answer = await run.client(method, path, body or None, headers=headers)
            check(answer, (seed, number, method, path, headers, body))


async def test_mixtures() -> None:
    await mixtures(1, 1_500)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_many_mixtures(seed: int) -> None:
    await mixtures(seed, 20_000)


def pages(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        for kind in ("limit=1&", "", "resourceVersion=1&", "resourceVersion=0&limit=1&"):
            yield f"{kind}continue={value}"


async def test_watches_refuse_as_lists_do() -> None:
    async with target() as run:
        for parameter in PARAMETERS:
            for value in VALUES:
                query = f"watch=1&timeoutSeconds=1&{parameter}={value}"
                if parameter in ("labelSelector", "fieldSelector", "resourceVersionMatch"):
                    async with run.client.watch(f"{CONFIG_MAPS}?{query}") as w:
                        assert w.status in (200, 400, 422), (w.status, query)
        for query in pages(VALUES):
            await send(run.client, "GET", f"{CONFIG_MAPS}?{query}")
