"""The options of lists and watches: order of the checks, words, defaults."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from served import NODES, PODS, THINGS, resource

from kapi.errors import ApiError
from kapi.messages import Query
from kapi.registry.list_options import (
    EVERYTHING,
    NOT_OLDER_THAN,
    BadVersion,
    ListOptions,
    boolean,
    parse,
    parse_version,
)
from kapi.registry.resource import ResourceType

CONFIGMAPS = resource("configmaps", "ConfigMap")


def options(text: str, of: ResourceType = PODS, path_name: str = "") -> ListOptions:
    return parse(Query(text), of, path_name)


def refusal(text: str, of: ResourceType = PODS, path_name: str = "") -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        options(text, of, path_name)
    return caught.value.code, caught.value.message


def test_nothing_is_everything() -> None:
    assert options("") == EVERYTHING
    assert options("unknown=1&pretty=x") == EVERYTHING


@pytest.mark.parametrize(
    ("text", "watch"),
    [
        ("watch=1", True),
        ("watch", True),
        ("watch=", True),
        ("watch=F", True),
        ("watch=no", True),
        ("watch=TRUE", True),
        ("watch=0", False),
        ("watch=False", False),
        ("watch=0&watch=1", False),
        ("watch=1&watch=0", True),
        ("WATCH=1", False),
    ],
)
def test_spellings_of_watch(text: str, watch: bool) -> None:
    assert options(text).watch is watch


def test_booleans_may_be_unsaid() -> None:
    assert boolean(Query(""), "x") is None
    assert boolean(Query("x=false"), "x") is False


@pytest.mark.parametrize("name", ["limit", "timeoutSeconds"])
@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "0x1", "1_0", "٣", " 1"])
def test_numbers(name: str, text: str) -> None:
    code, message = refusal(urlencode({name: text}))
    assert (code, message) == (400, f'strconv.ParseInt: parsing "{text}": invalid syntax')


def test_numbers_that_are_too_big_and_those_that_do_not_count() -> None:
    big = "9" * 40
    assert refusal(f"limit={big}") == (
        400,
        f'strconv.ParseInt: parsing "{big}": value out of range',
    )
    assert options("limit=-5").limit == 0
    assert options("timeoutSeconds=-1").timeout_seconds == -1
    assert options("limit=%2B5").limit == 5
    assert options("timeoutSeconds=1&timeoutSeconds=x").timeout_seconds == 1


def test_numbers_are_checked_before_selectors_and_those_before_what_does_not_fit() -> None:
    assert refusal("labelSelector=a%20b&limit=x")[1].startswith("strconv")
    assert refusal("labelSelector=a%20b&resourceVersionMatch=Exact")[0] == 400
    assert refusal("fieldSelector=nope%3D1&resourceVersionMatch=Exact")[0] == 422


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "resourceVersionMatch=Exact",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
            "resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            "resourceVersionMatch=exact&resourceVersion=1",
            'Unsupported value: "exact": supported values: "Exact", "NotOlderThan", ""',
        ),
        ("sendInitialEvents=false", "sendInitialEvents is forbidden for list"),
        (
            "watch=1&resourceVersionMatch=NotOlderThan",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            "watch=1&sendInitialEvents=x",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "watch=1&resourceVersionMatch=Exact&sendInitialEvents=1",
            'Unsupported value: "Exact": supported values: "NotOlderThan"',
        ),
        ("watch=1&continue=x", "resourceVersionMatch is forbidden when continue is provided"),
    ],
)
def test_what_does_not_fit_together(text: str, found: str) -> None:
    code, message = refusal(text)
    assert code == 422
    assert message.startswith('ListOptions.meta.k8s.io "" is invalid: ')
    assert found in message


def test_a_watch_from_nowhere_begins_with_what_there_is() -> None:
    for text in ("watch=1", "watch=1&resourceVersion=0"):
        assert options(text).send_initial is True
        assert options(text).match == NOT_OLDER_THAN
    for text in ("watch=1&resourceVersion=5", "limit=1"):
        assert options(text).send_initial is None
    text = "watch=1&sendInitialEvents=0&resourceVersionMatch=NotOlderThan"
    assert options(text).send_initial is False


@pytest.mark.parametrize(
    ("of", "text", "message"),
    [
        (PODS, "metadata.name=a,metadata.namespace=b,spec.nodeName=c", ""),
        (PODS, "spec.x=1", "field label not supported: spec.x"),
        (NODES, "metadata.namespace=x", ""),
        (CONFIGMAPS, "data=1", '"data" is not a known field selector: only "metadata.name", '
         '"metadata.namespace"'),
        (THINGS, "metadata.namespace=a", ""),
        (THINGS, "spec.x=1", "field label not supported: spec.x"),
        (
            resource("nodes", "Node", namespaced=False, field_selectors={"spec.x": lambda o: ""}),
            "metadata.namespace=x",
            "field label not supported: metadata.namespace",
        ),
    ],
)  # fmt: skip
def test_fields(of: ResourceType, text: str, message: str) -> None:
    query = urlencode({"fieldSelector": text})
    if message:
        assert refusal(query, of) == (400, message)
    else:
        assert not options(query, of).fields.empty


def test_a_name_in_the_path() -> None:
    assert options("", path_name="a").fields.exact("metadata.name") == "a"
    assert options("fieldSelector=metadata.name%3Da", path_name="a").fields.exact("metadata.name")
    assert refusal("fieldSelector=metadata.name%3Db", path_name="a") == (
        400,
        "fieldSelector metadata.name doesn't match requested name",
    )


@pytest.mark.parametrize("text", ["abc", "-1", "+1", " 1", "1.5", "", "٣"])
def test_bad_versions(text: str) -> None:
    with pytest.raises(BadVersion) as caught:
        parse_version(text)
    assert str(caught.value) == (
        f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
        "invalid syntax"
    )


def test_versions() -> None:
    assert parse_version("007") == 7
    assert parse_version(str(2**64 - 1)) == 2**64 - 1
    with pytest.raises(BadVersion, match="value out of range"):
        parse_version(str(2**64))
