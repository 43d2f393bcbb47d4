"""What drivers say of the devices of a claim, each of its own, by server-side apply."""

from __future__ import annotations

from typing import Any

from server_harness import APPLY_PATCH, Client, running

Json = dict[str, Any]
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
DEVICE = {"driver": "d.example.com", "pool": "p", "device": "x"}
OTHER = {**DEVICE, "device": "y"}


async def allocated(client: Client) -> None:
    requests = [{"name": n, "exactly": {"deviceClassName": "c"}} for n in ("a", "b")]
    body = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}}
    claim = (await client("POST", CLAIMS, body)).expect(201)
    results = [{"request": "a", **DEVICE}, {"request": "b", **OTHER}]
    claim["status"] = {"allocation": {"devices": {"results": results}}}
    (await client("PUT", f"{CLAIMS}/c/status", claim)).expect(200)


async def apply(client: Client, manager: str, *devices: Json) -> Any:
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "c"},
        "status": {"devices": list(devices)},
    }
    path = f"{CLAIMS}/c/status?fieldManager={manager}&force=true"
    return await client("PATCH", path, body, content_type=APPLY_PATCH)


async def test_a_device_that_is_not_shared_needs_no_share_id() -> None:
    async with running() as run:
        await allocated(run.client)
        (await apply(run.client, "one", {**DEVICE, "data": {"a": 1}})).expect(200)
        claim = (await apply(run.client, "two", {**OTHER, "data": {"b": 2}})).expect(200)
        assert claim["status"]["devices"] == [
            {**DEVICE, "conditions": None, "data": {"a": 1}},
            {**OTHER, "conditions": None, "data": {"b": 2}},
        ]
        fields = {
            m["manager"]: m["fieldsV1"]["f:status"]["f:devices"]
            for m in claim["metadata"]["managedFields"]
            if m["manager"] in ("one", "two")
        }
        [(named, owned)] = fields["two"].items()
        assert named == 'k:{"device":"y","driver":"d.example.com","pool":"p"}'
        assert owned == {".": {}, "f:data": {}, "f:device": {}, "f:driver": {}, "f:pool": {}}
        claim = (await apply(run.client, "one")).expect(200)
        assert claim["status"]["devices"] == [{**OTHER, "conditions": None, "data": {"b": 2}}]


async def test_a_device_must_be_named_by_something() -> None:
    async with running() as run:
        await allocated(run.client)
        answer = await apply(run.client, "one", {"data": {"a": 1}})
        assert answer.status == 500
        assert "omits all key fields" in answer.message
