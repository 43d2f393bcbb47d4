"""Autoscalers: defaults, findings, cells, and v1 ↔ v2 without loss."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kind_bench import cells, changed, defaulted, findings, kind, made

from kapi.registry.names import DNS_LABEL_MESSAGE

Json = dict[str, Any]
NAME = "horizontalpodautoscalers.autoscaling"
PREFIX = "autoscaling.alpha.kubernetes.io/"
TARGET: Json = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
CPU: Json = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


def scaler(**spec: Any) -> Json:
    return {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec}}


def found(**spec: Any) -> list[str]:
    return findings(NAME, scaler(**spec))


class TestDefaults:
    def test_v2(self) -> None:
        spec = defaulted(NAME, scaler())["spec"]
        assert (spec["minReplicas"], spec["metrics"]) == (1, [CPU])
        assert "behavior" not in spec

    def test_behavior(self) -> None:
        given = {"scaleDown": {"stabilizationWindowSeconds": 60}}
        behavior = defaulted(NAME, scaler(behavior=given))["spec"]["behavior"]
        assert behavior["scaleUp"] == {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        }
        assert behavior["scaleDown"] == {
            "stabilizationWindowSeconds": 60,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        }

    def test_v1(self) -> None:
        spec = defaulted(NAME, scaler(), "v1")["spec"]
        assert spec["targetCPUUtilizationPercentage"] == 80
        assert made(NAME, scaler(), version="v1")["spec"]["metrics"] == [CPU]


def test_a_usual_autoscaler_is_right() -> None:
    pods = {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    external = {"metric": {"name": "q"}, "target": {"type": "Value", "value": "3"}}
    metrics = [CPU, {"type": "Pods", "pods": pods}, {"type": "External", "external": external}]
    assert found(minReplicas=2, metrics=metrics, behavior={"scaleUp": {}}) == []


QUEUE: Json = {
    "type": "External",
    "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "3"}},
}
CONTROLLER = "ReplicationController"
OF_CONTAINER = "spec.metrics[0].containerResource"


def described(version: str, **target: str) -> Json:
    """A metric of an object of a version."""
    about = {"kind": "Ingress", "name": "a", "apiVersion": version}
    source = {"describedObject": about, "metric": {"name": "hits"}, "target": {"type": "Value"}}
    return {"type": "Object", "object": {**source, "target": {"type": "Value", **target}}}


def of_container(name: str, container: str) -> Json:
    target = {"type": "Utilization", "averageUtilization": 5}
    source = {"name": name, "container": container, "target": target}
    return {"type": "ContainerResource", "containerResource": source}


LIMIT = "spec.maxReplicas: Invalid value: {}: must be greater than or equal to `minReplicas`"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"maxReplicas": 0}, [LIMIT.format(0), "spec.maxReplicas: Required value"]),
        (
            {"maxReplicas": -1},
            [
                LIMIT.format(-1),
                "spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1",
            ],
        ),
        (
            {"minReplicas": 0},
            [
                "spec.metrics: Forbidden: must specify at least one Object or External metric to "
                "support scaling to zero replicas"
            ],
        ),
        ({"minReplicas": 0, "metrics": [QUEUE]}, []),
        (
            {"minReplicas": -1, "maxReplicas": -2},
            [
                LIMIT.format(-2),
                "spec.minReplicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.maxReplicas: Invalid value: -2: must be greater than or equal to 1",
            ],
        ),
        *[
            ({"scaleTargetRef": {"kind": k, "name": "a", "apiVersion": v}}, [])
            for k, v in ((CONTROLLER, "v1"), (CONTROLLER, ""), ("X", "a/v1"))
        ],
        *[
            (
                {"scaleTargetRef": {"kind": "X", "name": "a", "apiVersion": v}},
                [f'spec.scaleTargetRef.apiVersion: Invalid value: "{v}": {text}'],
            )
            for v, text in (
                ("v1", "apiVersion must specify API group"),
                ("/", "apiVersion must specify API group"),
                ("/v1", "apiVersion must specify API group"),
                ("a/b/c", "unexpected GroupVersion string: a/b/c"),
            )
        ],
        ({"metrics": [described("v1", value="1")]}, []),
        ({"metrics": [described("", value="1", averageValue="2")]}, []),
        (
            {"metrics": [described("a/b/c")]},
            [
                "spec.metrics[0].object.describedObject.apiVersion: Invalid value: "
                '"a/b/c": unexpected GroupVersion string: a/b/c',
                "spec.metrics[0].object.target.averageValue: Required value: must set either a "
                "target value or averageValue",
            ],
        ),
        (
            {"metrics": [of_container("odd", "A")]},
            [
                f'{OF_CONTAINER}.name: Invalid value: "odd": must be a standard resource type or '
                "fully qualified",
                f'{OF_CONTAINER}.name: Invalid value: "odd": must be a standard resource for '
                "containers",
                f'{OF_CONTAINER}.container: Invalid value: "A": {DNS_LABEL_MESSAGE}',
            ],
        ),
        (
            {"metrics": [of_container("x.io/gpu", "")]},
            [f"{OF_CONTAINER}.container: Required value: must specify a container"],
        ),
        (
            {"scaleTargetRef": {}},
            [
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Required value",
                'spec.scaleTargetRef.apiVersion: Invalid value: "": apiVersion must specify API '
                "group",
            ],
        ),
        (
            {"metrics": [{}]},
            [
                "spec.metrics[0].type: Required value: must specify a metric source type",
                'spec.metrics[0].type: Unsupported value: "": supported values: '
                '"ContainerResource", "External", "Object", "Pods", "Resource"',
            ],
        ),
        (
            {"metrics": [{"type": "External", "external": {}}]},
            [
                "spec.metrics[0].external.metric.name: Required value: must specify a metric name",
                "spec.metrics[0].external.target.type: Required value: must specify a metric "
                "target type",
                'spec.metrics[0].external.target.type: Invalid value: "": must be either '
                "Utilization, Value, or AverageValue",
                "spec.metrics[0].external.target.averageValue: Required value: must set either a "
                "target value for metric or a per-pod target",
            ],
        ),
        (
            {"metrics": [{"type": "Pods", "resource": CPU["resource"]}]},
            [
                "spec.metrics[0].pods: Required value: must populate information for the given "
                "metric source"
            ],
        ),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Odd", "value": 0}],
                                      "selectPolicy": "Odd", "stabilizationWindowSeconds": 3601}}},
            [
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be "
                "less than or equal to 3600",
                'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Odd": supported values: '
                '"Disabled", "Max", "Min"',
                'spec.behavior.scaleUp.policies[0].type: Unsupported value: "Odd": supported '
                'values: "Percent", "Pods"',
                "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than "
                "zero",
                "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 0: must be "
                "greater than zero",
            ],
        ),
    ],
)  # fmt: skip
def test_findings(spec: Json, expected: list[str]) -> None:
    assert found(**spec) == expected


def test_an_accepted_target_is_not_looked_at_again() -> None:
    plain = {**TARGET, "apiVersion": ""}
    assert changed(NAME, scaler(scaleTargetRef=plain), scaler(scaleTargetRef=plain)) == []
    other = {**plain, "kind": "Other"}
    (text,) = changed(NAME, scaler(scaleTargetRef=plain), scaler(scaleTargetRef=other))
    assert text.endswith("apiVersion must specify API group")
    wrong = scaler(metrics=[described("a/b/c", value="1")])
    assert changed(NAME, wrong, wrong) == []


def v1(stored: Json) -> Json:
    convert = kind(NAME).versions["v1"].from_stored
    assert convert is not None
    return convert(stored)


def v2(obj: Json) -> Json:
    convert = kind(NAME).versions["v1"].to_stored
    assert convert is not None
    return convert(obj)


class TestConversion:
    def test_only_cpu_needs_no_annotation(self) -> None:
        out = v1(made(NAME, scaler()))
        assert out["apiVersion"] == "autoscaling/v1"
        assert out["spec"]["targetCPUUtilizationPercentage"] == 80
        assert "annotations" not in out["metadata"]

    def test_the_rest_stands_in_annotations(self) -> None:
        memory = {
            "type": "Resource",
            "resource": {
                "name": "memory",
                "target": {"type": "AverageValue", "averageValue": "1Gi"},
            },
        }
        out = v1(made(NAME, scaler(metrics=[memory], behavior={"scaleUp": {}})))
        annotations = out["metadata"]["annotations"]
        assert annotations[PREFIX + "metrics"] == (
            '[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]'
        )
        behavior = orjson.loads(annotations[PREFIX + "behavior"])
        assert behavior["ScaleUp"]["Policies"][0] == {
            "Type": "Pods",
            "Value": 4,
            "PeriodSeconds": 15,
        }
        assert "targetCPUUtilizationPercentage" not in out["spec"]

    def test_the_annotations_exist_in_v1_only(self) -> None:
        stored = made(NAME, scaler(behavior={"scaleUp": {}}))
        assert "annotations" not in v2(v1(stored))["metadata"]

    def test_v1_has_room_for_one_utilization_of_cpu(self) -> None:
        def cpu(percent: int) -> Json:
            target = {"type": "Utilization", "averageUtilization": percent}
            return {"type": "Resource", "resource": {"name": "cpu", "target": target}}

        raw = {"type": "AverageValue", "averageValue": "1"}
        of_value = {"type": "Resource", "resource": {"name": "cpu", "target": raw}}

        def again(*metrics: Json) -> Any:
            return v2(v1(made(NAME, scaler(metrics=list(metrics)))))["spec"]["metrics"]

        assert again(cpu(50), QUEUE) == [QUEUE, cpu(50)]  # it comes back behind the others
        assert again(cpu(50), QUEUE, cpu(60)) == [QUEUE, cpu(50)]
        assert again(of_value, cpu(60)) == [of_value]

    def test_status(self) -> None:
        stored = made(NAME, scaler())
        stored["status"] = {
            "currentReplicas": 2,
            "desiredReplicas": 3,
            "currentMetrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "current": {"averageUtilization": 60}},
                }
            ],
            "conditions": [{"type": "AbleToScale", "status": "True"}],
        }
        out = v1(stored)
        assert out["status"]["currentCPUUtilizationPercentage"] == 60
        assert set(out["metadata"]["annotations"]) == {
            PREFIX + "conditions",
            PREFIX + "current-metrics",
        }
        back = v2(out)["status"]
        assert back["desiredReplicas"] == 3
        assert back["currentMetrics"][0]["resource"]["current"]["averageUtilization"] == 60
        assert back["conditions"][0]["type"] == "AbleToScale"

    @pytest.mark.parametrize(
        ("annotation", "text"),
        [
            ("metrics", "nope"),
            ("metrics", "{}"),
            ("metrics", "[7]"),
            ("metrics", '[{"type":{}}]'),
            ("metrics", '[{"type":"Pods","pods":{"metricName":7}}]'),
            ("metrics", '[{"type":"Pods","pods":{"targetAverageValue":{"x":1}}}]'),
            ("metrics", '[{"type":"Pods","pods":{"targetAverageValue":"much"}}]'),
            ("behavior", '{"ScaleUp":7}'),
            ("behavior", '{"ScaleUp":{"Policies":[7]}}'),
            ("behavior", '{"ScaleUp":{"StabilizationWindowSeconds":"x"}}'),
            ("behavior", '{"ScaleUp":{"SelectPolicy":[]}}'),
            ("conditions", '[{"type":7}]'),
            ("current-metrics", '[{"type":"Resource","resource":{"name":7}}]'),
        ],
    )
    def test_what_does_not_decode_is_as_if_absent(self, annotation: str, text: str) -> None:
        meta = {"name": "a", "annotations": {PREFIX + annotation: text}}
        given = {**scaler(targetCPUUtilizationPercentage=80), "metadata": meta}
        stored = made(NAME, given, version="v1")
        assert stored["spec"] == made(NAME, scaler())["spec"]
        assert findings(NAME, given, version="v1") == []

    def test_a_behavior_in_any_case(self) -> None:
        policies = '[{"type":"Pods","Value":2,"periodSeconds":9}]'
        text = f'{{"scaleUp":{{"selectpolicy":"Min","POLICIES":{policies}}}}}'
        meta = {"name": "a", "annotations": {PREFIX + "behavior": text}}
        behavior = made(NAME, {**scaler(), "metadata": meta}, version="v1")["spec"]["behavior"]
        assert behavior["scaleUp"]["selectPolicy"] == "Min"
        assert behavior["scaleUp"]["policies"] == [{"type": "Pods", "value": 2, "periodSeconds": 9}]


AMOUNT = st.sampled_from(["1", "500m", "3Gi", "10"])
SELECTOR = st.sampled_from([None, {"matchLabels": {"a": "b"}}])


@st.composite
def metrics(draw: st.DrawFn) -> Json:
    which = draw(st.sampled_from(["Resource", "ContainerResource", "Pods", "External", "Object"]))
    average: Json = {"type": "AverageValue", "averageValue": draw(AMOUNT)}
    value: Json = {"type": "Value", "value": draw(AMOUNT)}
    usage: Json = {"type": "Utilization", "averageUtilization": draw(st.integers(1, 200))}
    if which in ("Resource", "ContainerResource"):
        name = draw(st.sampled_from(["memory", "example.com/gpu"]))
        source: Json = {"name": name, "target": draw(st.sampled_from([average, usage]))}
        if which == "ContainerResource":
            source["container"] = "main"
    else:
        metric: Json = {"name": "m"}
        selector = draw(SELECTOR)
        if selector:
            metric["selector"] = selector
        target = average if which == "Pods" else draw(st.sampled_from([average, value]))
        source = {"metric": metric, "target": target}
        if which == "Object":
            source["describedObject"] = {**TARGET}
    return {"type": which, which[0].lower() + which[1:]: source}


@given(st.lists(metrics(), min_size=1, max_size=3), st.booleans())
@settings(derandomize=True, max_examples=80, deadline=None)
def test_nothing_is_lost_on_the_way(several: list[Json], cpu: bool) -> None:
    stored = made(NAME, scaler(metrics=[*several, CPU] if cpu else several))
    before = copy.deepcopy(stored)
    if not cpu:
        annotated = v1(stored)
        assert "targetCPUUtilizationPercentage" not in annotated["spec"]
    back = v2(v1(stored))
    assert stored == before
    assert back["spec"] == stored["spec"]
    assert back["metadata"] == stored["metadata"]


class TestCells:
    def targets(self, *several: Json, **status: Any) -> str:
        obj = made(NAME, scaler(metrics=list(several)))
        obj["status"] = status
        shown: str = cells(NAME, obj)["Targets"]
        return shown

    def test_cpu(self) -> None:
        assert self.targets(CPU) == "cpu: <unknown>/80%"
        current = {
            "type": "Resource",
            "resource": {"name": "cpu", "current": {"averageUtilization": 7}},
        }
        assert self.targets(CPU, currentMetrics=[current]) == "cpu: 7%/80%"

    def test_others(self) -> None:
        average = {"type": "AverageValue", "averageValue": "10"}
        metric = {"name": "q"}
        pods = {"type": "Pods", "pods": {"metric": metric, "target": average}}
        external = {"type": "External", "external": {"metric": metric, "target": average}}
        assert self.targets(pods) == "<unknown>/10"
        assert self.targets(external) == "<unknown>/10 (avg)"
        assert self.targets(CPU, pods, external) == ("cpu: <unknown>/80%, <unknown>/10 + 1 more...")

    def test_the_rest(self) -> None:
        shown = cells(NAME, made(NAME, scaler(minReplicas=2)))
        assert shown["Reference"] == "Deployment/d"
        assert (shown["MinPods"], shown["MaxPods"], shown["Replicas"]) == ("2", 5, 0)
