"""ReplicationControllers: the order of findings, and selectors that no version can tell."""

from __future__ import annotations

from typing import Any

from kind_bench import LABELS, changed, findings, template

Json = dict[str, Any]


def controller(annotations: Json | None = None, **spec: Any) -> Json:
    head = {"name": "a", "annotations": annotations or {}}
    return {"metadata": head, "spec": {"selector": LABELS, "template": template(), **spec}}


def test_negative_counts_come_last() -> None:
    bad = controller(replicas=-1, minReadySeconds=-1, template=template(restartPolicy="Never"))
    negative = "Invalid value: -1: must be greater than or equal to 0"
    assert findings("replicationcontrollers", bad) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        f"spec.replicas: {negative}",
        f"spec.minReadySeconds: {negative}",
    ]


def test_what_no_version_can_tell() -> None:
    prefix = "non-convertible.kubernetes.io/"
    more: Json = {"metadata": {"labels": {**LABELS, "a": "b"}}}
    other = {"selector": {"a": "b"}, "template": {**template(), **more}}
    odd = {"example.com/selector": "", prefix + "a/selector": "", prefix + "other": "x"}
    unknown = 'other: Not found: "x": unknown non-convertible field'
    for notes, spec, expected in (
        ({prefix + "selector": ""}, {}, []),
        (
            {prefix + "selector": ""},
            other,
            ['spec.selector: Invalid value: {"a":"b"}: cannot update non-convertible selector'],
        ),
        (odd, other, [unknown]),
    ):
        before, after = controller(notes), controller(notes, **spec)
        assert changed("replicationcontrollers", before, after) == expected
