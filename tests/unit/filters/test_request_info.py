"""What URLs and methods mean, oddities included."""

from __future__ import annotations

import pytest

from kapi.filters.request_info import parse, with_request_info
from kapi.messages import (
    EmptyBody,
    Headers,
    Peer,
    Query,
    Request,
    RequestInfo,
    Response,
)

NS = "/api/v1/namespaces/ns"
DEPLOYMENTS = "/apis/apps/v1/namespaces/ns/deployments"


@pytest.mark.parametrize(
    ("line", "verb", "group", "namespace", "resource", "name", "subresource"),
    [
        (f"GET {NS}/pods/p", "get", "", "ns", "pods", "p", ""),
        (f"HEAD {NS}/pods/p", "get", "", "ns", "pods", "p", ""),
        (f"GET {NS}/pods", "list", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods/", "list", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods?watch=1", "watch", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods?watch=", "watch", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods?watch=no", "watch", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods?watch=0", "list", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods?watch=False", "list", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods?watch=true&watch=false", "watch", "", "ns", "pods", "", ""),
        (f"GET {NS}/pods/p?watch=1", "get", "", "ns", "pods", "p", ""),
        (f"POST {NS}/pods", "create", "", "ns", "pods", "", ""),
        (f"PUT {NS}/pods/p", "update", "", "ns", "pods", "p", ""),
        (f"PATCH {NS}/pods/p/status", "patch", "", "ns", "pods", "p", "status"),
        (f"DELETE {NS}/pods/p", "delete", "", "ns", "pods", "p", ""),
        (f"DELETE {NS}/pods", "deletecollection", "", "ns", "pods", "", ""),
        (f"OPTIONS {NS}/pods", "", "", "ns", "pods", "", ""),
        (f"GET {NS}/services/s/proxy/a/b", "get", "", "ns", "services", "s", "proxy"),
        ("GET /api/v1/namespaces", "list", "", "", "namespaces", "", ""),
        ("GET /api/v1/namespaces/", "list", "", "", "namespaces", "", ""),
        (f"GET {NS}", "get", "", "ns", "namespaces", "ns", ""),
        (f"PUT {NS}/finalize", "update", "", "ns", "namespaces", "ns", "finalize"),
        (f"GET {NS}/status", "get", "", "ns", "namespaces", "ns", "status"),
        (f"GET {NS}/status/x", "get", "", "ns", "namespaces", "ns", "status"),
        ("GET /api/v1/namespaces//configmaps", "list", "", "", "configmaps", "", ""),
        ("GET /api/v1//namespaces/ns", "get", "", "", "", "namespaces", "ns"),
        ("GET /api/v1/nodes/n", "get", "", "", "nodes", "n", ""),
        (f"PATCH {DEPLOYMENTS}/d/scale", "patch", "apps", "ns", "deployments", "d", "scale"),
        ("GET /apis/apps/v1/deployments", "list", "apps", "", "deployments", "", ""),
        ("GET /api/v1/watch/pods", "watch", "", "", "pods", "", ""),
        ("GET /api/v1/watch/namespaces/ns/pods/p", "watch", "", "ns", "pods", "p", ""),
        ("GET /api/v1/watch/namespaces/ns/pods/p/status", "watch", "", "ns", "pods", "p", ""),
        ("POST /api/v1/proxy/namespaces/ns/pods/p/x", "proxy", "", "ns", "pods", "p", ""),
    ],
)
def test_resources(
    line: str, verb: str, group: str, namespace: str, resource: str, name: str, subresource: str
) -> None:
    method, _, uri = line.partition(" ")
    path, _, query = uri.partition("?")
    info = parse(method, path, Query(query))
    assert info.is_resource
    assert (info.verb, info.group, info.version) == (verb, group, "v1")
    assert (info.namespace, info.resource, info.name, info.subresource) == (
        namespace,
        resource,
        name,
        subresource,
    )
    assert info.path == path


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/", "get"),
        ("GET", "", "get"),
        ("HEAD", "/healthz", "head"),
        ("POST", "/api", "post"),
        ("GET", "/api/v1", "get"),
        ("GET", "/api/v1/", "get"),
        ("GET", "/apis/apps/v1", "get"),
        ("GET", "/apis/apps/v1/", "get"),
        ("GET", "/API/v1/pods", "get"),
        ("FOO", "/x/y/z", "foo"),
    ],
)
def test_other_paths(method: str, path: str, verb: str) -> None:
    assert parse(method, path, Query("watch=1")) == RequestInfo(False, path, verb)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("fieldSelector=metadata.name%3Dx", "x"),
        ("fieldSelector=metadata.name=x,spec.nodeName=n", "x"),
        ("fieldSelector=metadata.name==x&watch=1", "x"),
        ("fieldSelector=metadata.name=x&limit=5&timeoutSeconds=-1", "x"),
        ("fieldSelector=metadata.name!=x", ""),
        ("fieldSelector=metadata.name=", ""),
        ("fieldSelector=metadata.name=..", ""),
        ("fieldSelector=metadata.name=a/b", ""),
        ("fieldSelector=metadata.name=a%2525", ""),
        ("fieldSelector=metadata.name=x&limit=x", ""),
        ("fieldSelector=metadata.name=x&limit=99999999999999999999", ""),
        ("fieldSelector=metadata.name=x&labelSelector=!!", ""),
        ("fieldSelector=metadata.name=x,nope", ""),
    ],
)
def test_a_list_may_have_a_name(query: str, name: str) -> None:
    info = parse("GET", f"{NS}/pods", Query(query))
    assert (info.verb in ("list", "watch"), info.name) == (True, name)


def test_selectors_are_kept_for_authorization() -> None:
    query = Query("fieldSelector=a%3Db&labelSelector=c")
    for method, path in (("GET", f"{NS}/pods"), ("DELETE", f"{NS}/pods")):
        info = parse(method, path, query)
        assert (info.field_selector, info.label_selector) == ("a=b", "c")
    for method, path in (("GET", f"{NS}/pods/p"), ("GET", "/api/v1/watch/pods")):
        info = parse(method, path, query)
        assert (info.field_selector, info.label_selector) == ("", "")


async def test_a_verb_without_an_object_is_an_error_in_plain_text() -> None:
    async def handler(request: Request) -> Response:
        raise AssertionError("not reached")

    path = "/api/v1/watch"
    request = Request("GET", path, path, Query("a=1&b=<"), Headers(()), EmptyBody(), Peer())
    response = await with_request_info(handler)(request)
    assert response.status == 500
    assert ("Content-Type", "text/plain; charset=utf-8") in response.headers
    assert response.body == (
        b'Internal Server Error: "/api/v1/watch?a=1&amp;b=&lt;": failed to create RequestInfo: '
        b"unable to determine kind and namespace from url, /api/v1/watch?a=1&amp;b=&lt;\n"
    )
