"""Requests find their flow schema, as the fixed objects of a real server sort them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from kapi.flowcontrol.flow_schema import Classifier
from kapi.messages import RequestInfo, UserInfo

Json = dict[str, Any]


def fixed(resource: str) -> list[Json]:
    data = json.loads((files("kapi") / "data" / "bootstrap-objects.json").read_text())
    found = data[resource]
    objects: list[Json] = found if isinstance(found, list) else found["items"]
    for obj in objects:
        obj["metadata"]["uid"] = f"uid-of-{obj['metadata']['name']}"
    return objects


def sorted_by(schemas: list[Json]) -> Classifier[str]:
    """Of each flow schema its name and its level's; `-` for none."""
    found = [
        (s, f"{s['metadata']['name']}/{s['spec']['priorityLevelConfiguration']['name']}")
        for s in schemas
    ]
    return Classifier(found, "-")


@pytest.fixture(scope="module")
def classifier() -> Classifier[str]:
    return sorted_by(fixed("flowschemas"))


def user(name: str, *groups: str) -> UserInfo:
    return UserInfo(name, groups=(*groups, "system:authenticated"))


def resource(verb: str, name: str, *, group: str = "", namespace: str = "") -> RequestInfo:
    plural, _, sub = name.partition("/")
    return RequestInfo(
        True, "/x", verb, "api", group, "v1", namespace, resource=plural, subresource=sub
    )


def path(text: str, verb: str = "get") -> RequestInfo:
    return RequestInfo(False, text, verb)


LEASE = resource("update", "leases", group="coordination.k8s.io", namespace="kube-system")


@pytest.mark.parametrize(
    ("who", "info", "schema", "level"),
    [
        (user("admin", "system:masters"), resource("list", "pods"), "exempt", "exempt"),
        (user("jane"), path("/healthz"), "probes", "exempt"),
        (user("jane"), path("/healthz", "post"), "global-default", "global-default"),
        (user("jane"), path("/healthz/etcd"), "global-default", "global-default"),
        (user("jane"), resource("list", "pods"), "global-default", "global-default"),
        (user("system:kube-scheduler"), LEASE, "system-leader-election", "leader-election"),
        (
            user("system:kube-scheduler"),
            resource("list", "pods"),
            "kube-scheduler",
            "workload-high",
        ),
        (
            user("system:serviceaccount:kube-system:x", "system:serviceaccounts"),
            resource("get", "pods", namespace="a"),
            "kube-system-service-accounts",
            "workload-high",
        ),
        (
            user("system:serviceaccount:a:x", "system:serviceaccounts"),
            resource("get", "pods", namespace="a"),
            "service-accounts",
            "workload-low",
        ),
        (
            user("n", "system:nodes"),
            resource("patch", "nodes/status"),
            "system-node-high",
            "node-high",
        ),
        (user("n", "system:nodes"), resource("patch", "nodes/x"), "system-nodes", "system"),
        (UserInfo("nobody"), resource("get", "pods"), "", ""),
    ],
)
def test_fixed_schemas(
    classifier: Classifier[str], who: UserInfo, info: RequestInfo, schema: str, level: str
) -> None:
    for _ in range(2):  # the second time from memory
        assert classifier.flow(who, info) == (f"{schema}/{level}" if schema else "-")


def test_long_paths_are_not_remembered() -> None:
    found = sorted_by(fixed("flowschemas"))
    for i in range(5):
        assert found.flow(user("jane"), path(f"/{i}" + "x" * 100_000)).startswith("global-default")
    assert sum(len(str(key)) for key in found._known) < 1000
    found.flow(user("jane"), path("/short"))
    assert len(found._known) == 1


def schema(name: str, precedence: int, level: str = "l", **rule: Any) -> Json:
    subjects = [{"kind": "Group", "group": {"name": "*"}}]
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {
            "matchingPrecedence": precedence,
            "priorityLevelConfiguration": {"name": level},
            "rules": [{"subjects": subjects, **rule}],
        },
    }


ANY = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}


def test_precedence_then_name() -> None:
    everything: dict[str, Any] = {"resourceRules": [ANY]}
    objects = [
        schema("c", 5, **everything),
        schema("b", 3, **everything),
        schema("z", 3, **everything),
    ]
    assert sorted_by(objects).flow(user("u"), resource("get", "x", namespace="a")) == "b/l"


def test_cluster_scope_is_asked_for_by_name() -> None:
    classifier = sorted_by([schema("a", 1, resourceRules=[ANY])])
    assert classifier.flow(user("u"), resource("list", "pods")) == "-"
    assert classifier.flow(user("u"), resource("list", "pods", namespace="n")) == "a/l"


def test_prefixes_of_paths() -> None:
    rule = {"verbs": ["get"], "nonResourceURLs": ["/apis/*", "/version"]}
    classifier = sorted_by([schema("a", 1, nonResourceRules=[rule])])
    paths = ("/apis/x", "/apis", "/version", "/versions")
    found = [p for p in paths if classifier.flow(user("u"), path(p)) != "-"]
    assert found == ["/apis/x", "/version"]
