"""Values in messages as the Go structs of the real server print."""

from __future__ import annotations

from typing import Any

from kapi.kinds.shared import go_view

CORE = "io.k8s.api.core.v1."
Json = dict[str, Any]


def test_a_struct_shows_every_field_under_its_go_name() -> None:
    shown = go_view.struct("io.k8s.api.apps.v1.StatefulSetUpdateStrategy", {"type": "Odd"})
    assert shown == '{"Type":"Odd","RollingUpdate":null}'
    strategy = {"type": "Odd", "rollingUpdate": {"partition": 1}}
    assert go_view.struct("io.k8s.api.apps.v1.StatefulSetUpdateStrategy", strategy) == (
        '{"Type":"Odd","RollingUpdate":{"Partition":1,"MaxUnavailable":null}}'
    )


def test_an_absent_struct_is_null() -> None:
    assert go_view.struct("io.k8s.api.batch.v1.PodFailurePolicy", None) == "null"


def test_text_is_safe_inside_html() -> None:
    shown = go_view.struct(CORE + "EnvVar", {"name": "A", "value": "<a & b>"})
    assert shown == '{"Name":"A","Value":"\\u003ca \\u0026 b\\u003e","ValueFrom":null}'


def test_names_that_go_spells_in_its_own_way() -> None:
    assert go_view.go_name(CORE + "PodSpec", "dnsPolicy") == "DNSPolicy"
    assert go_view.go_name(CORE + "PodSpec", "hostPID") == "HostPID"
    assert go_view.go_name(CORE + "PodSpec", "serviceAccount") == "DeprecatedServiceAccount"
    assert go_view.go_name(CORE + "RBDVolumeSource", "pool") == "RBDPool"
    assert go_view.go_name(CORE + "Container", "image") == "Image"


def test_maps_are_sorted_and_lists_keep_their_order() -> None:
    limits: Json = {"limits": {"memory": "1Gi", "cpu": "2"}}
    assert go_view.view(CORE + "ResourceRequirements", limits) == {
        "Limits": {"cpu": "2", "memory": "1Gi"},
        "Requests": None,
        "Claims": None,
    }
    assert list(go_view.view(CORE + "ResourceRequirements", limits)["Limits"]) == ["cpu", "memory"]


def test_a_diff_shows_three_lines_around_a_change() -> None:
    old = {"name": "A", "value": "1"}
    new = {"name": "A", "value": "2"}
    assert go_view.diff(CORE + "EnvVar", old, new) == (
        "@@ -1,5 +1,5 @@\n"
        " {\n"
        '  "Name": "A",\n'
        '- "Value": "1",\n'
        '+ "Value": "2",\n'
        '  "ValueFrom": null\n'
        " }\n"
    )


def test_no_difference_no_text() -> None:
    assert go_view.diff(CORE + "EnvVar", {"name": "A"}, {"name": "A", "value": ""}) == ""
