"""What drivers say of the devices of a claim, each of its own, by server-side apply."""

from __future__ import annotations

from typing import Any

from server_harness import APPLY_PATCH, MERGE_PATCH, Client, eventually, running

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


async def test_what_is_said_of_a_device_goes_with_it() -> None:
    async with running() as run:
        await allocated(run.client)
        (await apply(run.client, "one", {**DEVICE, "data": {"a": 1}}, OTHER)).expect(200)
        claim = (await run.client("GET", f"{CLAIMS}/c")).expect(200)
        del claim["status"]["allocation"]
        claim = (await run.client("PUT", f"{CLAIMS}/c/status", claim)).expect(200)
        assert claim["status"] == {}


async def test_who_may_write_status_may_not_allocate() -> None:
    """With the rights of the scheduler, and with those of somebody who may write status."""
    role = "/apis/rbac.authorization.k8s.io/v1/clusterrole"
    rules = [
        {
            "apiGroups": ["resource.k8s.io"],
            "resources": ["resourceclaims/status"],
            "verbs": ["update", "patch"],
        }
    ]
    async with running(authorization_mode=("RBAC",)) as run:
        body: Json = {"metadata": {"name": "writer"}, "rules": rules}
        (await run.client("POST", f"{role}s", body)).expect(201)
        subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "writer"}
        body = {"metadata": {"name": "writer"}, "roleRef": ref, "subjects": [subject]}
        (await run.client("POST", f"{role}bindings", body)).expect(201)
        request = {"name": "a", "exactly": {"deviceClassName": "c"}}
        body = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}}
        claim = (await run.client("POST", CLAIMS, body)).expect(201)
        results = [{"request": "a", **DEVICE}]
        claim["status"] = {"allocation": {"devices": {"results": results}}}
        jane = {"Impersonate-User": "jane"}

        async def heard() -> bool:
            nothing: Json = {"status": {}}
            answer = await run.client(
                "PATCH", f"{CLAIMS}/c/status", nothing, headers=jane, content_type=MERGE_PATCH
            )
            return bool(answer.status == 200)

        await eventually(heard)
        answer = await run.client("PUT", f"{CLAIMS}/c/status", claim, headers=jane)
        answer.expect(422)
        assert 'resource="resourceclaims/binding", verb="update" permission' in answer.message
        scheduler = {"Impersonate-User": "system:kube-scheduler"}
        claim = (await run.client("PUT", f"{CLAIMS}/c/status", claim, headers=scheduler)).expect(
            200
        )
        claim["status"]["devices"] = [DEVICE]
        answer = await run.client("PUT", f"{CLAIMS}/c/status", claim, headers=jane)
        answer.expect(422)
        assert "[arbitrary-node:update]" in answer.message
        claim = (await run.client("PUT", f"{CLAIMS}/c/status", claim)).expect(200)
        del claim["status"]["allocation"]
        controller = {
            "Impersonate-User": "system:serviceaccount:kube-system:resource-claim-controller"
        }
        answer = await run.client("PUT", f"{CLAIMS}/c/status", claim, headers=controller)
        assert answer.expect(200)["status"] == {}
