"""What kube-controller-manager's controllers and kube-scheduler write, each as itself, under RBAC
and with the plugins that look at owners and at nodes: it is taken, and what must conflict
conflicts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from server_harness import (
    APPLY_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Answer,
    Client,
    Running,
    eventually,
    running,
)

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
LABELS = {"app": "x"}
SPEC: Json = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE: Json = {"metadata": {"labels": LABELS}, "spec": SPEC}
SET: Json = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
NOW = "2026-01-01T00:00:00Z"


def path(kind: str, group: str = "apps/v1") -> str:
    return f"/apis/{group}/namespaces/default/{kind}"


@dataclass(frozen=True, slots=True)
class As:
    """A component as a client."""

    client: Client
    name: str

    async def __call__(self, method: str, where: str, body: Any = None, **more: str) -> Answer:
        headers = {"Impersonate-User": self.name}
        if accept := more.pop("accept", ""):
            headers["Accept"] = accept
        return await self.client(method, where, body, headers=headers, **more)

    async def post(self, where: str, body: Any) -> Any:
        return (await self("POST", where, body)).expect(201)

    async def put(self, where: str, body: Any, status: int = 200) -> Any:
        return (await self("PUT", where, body)).expect(status)

    async def patch(
        self, where: str, body: Any, form: str = STRATEGIC_PATCH, status: int = 200
    ) -> Any:
        answer = await self("PATCH", where, body, content_type=form)
        return answer.expect(status)

    async def delete(self, where: str, body: Any = None, status: int = 200) -> Any:
        return (await self("DELETE", where, body)).expect(status)


def controller(run: Running, name: str) -> As:
    return As(run.client, f"system:serviceaccount:kube-system:{name}")


def owner(api: str, kind: str, obj: Json) -> list[Json]:
    meta = obj["metadata"]
    named = {"apiVersion": api, "kind": kind, "name": meta["name"], "uid": meta["uid"]}
    return [{**named, "controller": True, "blockOwnerDeletion": True}]


def adopting(refs: list[Json], uid: str, **more: Any) -> Json:
    return {"metadata": {"ownerReferences": refs, "uid": uid, **more}}


def releasing(owner_uid: str, uid: str, **more: Any) -> Json:
    gone = [{"$patch": "delete", "uid": owner_uid}]
    return {"metadata": {"uid": uid, "ownerReferences": gone, **more}}


@asynccontextmanager
async def cluster() -> AsyncIterator[Running]:
    plugins = ("NodeRestriction", "OwnerReferencesPermissionEnforcement")
    async with running(
        authorization_mode=("Node", "RBAC"), enable_admission_plugins=plugins
    ) as run:
        accounts = controller(run, "service-account-controller")
        where = "/api/v1/namespaces/default/serviceaccounts"
        await accounts.post(where, {"metadata": {"name": "default"}})
        yield run


async def pod(run: Running, name: str, **meta: Any) -> Json:
    body = {"metadata": {"name": name, "labels": LABELS, **meta}, "spec": SPEC}
    made: Json = await run.client.post(PODS, body)
    return made


async def test_deployments_and_their_sets() -> None:
    async with cluster() as run:
        deployments, sets = path("deployments"), path("replicasets")
        made = await run.client.post(deployments, {"metadata": {"name": "d"}, "spec": SET})
        k = controller(run, "deployment-controller")
        refs = owner("apps/v1", "Deployment", made)
        body = {"metadata": {"name": "d-1", "ownerReferences": refs}, "spec": SET}
        first = await k.post(sets, body)
        assert (await k("POST", sets, body)).reason == "AlreadyExists"
        made["status"] = {"collisionCount": 1, "terminatingReplicas": 0}
        made = await k.put(f"{deployments}/d/status", made)
        assert made["metadata"]["generation"] == 1
        assert made["status"]["terminatingReplicas"] == 0
        first["spec"]["replicas"] = 2
        first["metadata"]["annotations"] = {"deployment.kubernetes.io/desired-replicas": "2"}
        assert (await k.put(f"{sets}/d-1", first))["metadata"]["generation"] == 2
        orphan = await run.client.post(sets, {"metadata": {"name": "o"}, "spec": SET})
        uid = orphan["metadata"]["uid"]
        await k.patch(f"{sets}/o", adopting(refs, "another"), status=422)
        assert (await k.patch(f"{sets}/o", adopting(refs, uid)))["metadata"]["ownerReferences"]
        body = releasing(made["metadata"]["uid"], uid)
        for _ in range(2):
            assert "ownerReferences" not in (await k.patch(f"{sets}/o", body))["metadata"]
        await k.delete(f"{sets}/o")
        r = controller(run, "replicaset-controller")
        meta = {"generateName": "d-1-", "ownerReferences": owner("apps/v1", "ReplicaSet", first)}
        await r.post(PODS, {"metadata": {**meta, "labels": LABELS}, "spec": SPEC})
        stale = {**first, "status": {"replicas": 1}}
        await r.put(f"{sets}/d-1/status", stale, status=409)


async def test_jobs_and_their_pods() -> None:
    async with cluster() as run:
        jobs = path("jobs", "batch/v1")
        spec = {**SPEC, "restartPolicy": "Never"}
        job = await run.client.post(
            jobs, {"metadata": {"name": "j"}, "spec": {"template": {"spec": spec}}}
        )
        k = controller(run, "job-controller")
        refs, tracking = owner("batch/v1", "Job", job), ["batch.kubernetes.io/job-tracking"]
        meta = {"generateName": "j-", "ownerReferences": refs, "finalizers": tracking}
        made = await k.post(PODS, {"metadata": meta, "spec": spec})
        uid, name = made["metadata"]["uid"], made["metadata"]["name"]
        job["status"] = {"startTime": NOW, "active": 1, "ready": 0, "terminating": 0}
        job["status"]["uncountedTerminatedPods"] = {"succeeded": [uid]}
        job["status"]["active"] = 0
        job = await k.put(f"{jobs}/j/status", job)
        body = {"metadata": {"$deleteFromPrimitiveList/finalizers": tracking}}
        assert "finalizers" not in (await k.patch(f"{PODS}/{name}", body))["metadata"]
        job["status"] |= {"succeeded": 1, "uncountedTerminatedPods": {}, "completionTime": NOW}
        condition = {"status": "True", "lastProbeTime": NOW, "lastTransitionTime": NOW}
        job["status"]["conditions"] = [
            {**condition, "type": "SuccessCriteriaMet"},
            {**condition, "type": "Complete"},
        ]
        job = await k.put(f"{jobs}/j/status", job)
        orphan = await pod(run, "orphan")
        uid = orphan["metadata"]["uid"]
        taken = await k.patch(f"{PODS}/orphan", adopting(refs, uid, finalizers=tracking))
        assert taken["metadata"]["finalizers"] == tracking
        body = releasing(refs[0]["uid"], uid, **{"$deleteFromPrimitiveList/finalizers": tracking})
        left = (await k.patch(f"{PODS}/orphan", body))["metadata"]
        assert not {"finalizers", "ownerReferences"} & set(left)
        t, meta = controller(run, "ttl-after-finished-controller"), job["metadata"]
        wanted: Json = {"propagationPolicy": "Foreground"}
        wanted["preconditions"] = {"uid": meta["uid"], "resourceVersion": "1"}
        await t.delete(f"{jobs}/j", wanted, status=409)
        wanted["preconditions"]["resourceVersion"] = meta["resourceVersion"]
        await t.delete(f"{jobs}/j", wanted)


async def test_nodes_and_what_runs_there() -> None:
    async with cluster() as run:
        node = await run.client.post(NODES, {"metadata": {"name": "n"}})
        k = controller(run, "node-controller")
        ranges = {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}
        node = await k.patch(f"{NODES}/n", {"spec": ranges})
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": NOW}
        version = {"resourceVersion": node["metadata"]["resourceVersion"]}
        body: Json = {"metadata": version, "spec": {"taints": [taint]}}
        assert taint in (await k.patch(f"{NODES}/n", body))["spec"]["taints"]
        await k.patch(f"{NODES}/n", body, status=409)
        made = await pod(run, "p")
        s = As(run.client, "system:kube-scheduler")
        binding = {"metadata": {"name": "p", "uid": "another"}, "target": {"name": "n"}}
        assert (await s("POST", f"{PODS}/p/binding", binding)).status == 409
        uid = binding["metadata"]["uid"] = made["metadata"]["uid"]
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        body = {"metadata": {"uid": uid}, "status": {"conditions": [waiting]}}
        body["status"]["nominatedNodeName"] = "n"
        await s.patch(f"{PODS}/p/status", body)
        await s.post(f"{PODS}/p/binding", binding)
        assert (await s("POST", f"{PODS}/p/binding", binding)).status == 409
        evicted = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": NOW}
        body = {"metadata": {"uid": uid}, "status": {"conditions": [evicted]}}
        patched = await k.patch(f"{PODS}/p/status", body)
        states = {c["type"]: c["status"] for c in patched["status"]["conditions"]}
        assert states == {"PodScheduled": "True", "DisruptionTarget": "True"}
        await k.patch(f"{PODS}/p/status", {"metadata": {"uid": "another"}}, status=422)
        await k.delete(f"{PODS}/p")
        g = controller(run, "pod-garbage-collector")
        await g.patch(f"{PODS}/p/status", {"metadata": {"uid": uid}, "status": {"phase": "Failed"}})
        await g.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
        assert (await run.client("GET", f"{PODS}/p")).status == 404


async def test_volumes() -> None:
    async with cluster() as run:
        size = {"storage": "1Gi"}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}}
        claim = await run.client.post(CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
        k, volumes = controller(run, "persistent-volume-binder"), "/api/v1/persistentvolumes"
        source = {"csi": {"driver": "d.example.com", "volumeHandle": "h"}}
        spec = {"capacity": size, "accessModes": ["ReadWriteOnce"], **source}
        volume = await k.post(volumes, {"metadata": {"name": "v"}, "spec": spec})
        meta = claim["metadata"]
        reference = {"namespace": "default", "name": "c", "uid": meta["uid"]}
        volume["spec"]["claimRef"] = reference
        volume = await k.put(f"{volumes}/v", volume)
        volume["status"] = {"phase": "Bound"}
        assert "lastPhaseTransitionTime" in (await k.put(f"{volumes}/v/status", volume))["status"]
        claim["spec"]["volumeName"] = "v"
        claim = await k.put(f"{CLAIMS}/c", claim)
        claim["status"] = {"phase": "Bound", "capacity": size}
        claim = await k.put(f"{CLAIMS}/c/status", claim)
        x = controller(run, "expand-controller")
        version = {"resourceVersion": claim["metadata"]["resourceVersion"]}
        resizing = {"type": "Resizing", "status": "True"}
        body: Json = {"metadata": version, "status": {"conditions": [resizing]}}
        claim = await x.patch(f"{CLAIMS}/c/status", body)
        await x.patch(f"{CLAIMS}/c/status", body, status=409)
        p = controller(run, "pvc-protection-controller")
        claim["status"]["conditions"] = [{"type": "Unused", "status": "True"}]
        claim = await p.put(f"{CLAIMS}/c/status", claim)
        assert [c["type"] for c in claim["status"]["conditions"]] == ["Unused"]
        await run.client.delete(f"{CLAIMS}/c")
        claim = await run.client.get(f"{CLAIMS}/c")
        del claim["metadata"]["finalizers"]
        await p.put(f"{CLAIMS}/c", claim)
        assert (await run.client("GET", f"{CLAIMS}/c")).status == 404


async def test_the_garbage_collector_by_metadata() -> None:
    async with cluster() as run:
        made = await run.client.post(MAPS, {"metadata": {"name": "o"}})
        [ref] = owner("v1", "ConfigMap", made)
        held = {"name": "d", "ownerReferences": [{**ref, "controller": False}]}
        dependent = (await run.client.post(SECRETS, {"metadata": held}))["metadata"]
        await run.client.delete(f"{MAPS}/o", {"propagationPolicy": "Foreground"})
        k = controller(run, "generic-garbage-collector")
        found = (await k("GET", f"{MAPS}/o", accept=METADATA)).expect(200)
        assert (found["kind"], found["metadata"]["finalizers"]) == (
            "PartialObjectMetadata",
            ["foregroundDeletion"],
        )
        freed = {"blockOwnerDeletion": False, "uid": ref["uid"]}
        answer = await k(
            "PATCH",
            f"{SECRETS}/d",
            {"metadata": {"ownerReferences": [freed], "uid": dependent["uid"]}},
            accept=METADATA,
            content_type=STRATEGIC_PATCH,
        )
        [left] = answer.expect(200)["metadata"]["ownerReferences"]
        assert (left["name"], left["blockOwnerDeletion"]) == ("o", False)
        wanted: Json = {"propagationPolicy": "Background"}
        wanted["preconditions"] = {"uid": "another"}
        await k.delete(f"{SECRETS}/d", wanted, status=409)
        wanted["preconditions"] = {"uid": dependent["uid"]}
        await k.delete(f"{SECRETS}/d", wanted)
        version = found["metadata"]["resourceVersion"]
        for seen, status in (("1", 409), (version, 200)):
            meta: Json = {"resourceVersion": seen, "finalizers": []}
            await k.patch(f"{MAPS}/o", {"metadata": meta}, MERGE_PATCH, status)
        assert (await run.client("GET", f"{MAPS}/o")).status == 404


async def test_migrations_of_custom_kinds() -> None:
    group, definitions = "m.example.com", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    objects = f"/apis/{group}/v1/namespaces/default/ms"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": schema}
        for name in ("v1", "v2")
    ]
    names = {"plural": "ms", "kind": "M"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions}
    async with cluster() as run:
        await run.client.post(definitions, {"metadata": {"name": f"ms.{group}"}, "spec": spec})

        async def served() -> bool:
            return (await run.client("GET", objects)).status == 200

        await eventually(served)
        made = await run.client.post(
            objects, {"apiVersion": f"{group}/v1", "kind": "M", "metadata": {"name": "a"}}
        )
        definition = await run.client.get(f"{definitions}/ms.{group}")
        for version in definition["spec"]["versions"]:
            version["storage"] = version["name"] == "v2"
        definition = await run.client.put(f"{definitions}/ms.{group}", definition)
        k = controller(run, "storage-version-migrator-controller")
        condition = {"type": "StorageMigrating", "lastTransitionTime": NOW, "reason": "R"}
        where = f"{definitions}/ms.{group}/status?fieldManager=migration&force=true"
        body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        running_now: Json = {**condition, "status": "True", "message": "m"}
        await k.patch(where, {**body, "status": {"conditions": [running_now]}}, APPLY_PATCH)
        meta = {name: made["metadata"][name] for name in ("uid", "resourceVersion")}

        async def moved() -> bool:  # once the server knows that v2 is stored
            now = await k.patch(f"{objects}/a", {"metadata": meta}, MERGE_PATCH)
            return bool(now["metadata"]["resourceVersion"] != meta["resourceVersion"])

        await eventually(moved)
        await k.patch(f"{objects}/a", {"metadata": meta}, MERGE_PATCH, status=409)
        status = {"conditions": [{**running_now, "status": "False"}], "storedVersions": ["v2"]}
        definition = await k.patch(where, {**body, "status": status}, APPLY_PATCH)
        assert definition["status"]["storedVersions"] == ["v2"]
        assert {c["type"] for c in definition["status"]["conditions"]} >= {
            "Established",
            "NamesAccepted",
            "StorageMigrating",
        }
