"""Rules as values: matching, covering by smallest parts; the compiled form decides alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from kapi.authorization.authorizer import Attributes
from kapi.authorization.rbac_rules import Ruleset, compact, covers, describe, rule_allows
from kapi.messages import UserInfo

Rule = dict[str, Any]
USER = UserInfo("jane")


def ask(verb: str, resource: str, name: str = "", group: str = "") -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(
        user=USER, verb=verb, is_resource=True, group=group, resource=resource,
        subresource=subresource, name=name, namespace="ns",
    )  # fmt: skip


def ask_path(verb: str, path: str) -> Attributes:
    return Attributes(user=USER, verb=verb, is_resource=False, path=path)


def rule(verbs: str, groups: str, resources: str, *names: str) -> Rule:
    return {
        "verbs": verbs.split(),
        "apiGroups": [g.strip('"') for g in groups.split()],
        "resources": resources.split(),
        "resourceNames": list(names),
    }


CORE = '""'


@pytest.mark.parametrize(
    ("given_rule", "asked", "allowed"),
    [
        (rule("get list", CORE, "pods"), ask("get", "pods", "p"), True),
        (rule("get list", CORE, "pods"), ask("delete", "pods", "p"), False),
        (rule("get", CORE, "pods"), ask("get", "pods/log", "p"), False),
        (rule("get", CORE, "pods/log"), ask("get", "pods/log", "p"), True),
        (rule("get", CORE, "*/log"), ask("get", "pods/log", "p"), True),
        (rule("get", CORE, "*/log"), ask("get", "pods", "p"), False),
        (rule("get", CORE, "pods/*"), ask("get", "pods/log", "p"), False),
        (rule("get", CORE, "*"), ask("get", "pods/log", "p"), True),
        (rule("*", "*", "*"), ask("frobnicate", "x", group="y"), True),
        (rule("get", "apps", "pods"), ask("get", "pods"), False),
        (rule("get", CORE, "pods", "a", "b"), ask("get", "pods", "b"), True),
        (rule("get", CORE, "pods", "a"), ask("get", "pods", "c"), False),
        (rule("list", CORE, "pods", "a"), ask("list", "pods"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, ask_path("get", "/healthz"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, ask_path("get", "/healthz/"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/x/*"]}, ask_path("get", "/x/y/z"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/x/*"]}, ask_path("get", "/x"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, ask_path("get", "/y"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/x*y"]}, ask_path("get", "/xzy"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/x"]}, ask_path("head", "/x"), False),
        (rule("*", "*", "*"), ask_path("get", "/x"), False),
        ({"verbs": None, "resources": None}, ask("get", "pods"), False),
    ],
)
def test_matching(given_rule: Rule, asked: Attributes, allowed: bool) -> None:
    assert rule_allows(given_rule, asked) is allowed
    assert Ruleset([given_rule]).allows(asked) is allowed


WORDS = st.lists(st.sampled_from(["*", "get", "list"]), max_size=2)
GROUPS = st.lists(st.sampled_from(["*", "", "apps"]), max_size=2)
RESOURCES = st.lists(st.sampled_from(["*", "pods", "pods/log", "*/log", "nodes"]), max_size=2)
NAMES = st.lists(st.sampled_from(["a", "b", ""]), max_size=2)
URLS = st.lists(st.sampled_from(["*", "/a", "/a/*", "/a/b"]), max_size=2)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "verbs": WORDS, "apiGroups": GROUPS, "resources": RESOURCES,
            "resourceNames": NAMES, "nonResourceURLs": URLS,
        }
    ),
    max_size=3,
)  # fmt: skip
ASKED = st.one_of(
    st.builds(
        ask,
        st.sampled_from(["get", "list"]),
        st.sampled_from(["pods", "pods/log", "nodes", "nodes/log"]),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "apps"]),
    ),
    st.builds(ask_path, st.sampled_from(["get"]), st.sampled_from(["/a", "/a/b", "/c"])),
)


@seed(1)
@settings(max_examples=300, deadline=None)
@given(RULES, ASKED)
def test_the_compiled_form_decides_as_the_definition(rules: list[Rule], asked: Attributes) -> None:
    assert Ruleset(rules).allows(asked) is any(rule_allows(r, asked) for r in rules)


@seed(2)
@settings(max_examples=300, deadline=None)
@given(RULES, RULES, ASKED)
def test_what_covers_allows_no_less(
    owned: list[Rule], wanted: list[Rule], asked: Attributes
) -> None:
    if not covers(owned, wanted) and any(rule_allows(r, asked) for r in wanted):
        assert any(rule_allows(r, asked) for r in owned)


def test_covering_is_per_smallest_part() -> None:
    owned = [rule("get list", CORE, "pods"), rule("get", CORE, "secrets", "a")]
    assert covers(owned, [rule("list get", CORE, "pods")]) == []
    assert covers(owned, [rule("get", CORE, "secrets", "a")]) == []
    missing = covers(owned, [rule("get delete", CORE, "pods secrets")])
    assert [describe(m) for m in missing] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["delete"]}',
    ]
    assert covers([rule("get", CORE, "*/scale")], [rule("get", CORE, "x/scale")]) == []
    urls: Rule = {"verbs": ["get"], "nonResourceURLs": ["/a/*"]}
    assert covers([urls], [{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/a/*"]}]) == []
    assert len(covers([urls], [{"verbs": ["get"], "nonResourceURLs": ["/a", "*"]}])) == 2


def test_missing_parts_are_written_together() -> None:
    parts = covers([], [rule("get list", CORE, "pods", "a"), rule("get", "apps", "x")])
    assert [describe(r) for r in compact(parts)] == [
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get" "list"]}',
        '{APIGroups:["apps"], Resources:["x"], Verbs:["get"]}',
    ]
    url: Rule = {"verbs": ["get"], "nonResourceURLs": ["/x"]}
    assert [describe(r) for r in compact([url])] == ['{NonResourceURLs:["/x"], Verbs:["get"]}']
