"""Metadata of every object: what is found, in which words and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.registry import names, object_meta

Json = dict[str, Any]

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
UNKNOWN_FINALIZER = "name is neither a standard finalizer name nor is it fully qualified"
OWNER: Json = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u-1"}


def created(namespaced: bool = True, standard: bool = True, **meta: Any) -> list[str]:
    given = {"name": "a", **({"namespace": "default"} if namespaced else {}), **meta}
    out = object_meta.validate_create(
        given, namespaced=namespaced, name_rule=names.dns_subdomain, standard_finalizers=standard
    )
    return [str(f) for f in out]


def updated(new: Json, old: Json) -> list[str]:
    base = {"name": "a", "namespace": "default", "uid": "u-1"}
    found = object_meta.validate_update({**base, **new}, {**base, **old}, "metadata")
    return [str(f) for f in found]


def test_usual_metadata_is_right() -> None:
    assert created() == []
    assert created(namespaced=False) == []
    assert created(
        generateName="web-",
        labels={"app.kubernetes.io/name": "web", "empty": ""},
        annotations={"Example.Com/Note": "any text <&> \n"},
        finalizers=["example.com/held", "orphan"],
        ownerReferences=[{**OWNER, "controller": True}, {**OWNER, "apiVersion": "v1"}],
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"name": ""}, ["metadata.name: Required value: name or generateName is required"]),
        ({"name": "Upper_Case"}, [f'metadata.name: Invalid value: "Upper_Case": {SUBDOMAIN}']),
        (
            {"name": "x" * 254},
            [f'metadata.name: Invalid value: "{"x" * 254}": must be no more than 253 characters'],
        ),
        ({"generateName": "A-"}, [f'metadata.generateName: Invalid value: "A-": {SUBDOMAIN}']),
        ({"namespace": ""}, ["metadata.namespace: Required value"]),
        (
            {"generation": -1},
            ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"labels": {"bad key!": "x"}},
            [f'metadata.labels: Invalid value: "bad key!": {NAME_PART}'],
        ),
        (
            {"labels": {"a": "no spaces here", "b": "no spaces here"}},
            [f'metadata.labels: Invalid value: "no spaces here": {LABEL_VALUE}'],
        ),
        (
            {"annotations": {"/": "x"}},
            [
                'metadata.annotations: Invalid value: "/": prefix part must be non-empty',
                'metadata.annotations: Invalid value: "/": name part must be non-empty',
                f'metadata.annotations: Invalid value: "/": {NAME_PART}',
            ],
        ),
        (
            {"finalizers": ["nodomain"]},
            [f'metadata.finalizers[0]: Invalid value: "nodomain": {UNKNOWN_FINALIZER}'],
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer '
                "orphan and foregroundDeletion cannot be both set"
            ],
        ),
    ],
)
def test_findings_on_create(meta: Json, expected: list[str]) -> None:
    assert created(**meta) == expected


def test_kinds_without_namespaces_refuse_one() -> None:
    assert created(namespaced=False, namespace="x") == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_findings_come_in_the_order_of_the_real_server() -> None:
    found = created(
        generateName="A-", name="B", namespace="C", generation=-1, labels={"!": "x"},
        annotations={"!": "x"}, ownerReferences=[{}], finalizers=["bad name"],
        managedFields=[{"operation": "Steal"}],
    )  # fmt: skip
    fields = list(dict.fromkeys(f.split(": ")[0] for f in found))
    assert fields == [
        "metadata.generateName",
        "metadata.name",
        "metadata.namespace",
        "metadata.generation",
        "metadata.labels",
        "metadata.annotations",
        "metadata.ownerReferences[0].apiVersion",
        "metadata.ownerReferences[0].kind",
        "metadata.ownerReferences[0].name",
        "metadata.ownerReferences[0].uid",
        "metadata.finalizers[0]",
        "metadata.managedFields[0].operation",
    ]
    assert found[-1].endswith(UNKNOWN_FINALIZER)


def test_finalizers_of_a_kind_that_knows_its_own() -> None:
    assert created(standard=False, finalizers=["nodomain"]) == []
    assert created(standard=False, finalizers=["no domain"]) == [
        f'metadata.finalizers[0]: Invalid value: "no domain": {NAME_PART}'
    ]


def test_annotations_are_counted_in_bytes() -> None:
    limit = 262144
    assert created(annotations={"k": "x" * (limit - 1)}) == []
    too_long = ["metadata.annotations: Too long: may not be more than 262144 bytes"]
    assert created(annotations={"k": "x" * limit}) == too_long
    assert created(annotations={"k": "é" * (limit // 2)}) == too_long  # two bytes each


class TestOwners:
    def test_all_parts_are_required(self) -> None:
        assert created(ownerReferences=[{"apiVersion": "v1", "kind": "Pod"}]) == [
            "metadata.ownerReferences[0].name: Required value: must not be empty",
            "metadata.ownerReferences[0].uid: Required value: must not be empty",
        ]

    def test_a_version_is_required(self) -> None:
        assert created(ownerReferences=[{**OWNER, "apiVersion": "apps/"}]) == [
            'metadata.ownerReferences[0].apiVersion: Invalid value: "apps/": version must not be '
            "empty"
        ]

    def test_there_is_one_controller(self) -> None:
        owners = [{**OWNER, "controller": True}, {**OWNER, "name": "b", "controller": True}]
        (found,) = created(ownerReferences=owners)
        assert found.startswith("metadata.ownerReferences: Invalid value: [")
        assert found.endswith(
            'Only one reference can have Controller set to true. Found "true" in references for '
            "ReplicaSet/web and ReplicaSet/b"
        )

    def test_events_own_nothing(self) -> None:
        (found,) = created(ownerReferences=[{**OWNER, "apiVersion": "v1", "kind": "Event"}])
        assert found.endswith("/v1, Kind=Event is disallowed from being an owner")
        assert created(
            ownerReferences=[{**OWNER, "apiVersion": "events.k8s.io/v1", "kind": "Event"}]
        ) == []  # fmt: skip


class TestUpdate:
    @pytest.mark.parametrize(
        ("field", "value", "shown"),
        [
            ("name", "b", '"b"'),
            ("namespace", "other", '"other"'),
            ("uid", "u-2", '"u-2"'),
            ("creationTimestamp", "2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"'),
            ("deletionTimestamp", "2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"'),
            ("deletionGracePeriodSeconds", 30, "30"),
        ],
    )
    def test_what_never_changes(self, field: str, value: Any, shown: str) -> None:
        assert updated({field: value}, {}) == [
            f"metadata.{field}: Invalid value: {shown}: field is immutable"
        ]

    def test_a_time_taken_away_shows_as_null(self) -> None:
        old = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
        assert updated({}, old) == [
            "metadata.deletionTimestamp: Invalid value: null: field is immutable"
        ]

    def test_generations_grow(self) -> None:
        assert updated({"generation": 2}, {"generation": 1}) == []
        assert updated({"generation": 1}, {"generation": 2}) == [
            "metadata.generation: Invalid value: 1: must not be decremented"
        ]

    def test_a_deleted_object_gets_no_new_finalizers(self) -> None:
        gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
        old = {**gone, "finalizers": ["a.b/old"]}
        assert updated({**gone, "finalizers": ["a.b/old"]}, old) == []
        assert updated({**gone, "finalizers": ["a.b/old", "a.b/z", "a.b/c"]}, old) == [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is "
            'being deleted, found new finalizers []string{"a.b/c", "a.b/z"}'
        ]

    def test_labels_and_finalizers_are_looked_at(self) -> None:
        assert updated({"labels": {"a": "!"}, "finalizers": ["x"]}, {}) == [
            f'metadata.labels: Invalid value: "!": {LABEL_VALUE}',
            f'metadata.finalizers[0]: Invalid value: "x": {UNKNOWN_FINALIZER}',
        ]


class TestManagedFields:
    def found(self, **entry: Any) -> list[str]:
        return [str(f) for f in object_meta.validate_managed_fields([entry], "m")]

    def test_usual_entries(self) -> None:
        assert self.found(operation="Apply", fieldsType="FieldsV1", manager="kubectl") == []
        assert self.found(operation="Update") == []

    def test_findings(self) -> None:
        assert self.found(
            operation="Steal", fieldsType="FieldsV2", manager="a\nb", subresource="x" * 257
        ) == [
            'm[0].operation: Invalid value: "Steal": must be `Apply` or `Update`',
            'm[0].fieldsType: Invalid value: "FieldsV2": must be `FieldsV1`',
            'm[0].manager: Invalid value: "a\\nb": invalid character U+000A (at position 1)',
            "m[0].subresource: Too long: may not be more than 256 bytes",
        ]

    def test_positions_of_a_manager_are_bytes(self) -> None:
        (found,) = object_meta.validate_field_manager("é\t", "f")
        assert str(found).endswith("invalid character U+0009 (at position 2)")

    def test_a_manager_has_128_bytes(self) -> None:
        assert object_meta.validate_field_manager("x" * 128, "f") == []
        (found,) = object_meta.validate_field_manager("x" * 129, "f")
        assert str(found) == "f: Too long: may not be more than 128 bytes"
