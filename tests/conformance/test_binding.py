"""A binding may say which pod it means, and what it leaves in the pod."""

from __future__ import annotations

from typing import Any

from server_harness import running

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
FAILED = (
    'Operation cannot be fulfilled on pods "a": StorageError: invalid object, Code: 4, Key: '
    "/registry/pods/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
)


def binding(**metadata: str) -> Json:
    return {"metadata": {"name": "a", **metadata}, "target": {"name": "n1"}}


async def test_a_binding_names_uid_and_version() -> None:
    async with running() as run:
        account = {"metadata": {"name": "default"}}
        await run.client("POST", "/api/v1/namespaces/default/serviceaccounts", account)
        pod: Json = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}
        pod["spec"]["containers"][0]["image"] = "i"
        meta = (await run.client("POST", PODS, pod)).json["metadata"]
        conditions = [{"type": kind, "status": "False"} for kind in ("PodScheduled", "Ready")]
        status = {"status": {"nominatedNodeName": "n2", "conditions": conditions}}
        live = (await run.client("PUT", f"{PODS}/a/status", {**pod, **status})).json["metadata"]

        for wrong, words in (
            ({"uid": "x"}, f"UID in precondition: x, UID in object meta: {meta['uid']}"),
            (
                {"resourceVersion": "1"},
                "ResourceVersion in precondition: 1, ResourceVersion in object meta: "
                + live["resourceVersion"],
            ),
        ):
            refused = await run.client("POST", f"{PODS}/a/binding", binding(**wrong))
            assert (refused.status, refused.message) == (409, FAILED + words)

        right = {name: live[name] for name in ("uid", "resourceVersion")}
        assert (await run.client("POST", f"{PODS}/a/binding", binding(**right))).status == 201
        bound = (await run.client("GET", f"{PODS}/a")).json
        assert bound["spec"]["nodeName"] == "n1"
        assert "nominatedNodeName" not in bound["status"]
        found = [(c["type"], c["status"]) for c in bound["status"]["conditions"]]
        assert found == [("PodScheduled", "True"), ("Ready", "False")]
