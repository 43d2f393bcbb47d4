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
        ask(accept, route=n.PLAIN.route_of_lists)
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
    assert n.patch_format("application/json-patch+json") == n.Patch("json", "json")
    merge = n.patch_format("application/merge-patch+json;charset=utf-8")
    assert merge == n.Patch("merge", "json")
    assert n.patch_format("application/strategic-merge-patch+json") == n.Patch("strategic", "json")
    assert n.patch_format("application/apply-patch+yaml", custom=True) == n.Patch("apply", "yaml")
    for bad in ("", "application/json", "application/merge-patch+yaml", "*/*", APPLY_CBOR):
        with pytest.raises(ApiError, match=r"\A415: Unsupported Media Type\Z"):
            n.patch_format(bad)
    with pytest.raises(ApiError) as caught:
        n.patch_format("application/strategic-merge-patch+json", custom=True)
    assert caught.value.message.endswith(
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


# -- with the gate CBORServingAndStorage ----------------------------------------------------------

APPLY_CBOR = "application/apply-patch+cbor"


def cbor(accept: str, **more: Any) -> n.Accepted:
    return ask(accept, offer=n.WITH_CBOR, **more)


def test_the_gate_decides_what_is_offered() -> None:
    assert n.offered({"CBORServingAndStorage": False}) is n.PLAIN
    assert n.offered({"CBORServingAndStorage": True}) is n.WITH_CBOR
    with pytest.raises(ApiError, match="Available representations"):
        ask("application/cbor")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/cbor", n.CBOR),
        ("application/json;q=0.9,application/cbor;q=1", n.CBOR),
        ("application/cbor;q=0.5,application/json", n.JSON),
        ("application/cbor,application/vnd.kubernetes.protobuf", n.CBOR),
        ("application/*,application/cbor", n.CBOR),
        ("", n.JSON),
        ("*/*", n.JSON),
    ],
)
def test_cbor_is_the_last_choice_but_one_of_all(accept: str, media_type: str) -> None:
    assert cbor(accept) == n.Accepted(media_type)
    assert cbor(accept, custom=True) == n.Accepted(media_type)


def test_cbor_of_tables_and_metadata() -> None:
    for kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
        accept = f"application/cbor;as={kind};g=meta.k8s.io;v=v1"
        assert cbor(accept, transforms=True).as_kind == kind
        assert cbor(accept, transforms=True, custom=True).media_type == n.CBOR


def test_watches_in_cbor() -> None:
    lists = n.WITH_CBOR.route_of_lists
    assert cbor("application/cbor", watch=True, route=lists).media_type == n.CBOR
    # A sequence is what comes, not what is asked for.
    with pytest.raises(ApiError) as caught:
        cbor("application/cbor-seq", route=lists)
    assert caught.value.message.endswith(
        "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/cbor"
    )
    with pytest.raises(ApiError) as caught:
        cbor("application/yaml", watch=True, route=lists)
    assert caught.value.message.endswith(
        "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch, "
        "application/cbor-seq"
    )


def test_what_is_said_to_be_offered() -> None:
    with pytest.raises(ApiError) as caught:
        cbor("text/plain")
    assert caught.value.message == (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf, application/cbor"
    )
    with pytest.raises(ApiError) as caught:
        n.content_format("text/plain", n.WITH_CBOR)
    assert caught.value.message.endswith("application/vnd.kubernetes.protobuf, application/cbor")
    with pytest.raises(ApiError) as caught:
        n.patch_format("application/json", custom=True, offer=n.WITH_CBOR)
    assert caught.value.message.endswith(f"application/apply-patch+yaml, {APPLY_CBOR}")


def test_bodies_in_cbor() -> None:
    assert n.content_format("application/cbor", n.WITH_CBOR) == "cbor"
    assert n.content_format("Application/CBOR;x=y", n.WITH_CBOR) == "cbor"
    with pytest.raises(ApiError):
        n.content_format("application/cbor")
    asked = n.patch_format(APPLY_CBOR, custom=True, offer=n.WITH_CBOR)
    assert asked == n.Patch("apply", "cbor")


def test_errors_in_cbor() -> None:
    def form(offer: n.Offer) -> n.Accepted:
        return n.negotiate_error("application/cbor", Query(""), "", offer)

    assert form(n.WITH_CBOR) == n.Accepted(n.CBOR)
    assert form(n.PLAIN) == n.Accepted(pretty=True)
