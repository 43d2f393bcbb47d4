"""Server-side apply through stories: configurations by managers, then the object and its owners."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stories import CONFIG_MAP, POD, SERVICE, Json, Story, not_served

from kapi.errors import ApiError
from kapi.managedfields.apply import LAST_APPLIED, Apply, applied
from kapi.managedfields.fieldset import FieldSet
from kapi.managedfields.manager import FieldManager
from kapi.schema.decoding import Decoders
from kapi.schema.structural import Schema

# -- the first apply ----------------------------------------------------------------------------


def test_an_applier_owns_what_it_names() -> None:
    story = Story()
    obj = story.apply("alice", {"data": {"a": "1"}})
    assert obj["data"] == {"a": "1"}
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "alice",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:01Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
    ]


def test_an_object_without_owners_first_belongs_to_before_first_apply() -> None:
    story = Story()
    story.keep(story.body({"data": {"a": "1", "b": "1"}}, {}), [])
    error = story.refused("alice", {"data": {"a": "2"}})
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a'
    )
    story.apply("alice", {"data": {"a": "1"}})
    assert story.owners == {
        ("alice", "Apply"): {"f:data": {"f:a": {}}},
        ("before-first-apply", "Update"): {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
    }


# -- sharing and conflict -----------------------------------------------------------------------


def test_the_same_value_is_shared_and_has_no_time_while_nothing_changed() -> None:
    story = Story()
    story.update("maker", {"data": {"a": "1", "b": "2"}})
    before = story.live
    assert before is not None
    obj = story.apply("alice", {"data": {"a": "1"}})
    assert obj["data"] == before["data"]
    assert story.owners == {
        ("alice", "Apply"): {"f:data": {"f:a": {}}},
        ("maker", "Update"): {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
    }
    assert "time" not in story.entry("alice")


def test_another_value_is_a_conflict_unless_forced() -> None:
    story = Story()
    story.update("maker", {"data": {"a": "1", "b": "2"}})
    error = story.refused("alice", {"data": {"a": "2"}})
    assert error.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "maker" using v1: .data.a',
        "reason": "Conflict",
        "details": {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "maker" using v1',
                    "field": ".data.a",
                }
            ]
        },
        "code": 409,
    }
    assert story.apply("alice", {"data": {"a": "2"}}, force=True)["data"] == {"a": "2", "b": "2"}
    assert story.owners == {
        ("alice", "Apply"): {"f:data": {"f:a": {}}},
        ("maker", "Update"): {"f:data": {".": {}, "f:b": {}}},
    }


def test_several_conflicts_are_listed_by_manager() -> None:
    story = Story(SERVICE, "Service")
    story.apply("bob", {"spec": {"selector": {"a": "b"}, "externalName": "x"}})
    story.apply("alice", {"spec": {"selector": {"a": "b"}}})
    error = story.refused("carol", {"spec": {"selector": {"c": "d"}, "externalName": "y"}})
    assert error.message == (
        'Apply failed with 3 conflicts: conflicts with "alice":\n- .spec.selector\n'
        'conflicts with "bob":\n- .spec.externalName\n- .spec.selector'
    )
    assert [c["message"] for c in (error.details or {})["causes"]] == [
        'conflict with "alice"', 'conflict with "bob"', 'conflict with "bob"',
    ]  # fmt: skip


def test_a_conflict_with_a_subresource_says_so() -> None:
    story = Story(POD, "Pod")
    story.apply("kubelet", {"status": {"phase": "Running"}}, subresource="status")
    error = story.refused("alice", {"status": {"phase": "Failed"}})
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "kubelet" with subresource "status": '
        ".status.phase"
    )


# -- what is no longer applied ------------------------------------------------------------------


def test_a_field_no_longer_named_goes() -> None:
    story = Story()
    story.apply("alice", {"data": {"a": "1", "b": "2"}})
    assert story.apply("alice", {"data": {"b": "2"}})["data"] == {"b": "2"}
    obj = story.apply("alice", {})
    assert "data" not in obj
    assert story.owners == {}


def test_a_field_that_another_owns_stays() -> None:
    story = Story()
    story.apply("alice", {"data": {"a": "1", "b": "2"}})
    story.apply("bob", {"data": {"a": "1"}})
    assert story.apply("alice", {"data": {"b": "2"}})["data"] == {"a": "1", "b": "2"}
    story.update("carol", {"data": {"a": "1", "b": "3"}})
    assert story.apply("alice", {})["data"] == {"a": "1", "b": "3"}
    assert list(story.owners) == [("bob", "Apply"), ("carol", "Update")]


def test_a_list_item_goes_with_the_last_who_named_it() -> None:
    story = Story(SERVICE, "Service")
    port: Json = {"port": 80, "protocol": "TCP", "name": "a"}
    story.apply("alice", {"spec": {"ports": [port]}})
    story.apply("bob", {"spec": {"ports": [{"port": 80, "protocol": "UDP", "name": "b"}]}})
    obj = story.apply("alice", {"spec": {"ports": [{**port, "port": 81}]}})
    assert [(p["port"], p["protocol"]) for p in obj["spec"]["ports"]] == [
        (80, "UDP"), (81, "TCP"),
    ]  # fmt: skip
    assert story.owners[("alice", "Apply")] == {
        "f:spec": {
            "f:ports": {
                'k:{"port":81,"protocol":"TCP"}': {
                    ".": {}, "f:name": {}, "f:port": {}, "f:protocol": {},
                }
            }
        }
    }  # fmt: skip


def test_an_item_with_fields_of_another_stays_without_ones_own() -> None:
    story = Story(POD, "Pod")
    story.apply("alice", {"spec": {"containers": [{"name": "c", "image": "i", "tty": True}]}})
    story.apply("bob", {"spec": {"containers": [{"name": "c", "workingDir": "/"}]}})
    obj = story.apply("alice", {"spec": {"containers": [{"name": "c", "image": "i"}]}})
    container = obj["spec"]["containers"][0]
    assert (container["image"], container["workingDir"]) == ("i", "/")
    assert "tty" not in container


def test_sets_lose_only_what_is_ones_own() -> None:
    story = Story()
    story.apply("alice", {}, meta={"finalizers": ["x/a"]})
    story.apply("bob", {}, meta={"finalizers": ["x/b"]})
    assert story.live is not None
    assert story.live["metadata"]["finalizers"] == ["x/a", "x/b"]
    assert story.apply("alice", {})["metadata"]["finalizers"] == ["x/b"]
    assert "finalizers" not in story.apply("bob", {})["metadata"]


def test_a_default_names_a_list_item() -> None:
    story = Story(SERVICE, "Service")
    story.apply("carol", {"spec": {"ports": [{"port": 90, "name": "c"}]}})
    ports = story.owners[("carol", "Apply")]["f:spec"]["f:ports"]
    assert ports == {'k:{"port":90,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}}


def test_applying_the_same_again_changes_nothing() -> None:
    story = Story(POD, "Pod")
    body = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
    first = story.apply("alice", body)
    again = story.apply("alice", body)
    assert again["metadata"]["managedFields"] is first["metadata"]["managedFields"]


# -- order of lists -----------------------------------------------------------------------------


def containers(story: Story, manager: str, *names: str) -> list[str]:
    body = {"spec": {"containers": [{"name": n} for n in names]}}
    return [c["name"] for c in story.apply(manager, body)["spec"]["containers"]]


def test_lists_follow_the_last_applier_and_keep_others_near_their_place() -> None:
    story = Story(POD, "Pod")
    assert containers(story, "a", "1", "2", "3") == ["1", "2", "3"]
    assert containers(story, "b", "3", "1") == ["2", "3", "1"]
    assert containers(story, "c", "x", "1", "y") == ["2", "3", "x", "1", "y"]
    assert containers(story, "c", "y") == ["2", "3", "1", "y"]


# -- versions -----------------------------------------------------------------------------------


def renaming(obj: Json, api_version: str) -> tuple[Json, Schema] | None:
    """v1 has data.a where v1beta1 has data.old-a."""
    if api_version not in ("v1", "v1beta1"):
        return None
    data = obj.get("data") or {}
    if obj["apiVersion"] != api_version:
        if api_version == "v1beta1":
            data = {f"old-{name}": value for name, value in data.items()}
        else:
            data = {name.removeprefix("old-"): value for name, value in data.items()}
    return {**obj, "apiVersion": api_version, "data": data}, CONFIG_MAP


def test_what_was_applied_in_another_version_is_found_again() -> None:
    story = Story()
    story.apply("alice", {"data": {"old-a": "1", "old-b": "2"}}, api_version="v1beta1")
    assert story.live is not None
    story.live = {**renaming(story.live, "v1")[0]}  # type: ignore[index]
    obj = story.apply("alice", {"data": {"b": "2"}}, convert=renaming)
    assert obj["data"] == {"b": "2"}
    assert story.entry("alice")["apiVersion"] == "v1"
    assert len(story.owners) == 1


def test_what_was_applied_in_a_version_that_is_gone_is_left_alone() -> None:
    story = Story()
    story.apply("alice", {"data": {"a": "1"}}, api_version="v1beta1")
    assert story.live is not None
    story.live = {**story.live, "apiVersion": "v1"}
    obj = story.apply("alice", {"data": {"b": "2"}})
    assert obj["data"] == {"a": "1", "b": "2"}


# -- reset fields -------------------------------------------------------------------------------


def test_what_the_kind_resets_is_neither_owned_nor_a_conflict() -> None:
    story = Story(POD, "Pod")
    reset = FieldSet({"f:status": {}})
    story.apply("kubelet", {"status": {"phase": "Running"}}, subresource="status")
    story.apply("alice", {"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}}, reset=reset)
    assert story.owners[("alice", "Apply")] == {"f:spec": {"f:nodeName": {}}}
    assert story.owners[("kubelet", "Apply")] == {"f:status": {"f:phase": {}}}


# -- kubectl and client-side apply --------------------------------------------------------------


def client_side(data: Json, last: Json) -> tuple[Json, Json]:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": last}
    return {"data": data}, {"annotations": {LAST_APPLIED: orjson.dumps(config).decode()}}


def test_kubectl_takes_over_what_client_side_apply_set() -> None:
    story = Story()
    story.update("kubectl-client-side-apply", *client_side({"a": "1"}, {"a": "1"}))
    assert story.refused("other", {"data": {"a": "2"}}).code == 409
    obj = story.apply("kubectl", {"data": {"a": "2"}})
    assert obj["data"] == {"a": "2"}
    text = obj["metadata"]["annotations"][LAST_APPLIED]
    assert text == (
        '{"apiVersion":"v1","data":{"a":"2"},"kind":"ConfigMap","metadata":{"name":"x"}}\n'
    )


def test_kubectl_does_not_take_what_has_changed_since() -> None:
    story = Story()
    story.update("kubectl-client-side-apply", *client_side({"a": "changed"}, {"a": "1"}))
    assert story.refused("kubectl", {"data": {"a": "2"}}).code == 409


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"metadata": {"name": "x"}}, "invalid object type: /, Kind="),
        ({"apiVersion": "v1", "kind": "Pod"}, "invalid object type: /v1, Kind=Pod"),
        ({"apiVersion": "apps/v2", "kind": "X"}, "invalid object type: apps/v2, Kind=X"),
        ({"apiVersion": "a/b/c", "kind": "X"}, "invalid object type: /, Kind=X"),
        (None, "invalid object type: /, Kind="),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": []}},
            "metadata.managedFields must be nil",
        ),
    ],
)
def test_a_configuration_that_is_no_such_object_is_a_400(config: Any, message: str) -> None:
    asked = Apply(
        schema=CONFIG_MAP, api_version="v1", kind="ConfigMap", manager="m", subresource="",
        force=False, now="2026-01-01T00:00:00Z", convert=not_served,
    )  # fmt: skip
    with pytest.raises(ApiError) as caught:
        applied(FieldManager(Decoders()), None, config, asked)
    assert (caught.value.code, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    ("schema", "kind", "body", "finding"),
    [
        (CONFIG_MAP, "ConfigMap", {"spec": {"x": 1}}, ".spec: field not declared in schema"),
        (
            SERVICE, "Service", {"spec": {"ports": [{"port": 80, "nope": 1}]}},
            '.spec.ports[port=80,protocol="TCP"].nope: field not declared in schema',
        ),
        (
            POD, "Pod", {"spec": {"containers": [{"name": "c"}, {"name": "c"}]}},
            '.spec.containers: duplicate entries for key [name="c"]',
        ),
        (
            POD, "Pod", {"spec": {"containers": [{"image": "x"}]}},
            ".spec.containers: element 0: associative list with keys has an element that omits "
            'all key fields ["name"] (and doesn\'t have default values for any key fields)',
        ),
        (
            POD, "Pod", {"spec": {"nodeName": 7, "hostPID": "yes"}},
            "errors:\n  .spec.nodeName: expected string, got "
            "&value.valueUnstructured{Value:7}\n  .spec.hostPID: expected boolean, got &{yes}",
        ),
        (POD, "Pod", {"spec": []}, ".spec: expected map, got &{[]interface {}{}}"),
        (POD, "Pod", {"spec": {"volumes": "x"}}, ".spec.volumes: expected list, got &{x}"),
        (
            POD, "Pod", {"spec": {"priority": "high"}},
            ".spec.priority: expected numeric (int or float), got string",
        ),
    ],
)  # fmt: skip
def test_a_configuration_that_the_schema_does_not_know_is_a_500(
    schema: Schema, kind: str, body: Json, finding: str
) -> None:
    error = Story(schema, kind).refused("m", body)
    assert (error.code, error.reason) == (500, "")
    assert error.message == (
        f"failed to create typed patch object (/x; /v1, Kind={kind}): {finding}"
    )


def test_a_configuration_of_ten_thousand_levels_is_refused() -> None:
    schema = Schema(
        type="object",
        typed=False,
        properties={
            **{n: CONFIG_MAP.properties[n] for n in ("apiVersion", "kind", "metadata")},
            "spec": type(CONFIG_MAP.properties["data"])(
                "spec", Schema(type="object", typed=False, preserve_unknown=True)
            ),
        },
    )
    deep: Any = "x"
    for _ in range(10_000):
        deep = {"a": deep}
    story = Story(schema, "Thing", "example.com/v1")
    asked = Apply(
        schema=schema, api_version="example.com/v1", kind="Thing", manager="m", subresource="",
        force=False, now="2026-01-01T00:00:00Z", convert=not_served,
    )  # fmt: skip
    config = {"apiVersion": "example.com/v1", "kind": "Thing", "spec": deep}
    with pytest.raises(ApiError) as caught:
        applied(story.fields, None, config, asked)
    assert caught.value.code == 400


# -- properties ---------------------------------------------------------------------------------

data = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)
steps = st.lists(
    st.tuples(st.sampled_from(["p", "q"]), st.booleans(), data), min_size=1, max_size=6
)


@settings(derandomize=True, max_examples=200)
@given(steps)
def test_a_forced_apply_always_wins_and_owns_exactly_its_fields(
    history: list[tuple[str, bool, dict[str, str]]],
) -> None:
    story = Story()
    for manager, is_apply, body in history:
        if not is_apply:
            story.update(f"{manager}-u", {"data": body})
            continue
        obj = story.apply(manager, {"data": body}, force=True)
        assert {n: obj["data"][n] for n in body} == body if body else True
        fields = story.owners.get((manager, "Apply"), {})
        expected: Json = {f"f:{n}": {} for n in body}
        assert fields.get("f:data", {}) == expected


@settings(derandomize=True, max_examples=200)
@given(data, data)
def test_an_applier_alone_gets_exactly_its_last_configuration(
    first: dict[str, str], second: dict[str, str]
) -> None:
    story = Story()
    story.apply("p", {"data": first})
    obj = story.apply("p", {"data": second})
    assert obj.get("data", {}) == second
