"""Which resources another etcd holds: how `--etcd-servers-overrides` is written and meant."""

from __future__ import annotations

import pytest

from kapi.storage.overrides import FORMAT, Override, parse, placed, unused

RESOURCES = [
    ("", "pods", "pods"),
    ("", "services", "services/specs"),
    ("", "events", "events"),
    ("events.k8s.io", "events", "events"),
    ("apps", "deployments", "deployments"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "apiextensions.k8s.io/crds"),
]
ONE, TWO = ("http://one:2379",), ("http://two:2379",)


def test_what_is_written_with_slash_hash_and_semicolon() -> None:
    assert parse(["/events#http://a:1;http://b:2", "apps/deployments#http://c:3"]) == [
        Override("", "events", ("http://a:1", "http://b:2")),
        Override("apps", "deployments", ("http://c:3",)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("/events", "/events/http://a:1", "events#http://a:1", "a/b/c#http://a:1"),
        *("/events#a#b", "/events#", "/events#http://a:1;", ""),
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=FORMAT):
        parse([text])


def test_one_resource() -> None:
    assert placed([Override("apps", "deployments", ONE)], RESOURCES) == {"deployments": ONE}


def test_events_of_both_groups_go_with_the_core_one() -> None:
    assert placed([Override("", "events", ONE)], RESOURCES) == {"events": ONE}
    assert placed([Override("events.k8s.io", "events", ONE)], RESOURCES) == {}


def test_a_whole_group_and_one_of_it() -> None:
    found = placed([Override("", "*", ONE), Override("", "pods", TWO)], RESOURCES)
    assert found == {
        "pods": TWO,
        "services/specs": ONE,
        "events": ONE,
        "ranges": ONE,
        "masterleases": ONE,
    }


def test_the_ranges_go_with_the_services() -> None:
    found = placed([Override("", "services", ONE)], RESOURCES)
    assert found == {"services/specs": ONE, "ranges": ONE}


def test_the_last_one_counts() -> None:
    found = placed([Override("", "pods", ONE), Override("", "pods", TWO)], RESOURCES)
    assert found == {"pods": TWO}


def test_definitions_stay() -> None:
    override = Override("apiextensions.k8s.io", "customresourcedefinitions", ONE)
    assert placed([override], RESOURCES) == {}
    assert unused([override], RESOURCES) == ["apiextensions.k8s.io/customresourcedefinitions"]


def test_what_is_about_nothing() -> None:
    known = [Override("", name, ONE) for name in ("pods", "*", "apiServerIPInfo")]
    assert unused(known, RESOURCES) == []
    strange = [Override("example.com", "things", ONE), Override("", "pod", ONE)]
    assert unused(strange, RESOURCES) == ["example.com/things", "/pod"]
