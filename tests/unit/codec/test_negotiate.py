"""Accept and Content-Type, as the real server decides."""

from typing import Any

import pytest

from kapi.codec import negotiate as n
from kapi.errors import ApiError
from kapi.messages import Query

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
META = "as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def ask(accept: str, query: str = "", agent: str = "", **more: Any) -> n.Accepted:
    more.setdefault("transforms", True)
    return n.negotiate(accept, Query(query), agent, **more)


@pytest.mark.parametrize(
    ("accept", "media_type", "as_kind"),
    [
        ("", n.JSON, ""),
        ("*/*", n.JSON, ""),
        ("application/json", n.JSON, ""),
        ("application/json;", n.JSON, ""),
        ("application/json;q=0", n.JSON, ""),
        ("application/json;q=2", n.JSON, ""),
        ("application/json;charset=utf-8", n.JSON, ""),
        ("text/html,application/json", n.JSON, ""),
        ("text/html,*/*;q=0.1", n.JSON, ""),
        ("application/yaml,application/json", n.YAML, ""),
        ("application/json;q=0.5,application/yaml", n.YAML, ""),
        ("application/yaml;q=0.2,application/json;q=0.1", n.YAML, ""),
        (TABLE, n.JSON, "Table"),
        (f"{TABLE.replace('v1', 'v1beta1')},application/json", n.JSON, "Table"),
        (f"{TABLE.replace('v1', 'v1alpha1')};q=0.9,application/json;q=0.1", n.JSON, ""),
        (f"application/yaml;{META}", n.YAML, "PartialObjectMetadata"),
        (f"{n.PROTOBUF};{META},application/json", n.PROTOBUF, "PartialObjectMetadata"),
        (f"{n.PROTOBUF},application/json", n.PROTOBUF, ""),
        (f"application/json,{n.PROTOBUF}", n.JSON, ""),
        (f"{n.PROTOBUF};q=0", n.PROTOBUF, ""),
        (f"text/plain,{n.PROTOBUF};stream=watch", n.PROTOBUF, ""),
        (f"{n.PROTOBUF};{TABLE.partition(';')[2]},{TABLE}", n.JSON, "Table"),
        ("application/json;stream=watch", n.JSON, ""),
    ],
)
def test_accepted(accept: str, media_type: str, as_kind: str) -> None:
    found = ask(accept)
    assert (found.media_type, found.as_kind) == (media_type, as_kind)


@pytest.mark.parametrize(
    ("accept", "media_type", "as_kind"),
    [
        (f"{n.PROTOBUF},application/json", n.JSON, ""),
        (f"{n.PROTOBUF},*/*", n.JSON, ""),
        (f"{n.PROTOBUF};stream=watch,application/yaml", n.YAML, ""),
        (f"{n.PROTOBUF};{META},application/json", n.PROTOBUF, "PartialObjectMetadata"),
    ],
)
def test_custom_objects_are_messages_by_their_metadata_only(
    accept: str, media_type: str, as_kind: str
) -> None:
    found = ask(accept, custom=True)
    assert (found.media_type, found.as_kind) == (media_type, as_kind)
    with pytest.raises(ApiError, match="only the following media types"):
        ask(n.PROTOBUF, custom=True)


ONLY = (
    "only the following media types are accepted: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)


@pytest.mark.parametrize(
    "accept",
    [
        "application/yaml;as=Nope",
        "application/json;as=Table;v=v1",
        "application/json;as=;v=v1",
        "application/json;v=v1",
        "application/json;as=table;v=v1;g=meta.k8s.io",
        "application/json;as=Nope;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1alpha1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "application/json;stream=other",
    ],
)
def test_refused_by_the_endpoint(accept: str) -> None:
    with pytest.raises(ApiError) as caught:
        ask(accept)
    assert caught.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": ONLY,
        "reason": "NotAcceptable",
        "code": 406,
    }


@pytest.mark.parametrize("accept", ["application/*", ",", "json", "text/plain", "APPLICATION/JSON"])
def test_refused_by_the_route(accept: str) -> None:
    with pytest.raises(ApiError) as caught:
        ask(accept, route=n.ROUTE_OF_LISTS)
    assert caught.value.message == (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )
    assert caught.value.details == {}


def test_endpoints_without_transformations() -> None:
    with pytest.raises(ApiError, match="only the following"):
        ask(TABLE, transforms=False)
    assert ask(f"{TABLE},application/json", transforms=False).as_kind == ""


def test_watch() -> None:
    assert ask("", "pretty=1", watch=True) == n.Accepted()
    assert ask(TABLE, "pretty=1", watch=True) == n.Accepted(
        n.JSON, "Table", "meta.k8s.io", "v1", False, "watch"
    )
    with pytest.raises(ApiError) as caught:
        ask("application/yaml", watch=True)
    assert caught.value.message == (
        "only the following media types are accepted: application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )


@pytest.mark.parametrize(
    ("query", "agent", "accept", "pretty"),
    [
        ("", "", "", False),
        ("pretty=true", "", "", True),
        ("pretty=1", "", TABLE, True),
        ("pretty=TRUE", "", "", True),
        ("pretty=", "", "", False),
        ("pretty=0", "curl/8.5.0", "", False),
        ("pretty=false", "Wget/1.21", "application/yaml", False),
        ("pretty=", "curl/8", "", True),
        ("", "curl/8.5.0", "", True),
        ("", "Curl/8", "", False),
        ("", "Wget/1.21", "", True),
        ("", "Mozilla/5.0 (X11)", "", True),
        ("", "mozilla/5.0", "", False),
        ("", "python-requests/2", "application/json;pretty=1", True),
        ("", "", "application/json;pretty=true", False),
    ],
)
def test_pretty(query: str, agent: str, accept: str, pretty: bool) -> None:
    assert ask(accept, query, agent).pretty is pretty


def test_errors_have_a_fallback() -> None:
    def form(accept: str) -> n.Accepted:
        return n.negotiate_error(accept, Query(""), "")

    assert form("") == n.Accepted()
    assert form("application/yaml") == n.Accepted(n.YAML)
    assert form("text/plain") == n.Accepted(pretty=True)
    assert form(TABLE) == n.Accepted(pretty=True)
    assert form(f"{TABLE},application/json") == n.Accepted()


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("", "json"),
        ("application/json", "json"),
        ("APPLICATION/JSON", "json"),
        ("application/json;charset=utf-8", "json"),
        ('application/json ; charset="latin1" ;', "json"),
        ("application/yaml", "yaml"),
        ("application/json;x", None),
        ("application/json;a=1;A=2", None),
        ("application/json,application/yaml", None),
        ("application/merge-patch+json", None),
        ("application", None),
        ("text/yaml", None),
        ("*/*", None),
        ("application/vnd.kubernetes.protobuf", "protobuf"),
        ("application/vnd.kubernetes.Protobuf;x=y", "protobuf"),
    ],
)
def test_content_format(content_type: str, form: str | None) -> None:
    if form is not None:
        assert n.content_format(content_type) == form
        return
    with pytest.raises(ApiError) as caught:
        n.content_format(content_type)
    assert caught.value.status()["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_patch_format() -> None:
    assert n.patch_format("application/json-patch+json") == "json"
    assert n.patch_format("application/merge-patch+json;charset=utf-8") == "merge"
    assert n.patch_format("application/strategic-merge-patch+json") == "strategic"
    assert n.patch_format("application/apply-patch+yaml", custom=True) == "apply"
    for bad in ("", "application/json", "application/merge-patch+yaml", "*/*"):
        with pytest.raises(ApiError, match=r"\A415: Unsupported Media Type\Z"):
            n.patch_format(bad)
    with pytest.raises(ApiError) as caught:
        n.patch_format("application/strategic-merge-patch+json", custom=True)
    assert caught.value.message.endswith(
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


def test_long_headers_are_parsed_alike() -> None:
    accept = ",".join(["text/html;q=0.5"] * 100) + "," + TABLE
    assert len(accept) > n.ACCEPT_CACHED_MAX
    assert ask(accept).as_kind == "Table"
