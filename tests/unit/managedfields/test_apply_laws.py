"""Laws of server-side apply: repeating, order, what the part of an owner is worth."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stories import POD, SERVICE, Json, Story

names = st.sampled_from(["a", "b", "c"])
environment = st.dictionaries(names, st.sampled_from(["1", "2"]), max_size=3)


@st.composite
def pods(draw: st.DrawFn) -> Json:
    """The spec of a pod with list maps in list maps, a set-like map and plain fields."""
    containers = []
    for name in draw(st.lists(names, unique=True, min_size=1, max_size=2)):
        container: Json = {"name": name}
        if draw(st.booleans()):
            container["image"] = draw(st.sampled_from(["i:1", "i:2"]))
        env = draw(environment)
        if env:
            container["env"] = [{"name": k, "value": v} for k, v in env.items()]
        if draw(st.booleans()):
            container["ports"] = [{"containerPort": draw(st.integers(80, 82)), "protocol": "TCP"}]
        containers.append(container)
    spec: Json = {"containers": containers}
    if draw(st.booleans()):
        spec["nodeSelector"] = draw(environment) or {"z": "z"}
    if draw(st.booleans()):
        spec["hostNetwork"] = True
    return {"spec": spec}


def ports(numbers: set[int]) -> Json:
    return {"spec": {"ports": [{"port": n, "protocol": "TCP", "name": f"p{n}"} for n in numbers]}}


def pod_story() -> Story:
    return Story(POD, "Pod")


def without_versions(story: Story) -> tuple[Json, dict[tuple[str, str], Json]]:
    assert story.live is not None
    obj = copy.deepcopy(story.live)
    obj["metadata"] = {"name": obj["metadata"]["name"]}
    return obj, story.owners


@settings(derandomize=True, max_examples=60, deadline=None)
@given(pods())
def test_applying_twice_is_applying_once(body: Json) -> None:
    story = pod_story()
    story.apply("p", body)
    once = without_versions(story)
    entries = copy.deepcopy((story.live or {})["metadata"]["managedFields"])
    story.apply("p", body)
    assert without_versions(story) == once
    assert (story.live or {})["metadata"]["managedFields"] == entries, "not even a time moves"


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.sets(st.integers(80, 85), min_size=2, max_size=6), st.data())
def test_applies_without_overlap_commute(numbers: set[int], data: st.DataObject) -> None:
    """Two managers share the ports of a service out; who came first leaves no trace."""
    mine = {n for n in numbers if data.draw(st.booleans())}
    parts = {
        manager: {
            "spec": {"ports": [{"port": n, "protocol": "TCP", "name": f"p{n}"} for n in part]}
        }
        for manager, part in (("p", sorted(mine)), ("q", sorted(numbers - mine)))
    }
    outcomes = []
    for order in (("p", "q"), ("q", "p")):
        story = Story(SERVICE, "Service")
        for manager in order:
            story.apply(manager, parts[manager])
        obj, owners = without_versions(story)
        obj["spec"]["ports"].sort(key=lambda port: port["port"])
        outcomes.append((obj, owners))
    assert outcomes[0] == outcomes[1]


def owned(value: Any, node: Json) -> Any:
    """The part of a value that a set of fields names."""
    if not [k for k in node if k != "."]:
        return copy.deepcopy(value)
    if isinstance(value, list):
        keyed = [(json.loads(e[2:]), below) for e, below in node.items() if e.startswith("k:")]
        return [
            {**keys, **owned(item, below)}
            for item in value
            for keys, below in keyed
            if all(item.get(k) == v for k, v in keys.items())
        ]
    out = {}
    for element, below in node.items():
        name = element[2:]
        if element.startswith("f:") and name in value:
            out[name] = owned(value[name], below)
    return out


@settings(derandomize=True, max_examples=60, deadline=None)
@given(pods(), pods())
def test_what_a_manager_owns_applied_again_changes_nothing(first: Json, second: Json) -> None:
    story = pod_story()
    story.apply("p", first)
    story.apply("q", second, force=True)
    part = owned(story.live, story.owners.get(("p", "Apply"), {}))
    before = without_versions(story)
    body = {k: v for k, v in part.items() if k == "spec"}
    if not body:
        return
    story.apply("p", body)
    assert without_versions(story) == before


@settings(derandomize=True, max_examples=60, deadline=None)
@given(pods())
def test_who_applies_nothing_any_more_owns_nothing_and_leaves_nothing(body: Json) -> None:
    story = pod_story()
    story.apply("p", body)
    obj = story.apply("p", {})
    assert ("p", "Apply") not in story.owners
    assert obj["spec"] == {"containers": None}
