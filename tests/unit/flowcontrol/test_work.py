"""Seats of requests: lists by what they hold, changes by who is told of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.flowcontrol.work import (
    CHANGE_SEATS_MAX,
    LIST_SEATS_MAX,
    Size,
    WatchCounts,
    change_estimate,
    list_estimate,
)
from kapi.messages import Query, RequestInfo

BIG = Size(objects=1000, bytes=20_000_000)  # 20 KB each


def info(verb: str = "list", *, name: str = "", namespace: str = "", sub: str = "") -> RequestInfo:
    return RequestInfo(
        True, "/x", verb, "api", "", "v1", namespace, "pods", subresource=sub, name=name
    )


def seats(
    query: str = "", *, verb: str = "list", name: str = "", size: Size | None = BIG, widest: int = 0
) -> int:
    found = list_estimate(info(verb, name=name), Query(query), lambda group, plural: size, widest)
    assert (found.final, found.linger) == (0, 0)
    return found.initial


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 10),  # from the cache: never more than a megabyte at once
        ("resourceVersion=0", 10),
        ("limit=5", 1),
        ("limit=20", 4),
        ("limit=-3", 10),
        ("labelSelector=a", 10),
        ("resourceVersion=7&limit=50", 10),  # one exact version: from the store
        ("resourceVersion=7&limit=50&resourceVersionMatch=NotOlderThan", 10),
        ("resourceVersion=7&resourceVersionMatch=Exact", 100),
        ("resourceVersion=7&resourceVersionMatch=Exact&limit=300", 60),
        ("resourceVersion=7&resourceVersionMatch=Exact&limit=300&labelSelector=a", 100),
        ("resourceVersion=7&resourceVersionMatch=Exact&limit=5&fieldSelector=a", 100),
        ("continue=x&limit=300", 60),
        ("limit=x", 100),
        ("limit=", 100),
        ("limit=99999999999999999999", 100),
        ("timeoutSeconds=x", 100),
    ],
)
def test_lists(query: str, expected: int) -> None:
    assert seats(query) == expected


def test_bounds_of_a_list() -> None:
    exact = "resourceVersion=7&resourceVersionMatch=Exact"
    assert seats(exact, widest=37) == 37
    assert seats(exact, widest=500) == LIST_SEATS_MAX
    assert seats(exact, name="a") == 1
    assert seats(size=None) == 1  # not stored here
    assert seats(size=Size(0, 0)) == 1
    assert seats(size=Size(3, 900)) == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 10),
        ("resourceVersion=0", 10),
        ("resourceVersion=7", 1),
        ("resourceVersion=7&sendInitialEvents=true", 10),
        ("resourceVersion=7&sendInitialEvents=false", 1),
    ],
)
def test_watches_that_begin_with_a_list(query: str, expected: int) -> None:
    assert seats(query, verb="watch") == expected


@pytest.mark.parametrize(
    ("watches", "widest", "final", "linger"),
    [
        (0, 0, 0, 0.0),
        (9, 0, 0, 0.0),
        (10, 0, 1, 0.005),
        (11, 0, 2, 0.005),
        (100, 0, 10, 0.005),
        (1000, 0, CHANGE_SEATS_MAX, 0.05),
        (1000, 4, 4, 0.125),
        (1000, 90, CHANGE_SEATS_MAX, 0.05),
    ],
)
def test_changes(watches: int, widest: int, final: int, linger: float) -> None:
    found = change_estimate(watches, widest)
    assert (found.initial, found.final) == (1, final)
    assert found.linger == pytest.approx(linger)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(watches=st.integers(10, 100_000), widest=st.integers(1, 10))
def test_the_work_of_telling_does_not_depend_on_its_shape(watches: int, widest: int) -> None:
    found = change_estimate(watches, widest)
    assert found.final <= widest
    assert found.final * found.linger == pytest.approx(-(-watches // 10) * 0.005)


def test_watches_are_counted_by_what_they_are_about() -> None:
    counts = WatchCounts()
    ends = [
        counts.open(info("watch", **about))
        for about in ({}, {"namespace": "a"}, {"namespace": "a", "name": "x"}, {"namespace": "b"})
    ]
    assert counts.interested(info("update", namespace="a", name="x")) == 3
    assert counts.interested(info("update", namespace="a", name="y")) == 2
    assert counts.interested(info("create", namespace="c")) == 1
    for end in ends:
        end()
    assert counts.interested(info("update", namespace="a", name="x")) == 0


def test_a_token_is_nobodys_event() -> None:
    counts = WatchCounts()
    of = RequestInfo(True, "/x", "create", resource="serviceaccounts", subresource="token")
    counts.open(of)
    assert counts.interested(of) == 0
