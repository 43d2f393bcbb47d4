"""Requests find their flow schema, as the fixed objects of a real server sort them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest

from kapi.flowcontrol.flow_schema import Classifier, Flow
from kapi.messages import RequestInfo, UserInfo

Json = dict[str, Any]


class Objects:
    """A lister over a list."""

    def __init__(self, objects: list[Json]) -> None:
        self.objects = objects
        self.changed = 1

    def list(self, namespace: str = "") -> Sequence[Json]:
        return self.objects


def fixed(resource: str) -> list[Json]:
    data = json.loads((files("kapi") / "data" / "bootstrap-objects.json").read_text())
    found = data[resource]
    objects: list[Json] = found if isinstance(found, list) else found["items"]
    for obj in objects:
        obj["metadata"]["uid"] = f"uid-of-{obj['metadata']['name']}"
    return objects


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(Objects(fixed("flowschemas")), Objects(fixed("prioritylevelconfigurations")))


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
        (user("n", "system:nodes"), resource("patch", "nodes/status"), "system-node-high", None),
        (user("n", "system:nodes"), resource("patch", "nodes/x"), "system-nodes", "system"),
        (UserInfo("nobody"), resource("get", "pods"), None, None),
    ],
)
def test_fixed_schemas(
    classifier: Classifier, who: UserInfo, info: RequestInfo, schema: str | None, level: str | None
) -> None:
    for _ in range(2):  # the second time from memory
        flow = classifier.flow(who, info)
        assert (flow.schema if flow else None) == schema
        if flow is not None and level is not None:
            assert flow == Flow(schema or "", f"uid-of-{schema}", level, f"uid-of-{level}")


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
LEVELS = Objects([{"metadata": {"name": "l", "uid": "l"}}])


def test_precedence_then_name_and_no_dangling_schema() -> None:
    everything: dict[str, Any] = {"resourceRules": [ANY]}
    objects = [
        schema("c", 5, **everything),
        schema("b", 3, **everything),
        schema("a", 3, "absent", **everything),
        schema("z", 3, **everything),
    ]
    flow = Classifier(Objects(objects), LEVELS).flow(user("u"), resource("get", "x", namespace="a"))
    assert flow is not None
    assert flow.schema == "b"


def test_cluster_scope_is_asked_for_by_name() -> None:
    schemas = Objects([schema("a", 1, resourceRules=[ANY])])
    classifier = Classifier(schemas, LEVELS)
    assert classifier.flow(user("u"), resource("list", "pods")) is None
    assert classifier.flow(user("u"), resource("list", "pods", namespace="n")) is not None


def test_prefixes_of_paths() -> None:
    rule = {"verbs": ["get"], "nonResourceURLs": ["/apis/*", "/version"]}
    classifier = Classifier(Objects([schema("a", 1, nonResourceRules=[rule])]), LEVELS)
    found = [p for p in ("/apis/x", "/apis", "/version", "/versions") if classifier.flow(
        user("u"), path(p))]  # fmt: skip
    assert found == ["/apis/x", "/version"]


def test_changes_are_seen() -> None:
    schemas = Objects([])
    classifier = Classifier(schemas, LEVELS)
    info = resource("list", "pods", namespace="n")
    assert classifier.flow(user("u"), info) is None
    schemas.objects = [schema("a", 1, resourceRules=[ANY])]
    assert classifier.flow(user("u"), info) is None
    schemas.changed = 2
    assert classifier.flow(user("u"), info) is not None
