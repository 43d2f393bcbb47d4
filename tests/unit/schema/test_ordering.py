"""Fields in struct order, at every depth, with nothing lost."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kind_bench import kind

from kapi.schema.ordering import Orders
from kapi.schema.structural import Schema

Json = dict[str, Any]


def pod_schema() -> Schema:
    return kind("pods").stored_schema()


def test_struct_order_at_every_depth() -> None:
    pod: Json = {
        "status": {"qosClass": "BestEffort", "phase": "Pending"},
        "spec": {
            "restartPolicy": "Always",
            "containers": [{"resources": {}, "image": "i", "name": "c"}],
            "volumes": [{"emptyDir": {}, "name": "v"}],
        },
        "metadata": {"uid": "u", "labels": {"z": "1", "a": "2"}, "name": "p"},
    }
    Orders().arrange(pod_schema(), pod)
    assert list(pod) == ["metadata", "spec", "status"]
    assert list(pod["metadata"]) == ["name", "uid", "labels"]
    assert list(pod["metadata"]["labels"]) == ["a", "z"]
    assert list(pod["spec"]) == ["volumes", "containers", "restartPolicy"]
    assert list(pod["spec"]["containers"][0]) == ["name", "image", "resources"]
    assert list(pod["spec"]["volumes"][0]) == ["name", "emptyDir"]
    assert list(pod["status"]) == ["phase", "qosClass"]


def test_an_ordered_object_stays_the_same_object() -> None:
    inner = {"name": "c", "image": "i"}
    pod: Json = {"metadata": {"name": "p"}, "spec": {"containers": [inner]}}
    Orders().arrange(pod_schema(), pod)
    assert pod["spec"]["containers"][0] is inner


def test_recursive_types_compile() -> None:
    schema = kind("customresourcedefinitions.apiextensions.k8s.io").stored_schema()
    leaf: Json = {"type": "string", "description": "d"}
    node: Json = {"properties": {"a": leaf}, "description": "d"}
    version = {"schema": {"openAPIV3Schema": node}, "name": "v1"}
    crd: Json = {"spec": {"versions": [version]}, "metadata": {"name": "x"}}
    Orders().arrange(schema, crd)
    assert list(leaf) == ["description", "type"]
    assert list(node) == ["description", "properties"]
    assert list(version) == ["name", "schema"]


NAMES = st.sampled_from(["name", "image", "args", "ports", "env", "strange", "resources"])


@given(st.lists(NAMES, unique=True))
@settings(derandomize=True, max_examples=60)
def test_nothing_is_lost(fields: list[str]) -> None:
    pod: Json = {"spec": {"containers": [{n: [] for n in fields}]}}
    before = copy.deepcopy(pod)
    Orders().arrange(pod_schema(), pod)
    assert pod == before
    known = [n for n in pod["spec"]["containers"][0] if n != "strange"]
    order = ("name", "image", "args", "ports", "env", "resources")
    assert known == [n for n in order if n in fields]


def test_keys_of_maps_are_sorted() -> None:
    obj = {
        "metadata": {"labels": {"b": "1", "a": "2"}, "name": "x"},
        "spec": {"nodeSelector": {"z": "", "é": "", "Z": ""}, "containers": []},
    }
    Orders().arrange(pod_schema(), obj)
    assert list(obj["metadata"]) == ["name", "labels"]
    assert list(obj["metadata"]["labels"]) == ["a", "b"]
    assert list(obj["spec"]["nodeSelector"]) == ["Z", "z", "é"]
