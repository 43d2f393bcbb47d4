"""Rules of custom kinds in a whole server: definitions refused, objects refused, warned about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from server_harness import Client, eventually, running

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/rules.example.com/v1/namespaces/default/things"
Json = dict[str, Any]


def definition(*rules: Json, **fields: Json) -> Json:
    spec = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string", "maxLength": 9}, **fields},
        "x-kubernetes-validations": list(rules),
    }
    few = [{"rule": "self < 9", "message": "many"}]
    count = {"type": "integer", "x-kubernetes-validations": few}
    status = {"type": "object", "properties": {"n": count}}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
               "schema": {"openAPIV3Schema": schema}}  # fmt: skip
    names = {"plural": "things", "kind": "Thing"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.rules.example.com"},
        "spec": {"group": "rules.example.com", "scope": "Namespaced", "names": names,
                 "versions": [version]},
    }  # fmt: skip


def thing(name: str = "t", **spec: Any) -> Json:
    return {"apiVersion": "rules.example.com/v1", "kind": "Thing", "metadata": {"name": name},
            "spec": spec}  # fmt: skip


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as run:
        yield run.client


async def served(client: Client, *rules: Json, **fields: Json) -> None:
    await client.post(CRDS, definition(*rules, **fields))

    async def there() -> bool:
        return (await client("GET", THINGS)).status == 200

    await eventually(there)


async def test_a_definition_with_a_wrong_rule_is_refused(client: Client) -> None:
    answer = await client("POST", CRDS, definition({"rule": "self.zz > 1"}))
    assert answer.status == 422
    assert "compilation failed: ERROR: <input>:1:5: undefined field 'zz'" in answer.message


async def test_a_default_must_fulfil_the_rules(client: Client) -> None:
    low = {"type": "integer", "default": 1,
           "x-kubernetes-validations": [{"rule": "self > 1", "message": "low"}]}  # fmt: skip
    answer = await client("POST", CRDS, definition(c=low))
    assert answer.status == 422
    place = "spec.validation.openAPIV3Schema.properties[spec].properties[c].default"
    assert f"{place}: Invalid value: 1: low" in answer.message


async def test_every_way_to_write_is_checked(client: Client) -> None:
    await served(client, {"rule": "!has(self.a) || self.a < 5", "message": "too big"})
    assert (await client("POST", THINGS, thing(a=5))).message.endswith(
        "is invalid: spec: Invalid value: too big"
    )
    made = await client.post(THINGS, thing(a=1))
    made["spec"]["a"] = 7
    assert (await client("PUT", f"{THINGS}/t", made)).status == 422
    await client.patch(f"{THINGS}/t", {"spec": {"a": 7}}, status=422)
    await client.patch(f"{THINGS}/t/status", {"status": {"n": 9}}, status=422)
    assert (await client.patch(f"{THINGS}/t/status", {"status": {"n": 8}}))["status"] == {"n": 8}


async def test_what_was_wrong_before_is_warned_about(client: Client) -> None:
    await served(client)
    await client.post(THINGS, thing(a=9))
    current = await client.get(f"{CRDS}/things.rules.example.com")
    rule = {"rule": "self.a < 5", "message": "too big"}
    spec = current["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [rule]
    await client.put(f"{CRDS}/things.rules.example.com", current)

    async def judged() -> bool:
        return (await client("POST", f"{THINGS}?dryRun=All", thing("u", a=9))).status == 422

    await eventually(judged)
    patch = {"metadata": {"labels": {"x": "y"}}}
    answer = await client(
        "PATCH", f"{THINGS}/t", patch, content_type="application/merge-patch+json"
    )
    assert answer.status == 200
    assert len(answer.warnings) == 1
    assert "spec: Invalid value: too big" in answer.warnings[0]
    assert (await client("PATCH", f"{THINGS}/t", {"spec": {"b": "z"}},
                         content_type="application/merge-patch+json")).status == 422  # fmt: skip
    fixed = await client.patch(f"{THINGS}/t", {"spec": {"a": 1}})
    assert fixed["spec"] == {"a": 1}
