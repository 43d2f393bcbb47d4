"""Owners of fields through stories of writes: who wrote what, and who owns what then."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.kinds.shared.types import TypeTable
from kapi.managedfields import manager as module
from kapi.managedfields.fieldset import FieldSet
from kapi.managedfields.manager import Convert, FieldManager, default_manager
from kapi.schema.decoding import Decoders
from kapi.schema.structural import Schema

Json = dict[str, Any]
TYPES = TypeTable()
CONFIG_MAP = TYPES.schema("io.k8s.api.core.v1.ConfigMap")
DEPLOYMENT = TYPES.schema("io.k8s.api.apps.v1.Deployment")
POD = TYPES.schema("io.k8s.api.core.v1.Pod")


def not_served(obj: Json, api_version: str) -> tuple[Json, Schema] | None:
    return None


class Story:
    """One object through its writes; each takes a second."""

    def __init__(self, schema: Schema = CONFIG_MAP, api_version: str = "v1") -> None:
        self.decoders = Decoders()
        self.fields = FieldManager(self.decoders)
        self.schema = schema
        self.api_version = api_version
        self.live: Json | None = None
        self.second = 0

    def write(
        self,
        manager: str,
        body: Json,
        *,
        subresource: str = "",
        reset: FieldSet | None = None,
        convert: Convert = not_served,
        api_version: str = "",
        **meta: Any,
    ) -> list[Json]:
        """Write a body as the pipeline would; metadata.managedFields only where `meta` has it."""
        self.second += 1
        new = {
            "apiVersion": api_version or self.api_version,
            "kind": "X",
            "metadata": {"name": "x", **meta},
            **body,
        }
        new, _ = self.decoders.decode(self.schema, new)
        live, before = self.live, copy.deepcopy((self.live, new))
        managed = self.fields.updated(
            live=live,
            new=new,
            schema=self.schema,
            api_version=api_version or self.api_version,
            manager=manager,
            subresource=subresource,
            now=f"2026-01-01T00:00:{self.second:02d}Z",
            reset=reset,
            convert=convert,
        )
        assert (live, new) == before
        metadata = {k: v for k, v in new["metadata"].items() if k != "managedFields"}
        if managed:
            metadata["managedFields"] = managed
        self.live = {**new, "metadata": {**metadata, "uid": "u", "resourceVersion": "1"}}
        return managed


def owners(managed: list[Json]) -> dict[str, Json]:
    return {entry["manager"]: entry["fieldsV1"] for entry in managed}


def times(managed: list[Json]) -> dict[str, str]:
    return {entry["manager"]: entry["time"][17:19] for entry in managed}


# -- creation -----------------------------------------------------------------------------------


def test_the_creator_owns_everything_but_what_identifies_the_object() -> None:
    managed = Story().write("maker", {"data": {"a": "1"}}, labels={"l": "1"}, namespace="n")
    assert managed == [
        {
            "manager": "maker",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:01Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:data": {".": {}, "f:a": {}},
                "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
            },
        }
    ]
    assert list(managed[0]) == [
        "manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1",
    ]  # fmt: skip


def test_what_a_struct_prints_anyway_is_not_owned_as_a_whole() -> None:
    spec = {
        "selector": {"matchLabels": {"app": "x"}},
        "template": {
            "metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "resources": {}}]},
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
    }
    story = Story(DEPLOYMENT, "apps/v1")
    assert owners(story.write("maker", {"spec": spec}))["maker"] == {
        "f:spec": {
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:resources": {}}}
                },
            },
        }
    }


def test_an_object_of_a_custom_kind_owns_its_structs_too() -> None:
    spec = Schema(type="object", typed=False, preserve_unknown=True)
    story = Story(copy.copy(CONFIG_MAP), "example.com/v1")
    story.schema = Schema(
        type="object",
        typed=False,
        properties={
            **CONFIG_MAP.properties,
            "spec": type(CONFIG_MAP.properties["data"])("spec", spec),
        },
    )
    managed = story.fields.updated(
        live=None, new={"apiVersion": "example.com/v1", "kind": "T", "metadata": {"name": "x"},
                        "spec": {"a": {"b": 1}}},
        schema=story.schema, api_version="example.com/v1", manager="m", subresource="",
        now="2026-01-01T00:00:00Z", convert=not_served,
    )  # fmt: skip
    assert owners(managed) == {"m": {"f:spec": {".": {}, "f:a": {".": {}, "f:b": {}}}}}


def test_nobody_in_particular_is_unknown() -> None:
    assert list(owners(Story().write("", {"data": {"a": "1"}}))) == ["unknown"]


# -- updates ------------------------------------------------------------------------------------


def test_who_changes_a_field_takes_it() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1", "b": "2"}})
    managed = story.write("other", {"data": {"a": "changed", "b": "2", "c": "3"}})
    assert owners(managed) == {
        "maker": {"f:data": {".": {}, "f:b": {}}},
        "other": {"f:data": {"f:a": {}, "f:c": {}}},
    }
    assert times(managed) == {"maker": "01", "other": "02"}


def test_what_is_removed_is_nobodys() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1", "b": "2"}})
    story.write("other", {"data": {"a": "1", "b": "2", "c": "3"}})
    managed = story.write("third", {"data": {"b": "2"}})
    assert owners(managed) == {"maker": {"f:data": {".": {}, "f:b": {}}}}
    assert owners(story.write("third", {})) == {}


def test_the_same_object_again_changes_nothing_at_all() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1"}})
    story.write("other", {"data": {"a": "2"}})
    assert story.live is not None
    carried = story.live["metadata"]["managedFields"]
    assert story.write("third", {"data": {"a": "2"}}) is carried
    assert story.write("maker", {"data": {"a": "2"}}, managedFields=carried) is carried


def test_time_moves_with_every_change_even_of_fields_one_owns() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1"}})
    managed = story.write("maker", {"data": {"a": "2"}})
    assert owners(managed) == {"maker": {"f:data": {".": {}, "f:a": {}}}}
    assert times(managed) == {"maker": "02"}


def test_entries_sort_by_operation_time_and_name() -> None:
    story = Story()
    story.write("z", {"data": {"a": "1"}})
    story.write("y", {"data": {"a": "1", "b": "1"}})
    managed = story.write("x", {"data": {"a": "1", "b": "1", "c": "1"}})
    assert list(owners(managed)) == ["z", "y", "x"]
    apply = {**managed[0], "manager": "applier", "operation": "Apply"}
    late = {**managed[0], "manager": "a", "time": "2026-01-01T00:00:03Z"}
    managed = story.write("q", {"data": {"a": "9"}}, managedFields=[late, *managed, apply])
    assert list(owners(managed)) == ["applier", "z", "a", "q"]


def test_a_subresource_has_an_entry_of_its_own() -> None:
    story = Story(POD)
    story.write("kubectl", {"spec": {"nodeName": "n"}})
    reset = FieldSet({"f:spec": {}})
    managed = story.write(
        "kubectl", {"spec": {"nodeName": "other"}, "status": {"phase": "Running"}},
        subresource="status", reset=reset,
    )  # fmt: skip
    assert [(e.get("subresource"), e["fieldsV1"]) for e in managed] == [
        (None, {"f:spec": {"f:nodeName": {}}}),
        ("status", {"f:status": {"f:phase": {}}}),
    ]


def test_what_the_kind_resets_is_not_owned() -> None:
    story = Story(POD)
    reset = FieldSet({"f:status": {}})
    managed = story.write(
        "m", {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}}, reset=reset
    )
    assert owners(managed) == {"m": {"f:spec": {"f:nodeName": {}}}}
    story.write("st", {"spec": {"nodeName": "n"}, "status": {"phase": "X"}}, subresource="status")
    managed = story.write("m", {"spec": {"nodeName": "n"}}, reset=reset)
    assert list(owners(managed)) == ["m", "st"]


# -- versions -----------------------------------------------------------------------------------


def test_an_entry_of_another_version_is_compared_in_that_version() -> None:
    def convert(obj: Json, api_version: str) -> tuple[Json, Schema] | None:
        if api_version != "v1beta1":
            return None
        renamed = {f"old-{name}": value for name, value in (obj.get("data") or {}).items()}
        return {**obj, "data": renamed}, CONFIG_MAP

    story = Story()
    story.write("early", {"data": {"old-a": "1", "old-b": "1"}}, api_version="v1beta1")
    assert story.live is not None
    story.live["data"] = {"a": "1", "b": "1"}
    managed = story.write("late", {"data": {"a": "2", "b": "1"}}, convert=convert)
    assert [(e["apiVersion"], e["fieldsV1"]) for e in managed] == [
        ("v1beta1", {"f:data": {".": {}, "f:old-b": {}}}),
        ("v1", {"f:data": {"f:a": {}}}),
    ]


def test_an_entry_of_a_version_that_is_gone_goes() -> None:
    story = Story()
    story.write("early", {"data": {"a": "1"}}, api_version="v1beta1")
    assert owners(story.write("late", {"data": {"a": "2"}})) == {"late": {"f:data": {"f:a": {}}}}


def test_one_manager_with_two_versions_has_two_entries() -> None:
    story = Story()
    story.write("m", {"data": {"a": "1"}}, api_version="v1beta1")
    managed = story.write("m", {"data": {"a": "1", "b": "1"}}, convert=lambda o, v: (o, CONFIG_MAP))
    assert [e["apiVersion"] for e in managed] == ["v1beta1", "v1"]


# -- what a client says about owners ------------------------------------------------------------


def test_a_client_may_drop_all_owners_and_they_stay_away() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1"}})
    assert story.write("m", {"data": {"a": "1"}}, managedFields=[{}]) == []
    assert story.write("m", {"data": {"a": "2"}}) == []
    assert story.write("m", {"data": {"a": "3"}}, managedFields=[]) == []


def test_an_empty_list_drops_nothing() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1"}})
    assert list(owners(story.write("m", {"data": {"a": "1"}}, managedFields=[]))) == ["maker"]


def entry(manager: str, fields: Json, **more: Any) -> Json:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2025-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def test_a_client_may_set_owners() -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1", "b": "1"}})
    wish = [entry("chosen", {"f:data": {"f:b": {".": {}}}})]
    managed = story.write("m", {"data": {"a": "2", "b": "1"}}, managedFields=wish)
    assert owners(managed) == {"chosen": {"f:data": {"f:b": {}}}, "m": {"f:data": {"f:a": {}}}}


@pytest.mark.parametrize(
    "broken",
    [
        entry("x", {}, operation="Explode"),
        entry("x", {}, apiVersion=""),
        entry("x", {}, fieldsType=""),
        entry("x", {}, fieldsType="FieldsV9"),
        entry("x", {"nonsense": {}}),
        entry("x", {"f:a": 7}),
    ],
)
def test_owners_that_make_no_sense_are_not_heard(broken: Json) -> None:
    story = Story()
    story.write("maker", {"data": {"a": "1"}})
    good = entry("chosen", {"f:data": {}})
    managed = story.write("m", {"data": {"a": "1"}}, managedFields=[good, broken])
    assert list(owners(managed)) == ["maker"]


def test_owners_are_not_taken_from_a_subresource_request() -> None:
    story = Story(POD)
    story.write("maker", {"spec": {"nodeName": "n"}})
    managed = story.write(
        "m", {"spec": {"nodeName": "n"}, "status": {"phase": "X"}},
        subresource="status", managedFields=[{}],
    )  # fmt: skip
    assert list(owners(managed)) == ["maker", "m"]


def test_an_object_whose_list_items_have_no_names_has_no_owners() -> None:
    story = Story(POD)
    fields = story.fields.updated(
        live=None, new={"spec": {"containers": [{"image": "x"}]}}, schema=POD, api_version="v1",
        manager="m", subresource="", now="2026-01-01T00:00:00Z", convert=not_served,
    )  # fmt: skip
    assert fields == []


# -- bounds -------------------------------------------------------------------------------------


def test_the_oldest_entries_of_updates_are_merged() -> None:
    story = Story()
    data: dict[str, str] = {}
    for i in range(module.UPDATE_ENTRIES_MAX + 3):
        data = {**data, f"k{i:02d}": "1"}
        managed = story.write(f"m{i:02d}", {"data": data})
    assert len(managed) == module.UPDATE_ENTRIES_MAX
    assert managed[0]["manager"] == module.ANCIENT
    ancient = managed[0]
    assert ancient["fieldsV1"] == {
        "f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}, "f:k03": {}}
    }
    assert ancient["time"] == "2026-01-01T00:00:04Z"


@pytest.mark.parametrize(
    ("user_agent", "manager"),
    [
        ("kubectl/v1.37.1 (linux/amd64)", "kubectl"),
        ("my controller", "my controller"),
        ("", ""),
        ("/x", ""),
        ("x" * 200, "x" * 128),
        ("a\x00b/c", "ab"),
        ("é" * 100, "é" * 64),
        ("x" + "é" * 64, "x" + "é" * 63),
    ],
)
def test_the_manager_is_the_first_part_of_the_user_agent(user_agent: str, manager: str) -> None:
    assert default_manager(user_agent) == manager


# -- properties ---------------------------------------------------------------------------------

data = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)
writes = st.lists(st.tuples(st.sampled_from(["p", "q", "r"]), data), min_size=1, max_size=6)


@settings(derandomize=True, max_examples=200)
@given(writes)
def test_every_field_has_one_owner_and_nothing_else_is_owned(
    history: list[tuple[str, dict[str, str]]],
) -> None:
    story = Story()
    managed: list[Json] = []
    for manager, body in history:
        managed = story.write(manager, {"data": body})
    owned = [path for e in managed for path in FieldSet(e["fieldsV1"]).paths()]
    entries = sorted(p[1] for p in owned if len(p) == 2)
    assert story.live is not None
    present = sorted(f"f:{name}" for name in story.live.get("data") or {})
    # A list of owners that once became empty stays so: nothing is tracked after that.
    assert entries in (present, []) or (entries and set(entries) <= set(present))
    assert len(set(entries)) == len(entries)


@settings(derandomize=True, max_examples=200)
@given(data, st.sampled_from(["p", "q"]))
def test_writing_what_is_there_changes_nothing(body: dict[str, str], manager: str) -> None:
    story = Story()
    first = story.write("p", {"data": body})
    assert story.write(manager, {"data": body}) == first
