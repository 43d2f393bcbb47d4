"""Conditions over the review that would be sent."""

from __future__ import annotations

import pytest

from kapi.authorization.authorizer import Attributes
from kapi.authorization.match_conditions import ConditionError, Matcher
from kapi.authorization.review import spec_of
from kapi.messages import UserInfo

ADA = UserInfo(name="ada", uid="7", groups=("dev",), extra={"example.com/x": ("1",)})
LIST_PODS = Attributes(
    user=ADA,
    verb="list",
    is_resource=True,
    version="v1",
    resource="pods",
    field_selector="spec.nodeName=n1",
    label_selector="app in (a,b),!old",
)
PATH = Attributes(user=UserInfo(name="ada"), verb="get", is_resource=False, path="/metrics")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("request.user == 'ada'", True),
        ("request.uid == '7' && 'dev' in request.groups", True),
        ("request.extra['example.com/x'] == ['1']", True),
        ("has(request.resourceAttributes)", True),
        ("has(request.nonResourceAttributes)", False),
        ("request.resourceAttributes.namespace == ''", True),
        ("request.resourceAttributes.group + request.resourceAttributes.resource == 'pods'", True),
        ("request.?nonResourceAttributes.?path.orValue('') == ''", True),
        (
            "request.resourceAttributes.fieldSelector.requirements"
            ".exists(r, r.key == 'spec.nodeName' && r.operator == 'In' && r.values == ['n1'])",
            True,
        ),
        (
            "request.resourceAttributes.labelSelector.requirements"
            ".exists(r, r.operator == 'DoesNotExist' && size(r.values) == 0)",
            True,
        ),
        ("has(request.resourceAttributes.fieldSelector.rawSelector)", False),
        ("size(request.groups) > 3", False),
    ],
)
def test_what_is_asked_of_resources(text: str, *, holds: bool) -> None:
    assert Matcher([text]).matches(spec_of(LIST_PODS)) is holds


def test_what_is_asked_of_paths() -> None:
    spec = spec_of(PATH)
    assert Matcher(
        [
            "request.nonResourceAttributes.path == '/metrics'",
            "request.groups == []",
            "request.uid == ''",
            "size(request.extra) == 0",
        ]
    ).matches(spec)


FAILS = "request.nonResourceAttributes.path == '/x'"


def test_false_settles_it() -> None:
    assert not Matcher([FAILS, "false"]).matches(spec_of(LIST_PODS))


def test_failures_without_a_false() -> None:
    matcher = Matcher(["true", FAILS, "request.extra['no'] == []"])
    with pytest.raises(ConditionError) as raised:
        matcher.matches(spec_of(LIST_PODS))
    assert str(raised.value) == (
        f"[cel evaluation error: expression '{FAILS}' resulted in error: "
        "no such key: nonResourceAttributes, cel evaluation error: expression "
        "'request.extra['no'] == []' resulted in error: no such key: no]"
    )


def test_a_condition_cannot_run_for_long() -> None:
    user = UserInfo(name="ada", groups=tuple(f"g{i}" for i in range(3000)))
    spec = spec_of(Attributes(user=user, verb="get", is_resource=False, path="/"))
    text = "request.groups.all(a, request.groups.all(b, a.contains(b) || true))"
    with pytest.raises(ConditionError, match="cost limit"):
        Matcher([text]).matches(spec)
