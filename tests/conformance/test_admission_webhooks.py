"""Admission webhooks against a whole server: what they are asked, and what becomes of their
answers.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from server_harness import APPLY_PATCH, JSON_PATCH, Running, running
from webhook_server import Hooks, allow, configuration, patch, webhooks

from kapi.storage.memory import MemoryStorage

Json = dict[str, Any]
REG = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


ANY = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
CONTAINERS = [{"name": "c", "image": "i"}]


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def hook(hooks: Hooks, letter: str, **more: Any) -> Json:
    """A webhook at the path of its letter."""
    return {"name": f"{letter}.example.com", "clientConfig": hooks.client(f"/{letter}"), **more}


@asynccontextmanager
async def started(folder: Path, **flags: Any) -> AsyncIterator[tuple[Running, Hooks]]:
    async with webhooks(folder) as hooks, running(alone=False, **flags) as run:
        yield run, hooks


async def configure(run: Running, kind: str, *hooks: Json, name: str = "c") -> None:
    plural = f"{kind.lower()}webhookconfigurations"
    await run.client.post(f"{REG}/{plural}", configuration(kind, name, *hooks))
    await run.caught_up()


async def test_a_validating_webhook_sees_the_request(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/v"] = allow
        await configure(run, "Validating", hook(hooks, "v"))
        made = await run.client.post(f"{MAPS}?fieldManager=me&dryRun=All", config_map("a", x="1"))
        assert made["data"] == {"x": "1"}
        (asked,) = hooks.asked("/v")
        uid = asked.pop("uid")
        assert len(uid) == 36
        obj = asked.pop("object")
        assert obj["kind"] == "ConfigMap"
        assert obj["metadata"]["uid"]
        assert asked == {
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "a",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {
                "username": "admin",
                "uid": "admin-uid",
                "groups": ["system:masters", "system:authenticated"],
            },
            "oldObject": None,
            "dryRun": True,
            "options": {
                "kind": "CreateOptions",
                "apiVersion": "meta.k8s.io/v1",
                "dryRun": ["All"],
                "fieldManager": "me",
            },
        }
        assert hooks.targets == ["/v?timeout=10s"]
        assert hooks.agents == ["kube-apiserver-admission"]


async def test_update_and_delete_show_the_old_object(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        await run.client.post(MAPS, config_map("a", x="1"))
        hooks.paths["/v"] = allow
        await configure(run, "Validating", hook(hooks, "v"))
        await run.client.patch(f"{MAPS}/a", {"data": {"x": "2"}})
        await run.client.delete(f"{MAPS}/a", {"propagationPolicy": "Background"})
        updated, deleted = hooks.asked("/v")
        assert updated["operation"] == "UPDATE"
        assert updated["oldObject"]["data"] == {"x": "1"}
        assert updated["object"]["data"] == {"x": "2"}
        assert updated["options"] == {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1"}
        assert deleted["operation"] == "DELETE"
        assert deleted["object"] is None
        assert deleted["oldObject"]["data"] == {"x": "2"}
        assert deleted["options"] == {
            "kind": "DeleteOptions",
            "apiVersion": "meta.k8s.io/v1",
            "propagationPolicy": "Background",
        }


async def test_a_mutating_webhook_changes_the_object(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/m"] = patch(
            {"op": "add", "path": "/data/y", "value": "2"},
            {"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}},
            {"op": "add", "path": "/nonsense", "value": 1},
        )
        await configure(run, "Mutating", hook(hooks, "m"))
        made = await run.client.post(MAPS, config_map("a", x="1"))
        assert made["data"] == {"x": "1", "y": "2"}
        assert made["metadata"]["labels"] == {"by": "hook"}
        assert "nonsense" not in made
        (owned,) = made["metadata"]["managedFields"]
        assert owned["fieldsV1"] == {"f:data": {".": {}, "f:x": {}}}
        assert await run.client.get(f"{MAPS}/a") == made


@pytest.mark.parametrize(
    ("value", "warned"),
    [([{"operation": "Sideways"}], True), ([{"manager": "m", "operation": "Update"}], True)],
)
async def test_owners_that_cannot_be_are_not_taken(
    tmp_path: Path, value: Any, warned: bool
) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/m"] = patch(
            {"op": "replace", "path": "/metadata/managedFields", "value": value},
            {"op": "add", "path": "/metadata/uid", "value": "mine"},
        )
        await configure(run, "Mutating", hook(hooks, "m"))
        answer = await run.client("POST", MAPS, config_map("a", x="1"))
        made = answer.expect(201)
        assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {".": {}, "f:x": {}}}
        assert made["metadata"]["uid"] != "mine"
        assert any("invalid state after admission" in text for text in answer.warnings) is warned


async def test_an_object_stays_in_its_namespace(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/m"] = patch({"op": "replace", "path": "/metadata/namespace", "value": "n"})
        await configure(run, "Mutating", hook(hooks, "m"))
        answer = await run.client("POST", MAPS, config_map("a"))
        assert answer.expect(400)["message"].startswith("the namespace of the provided object")


@pytest.mark.parametrize("form", [JSON_PATCH, APPLY_PATCH])
async def test_patches_are_mutated_too(tmp_path: Path, form: str) -> None:
    async with started(tmp_path) as (run, hooks):
        await run.client.post(f"{MAPS}?fieldManager=me", config_map("a", x="1"))
        hooks.paths["/m"] = patch({"op": "add", "path": "/data/y", "value": "2"})
        await configure(run, "Mutating", hook(hooks, "m"))
        body: Any = [{"op": "add", "path": "/data/z", "value": "3"}]
        if form == APPLY_PATCH:
            body = config_map("a", z="3")
        answer = await run.client("PATCH", f"{MAPS}/a?fieldManager=me", body, content_type=form)
        assert answer.expect(200)["data"] == {"x": "1", "y": "2", "z": "3"}


@pytest.mark.parametrize(
    ("result", "code", "reason", "message", "details"),
    [
        (None, 400, "", "denied the request without explanation", None),
        ({"message": "no"}, 400, "", "denied the request: no", None),
        (
            {"reason": "Forbidden", "code": 200},
            400,
            "Forbidden",
            "denied the request: Forbidden",
            None,
        ),
        (
            {"message": "no", "code": 403, "reason": "Forbidden", "status": "Success"},
            403,
            "Forbidden",
            "denied the request: no",
            None,
        ),
        (
            {
                "message": "later",
                "code": 429,
                "reason": "TooManyRequests",
                "details": {"retryAfterSeconds": 7, "causes": [{"message": "m", "field": "f"}]},
            },
            429,
            "TooManyRequests",
            "denied the request: later",
            {"causes": [{"message": "m", "field": "f"}], "retryAfterSeconds": 7},
        ),
    ],
)
@pytest.mark.parametrize("kind", ["Mutating", "Validating"])
async def test_denials(
    tmp_path: Path,
    kind: str,
    result: Json | None,
    code: int,
    reason: str,
    message: str,
    details: Json | None,
) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = lambda request: {"allowed": False, "status": result}
        await configure(run, kind, hook(hooks, "x"))
        answer = await run.client("POST", MAPS, config_map("a"))
        wanted = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'admission webhook "x.example.com" {message}',
            "reason": reason,
            "details": details,
            "code": code,
        }
        assert answer.expect(code) == {k: v for k, v in wanted.items() if v not in (None, "")}
        assert answer.header("retry-after") == ("7" if code == 429 else "")
        assert (await run.client("GET", f"{MAPS}/a")).status == 404


def failing(text: str) -> str:
    return f'Internal error occurred: failed calling webhook "x.example.com": {text}'


ANSWERS: list[tuple[str, Any, str]] = [
    (
        "empty",
        b"",
        "failed to call webhook: 0-length response with status code: 200 and content"
        " type: application/json",
    ),
    (
        "garbage",
        b"hello",
        "failed to call webhook: couldn't get version/kind; json parse error:"
        " invalid character 'h' looking for beginning of value",
    ),
    ("no response", b"{}", "received invalid webhook response: webhook response was absent"),
    (
        "wrong uid",
        {"uid": "other", "allowed": True},
        'received invalid webhook response: expected response.uid="UID", got "other"',
    ),
    (
        "wrong type",
        {"allowed": "yes"},
        "failed to call webhook: json: cannot unmarshal string into"
        " Go struct field AdmissionResponse.response.allowed of type bool",
    ),
    (
        "half a patch",
        {"allowed": True, "patch": "W10="},
        "received invalid webhook response: webhook returned response.patch but not "
        "response.patchType",
    ),
    (
        "half a patch type",
        {"allowed": True, "patchType": "JSONPatch"},
        "received invalid webhook response: webhook returned response.patchType but not "
        "response.patch",
    ),
    (
        "undecodable",
        {"allowed": True, "patchType": "JSONPatch", "patch": "e30="},
        "received undecodable patch in webhook response: json: cannot unmarshal object into Go "
        "value of type jsonpatch.Patch",
    ),
    (
        "another patch",
        {"allowed": True, "patchType": "Merge", "patch": "W3t9XQ=="},
        'unsupported patch type "Merge"',
    ),
]


@pytest.mark.parametrize(("answer", "text"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
async def test_answers_that_are_none(tmp_path: Path, answer: Any, text: str) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = lambda request: answer
        await configure(run, "Mutating", hook(hooks, "x"))
        refused = await run.client("POST", MAPS, config_map("a"))
        (asked,) = hooks.asked("/x")
        wanted = failing(text.replace("UID", asked["uid"]))
        said = refused.expect(500)
        assert said["message"] == wanted
        assert said["reason"] == "InternalError"
        assert said["details"] == {"causes": [{"message": wanted.partition(": ")[2]}]}
        await run.client.patch(
            f"{REG}/mutatingwebhookconfigurations/c",
            [{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}],
            JSON_PATCH,
        )
        await run.caught_up()
        await run.client.post(MAPS, config_map("a"))


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (
            {"op": "add", "path": "/spec/a/b", "value": 1},
            'add operation does not apply: doc is missing path: "/spec/a/b": missing value',
        ),
        (
            {"op": "remove", "path": "/data/q"},
            "error in remove for path: '/data/q': "
            "Unable to remove nonexistent key: q: missing value",
        ),
        (
            {"op": "test", "path": "/data/x", "value": "2"},
            "testing value /data/x failed: test failed",
        ),
        (
            {"op": "replace", "path": "/data", "value": 5},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type "
            "map[string]string",
        ),
    ],
)
async def test_patches_that_do_not_apply(tmp_path: Path, operation: Json, text: str) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = patch(operation)
        await configure(run, "Mutating", hook(hooks, "x", failurePolicy="Ignore"))
        answer = await run.client("POST", MAPS, config_map("a", x="1"))
        assert answer.expect(500)["message"] == f"Internal error occurred: {text}"


async def test_a_patch_that_makes_an_object_too_deep(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        value: Any = 1
        for _ in range(150):
            value = {"a": value}
        path = "/metadata/labels" + "/a" * 150
        deep = [{"op": "add", "path": "/metadata/labels", "value": value}]
        deep += [{"op": "replace", "path": path, "value": value}]
        hooks.paths["/x"] = patch(*deep)
        await configure(run, "Mutating", hook(hooks, "x"))
        answer = await run.client("POST", MAPS, config_map("a"))
        assert answer.expect(500)["message"] == "Internal error occurred: exceeded max depth"


async def test_statuses_that_are_no_success(tmp_path: Path) -> None:
    cases = {
        404: "the server could not find the requested resource",
        500: 'an error on the server ("oh no") has prevented the request from succeeding',
        503: "the server is currently unable to handle the request",
        418: "the server responded with the status code 418 but did not return more information",
        403: "oh no",
    }
    async with started(tmp_path) as (run, hooks):
        hooks.kind = "text/plain"
        hooks.paths["/x"] = lambda request: b"oh no"
        await configure(run, "Validating", hook(hooks, "x"))
        for code, text in cases.items():
            hooks.status = code
            answer = await run.client("POST", MAPS, config_map("a"))
            assert answer.expect(500)["message"] == failing(f"failed to call webhook: {text}")
        hooks.status = 400
        hooks.paths["/x"] = lambda request: b'{"kind":"Status","status":"Failure","message":"mine"}'
        answer = await run.client("POST", MAPS, config_map("a"))
        assert answer.expect(500)["message"] == failing("failed to call webhook: mine")


async def test_a_slow_webhook_is_not_waited_for(tmp_path: Path) -> None:
    async def slow(request: Json) -> Json:
        await asyncio.sleep(30)
        return {"allowed": True}

    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = slow
        await configure(run, "Validating", hook(hooks, "x", timeoutSeconds=1))
        answer = await run.client("POST", MAPS, config_map("a"))
        url = f"https://127.0.0.1:{hooks.port}/x?timeout=1s"
        text = f'failed to call webhook: Post "{url}": context deadline exceeded'
        assert answer.expect(500)["message"] == failing(text)


async def test_a_huge_answer_is_not_read(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = lambda request: b" " * (17 * 1024 * 1024)
        await configure(run, "Validating", hook(hooks, "x"))
        answer = await run.client("POST", MAPS, config_map("a"))
        assert "response body too large" in answer.expect(500)["message"]


async def test_an_unknown_authority(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = allow
        client = {"url": hooks.client("/x")["url"]}
        await configure(run, "Validating", {"name": "x.example.com", "clientConfig": client})
        answer = await run.client("POST", MAPS, config_map("a"))
        text = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        assert answer.expect(500)["message"].endswith(text)


async def test_dry_run_needs_a_webhook_without_effects(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = allow
        await configure(run, "Mutating", hook(hooks, "x", sideEffects="NoneOnDryRun"))
        await run.client.post(f"{MAPS}?dryRun=All", config_map("a"))
        assert hooks.asked("/x")[0]["dryRun"] is True


async def test_webhooks_are_asked_in_order_and_reinvoked(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        order: list[str] = []

        def adding(name: str) -> Any:
            def reply(request: Json) -> Any:
                order.append(name)
                return patch({"op": "add", "path": f"/data/{name}", "value": "1"})(request)

            return reply

        for name in ("a", "b", "c"):
            hooks.paths[f"/{name}"] = adding(name)
        again = {"reinvocationPolicy": "IfNeeded"}
        b = hook(hooks, "b", **again)
        c = hook(hooks, "c")
        a = hook(hooks, "a", **again)
        await configure(run, "Mutating", b, c, name="second")
        await configure(run, "Mutating", a, name="first")
        made = await run.client.post(MAPS, config_map("m", x="1"))
        assert made["data"] == {"x": "1", "a": "1", "b": "1", "c": "1"}
        assert order == ["a", "b", "c", "a", "b"]


async def test_validating_webhooks_run_side_by_side(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        both = asyncio.Barrier(2)

        async def meet(request: Json) -> Json:
            await both.wait()  # neither goes on without the other
            return {"allowed": True, "warnings": ["careful"]}

        hooks.paths["/a"] = hooks.paths["/b"] = meet
        await configure(
            run,
            "Validating",
            hook(hooks, "a"),
            hook(hooks, "b"),
        )
        answer = await run.client("POST", MAPS, config_map("m"))
        answer.expect(201)
        assert answer.warnings == ["careful"]


async def test_selectors_and_rules(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        await run.client.post(
            "/api/v1/namespaces", {"metadata": {"name": "n", "labels": {"k": "v"}}}
        )
        hooks.paths["/ns"] = hooks.paths["/obj"] = hooks.paths["/sub"] = allow
        selected = {"matchLabels": {"k": "v"}}
        every = {**ANY, "resources": ["configmaps", "namespaces"]}
        sub = {
            **ANY,
            "resources": ["serviceaccounts/token", "pods/status"],
            "scope": "Namespaced",
        }
        await configure(
            run,
            "Validating",
            {
                "name": "ns.example.com",
                "clientConfig": hooks.client("/ns"),
                "namespaceSelector": selected,
                "rules": [every],
            },
            {
                "name": "obj.example.com",
                "clientConfig": hooks.client("/obj"),
                "objectSelector": selected,
            },
            {"name": "sub.example.com", "clientConfig": hooks.client("/sub"), "rules": [sub]},
        )
        await run.client.post(MAPS, config_map("a"))
        assert not hooks.requests.get("/ns")
        await run.client.post("/api/v1/namespaces/n/configmaps", config_map("a"))
        assert [r["resource"]["resource"] for r in hooks.asked("/ns")] == ["configmaps"]
        assert not hooks.asked("/obj")
        await run.client.patch(f"{MAPS}/a", {"metadata": {"labels": {"k": "v"}}})
        await run.client.patch(f"{MAPS}/a", {"metadata": {"labels": None}})
        assert len(hooks.asked("/obj")) == 2  # by its new labels, then by its old ones
        await run.client.patch("/api/v1/namespaces/n", {"metadata": {"labels": {"k": "w"}}})
        assert len(hooks.asked("/ns")) == 1  # its new labels count
        assert not hooks.asked("/sub")


async def test_equivalent_versions_are_converted(tmp_path: Path) -> None:
    path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
    scaler = {
        "metadata": {"name": "a"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "targetCPUUtilizationPercentage": 50,
        },
    }
    rule = {
        "apiGroups": ["autoscaling"],
        "apiVersions": ["v2"],
        "operations": ["CREATE"],
        "resources": ["horizontalpodautoscalers"],
    }
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/v"] = allow
        hooks.paths["/m"] = patch(
            {
                "op": "replace",
                "path": "/spec/metrics/0/resource/target/averageUtilization",
                "value": 70,
            }
        )
        hooks.paths["/e"] = allow
        await configure(run, "Mutating", hook(hooks, "m", rules=[rule]))
        await configure(
            run,
            "Validating",
            hook(hooks, "v", rules=[rule]),
            hook(hooks, "e", rules=[rule], matchPolicy="Exact"),
        )
        made = await run.client.post(path, scaler)
        assert made["spec"]["targetCPUUtilizationPercentage"] == 70
        (asked,) = hooks.asked("/v")
        assert asked["kind"]["version"] == asked["resource"]["version"] == "v2"
        assert asked["requestKind"]["version"] == asked["requestResource"]["version"] == "v1"
        assert asked["object"]["apiVersion"] == "autoscaling/v2"
        assert (
            asked["object"]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
        )
        assert not hooks.asked("/e")


async def test_configurations_of_admission_are_exempt(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = lambda request: {"allowed": False}
        one = hook(hooks, "x", rules=[ANY])
        await configure(run, "Validating", one)
        assert (await run.client("POST", MAPS, config_map("a"))).status == 400
        await run.client.delete(f"{REG}/validatingwebhookconfigurations/c")
        await run.caught_up()
        await run.client.post(MAPS, config_map("a"))


async def test_a_status_update_cannot_be_used_to_change_the_rest(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        deployments = "/apis/apps/v1/namespaces/default/deployments"
        labels = {"app": "a"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": CONTAINERS},
        }
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        await run.client.post(deployments, {"metadata": {"name": "d"}, "spec": spec})
        hooks.paths["/m"] = patch(
            {"op": "replace", "path": "/spec/replicas", "value": 9},
            {"op": "add", "path": "/status/observedGeneration", "value": 5},
        )
        rule = {
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["deployments/status"],
        }
        await configure(run, "Mutating", hook(hooks, "m", rules=[rule]))
        changed = await run.client.patch(f"{deployments}/d/status", {"status": {"replicas": 1}})
        assert changed["spec"]["replicas"] == 1
        assert changed["status"] == {"observedGeneration": 5, "replicas": 1}
        assert hooks.asked("/m")[0]["subResource"] == "status"


async def test_a_scale_is_shown_and_patched_as_one(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        deployments = "/apis/apps/v1/namespaces/default/deployments"
        labels = {"app": "a"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": CONTAINERS},
        }
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        await run.client.post(deployments, {"metadata": {"name": "d"}, "spec": spec})
        hooks.paths["/m"] = patch({"op": "replace", "path": "/spec/replicas", "value": 5})
        rule = {
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["deployments/scale"],
        }
        await configure(run, "Mutating", hook(hooks, "m", rules=[rule]))
        changed = await run.client.patch(f"{deployments}/d/scale", {"spec": {"replicas": 3}})
        assert changed["spec"]["replicas"] == 5
        (asked,) = hooks.asked("/m")
        assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert asked["object"]["spec"] == {"replicas": 3}
        assert asked["oldObject"]["spec"] == {"replicas": 1}


async def test_a_collection_is_asked_about_object_by_object(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        for name in ("a", "b"):
            await run.client.post(MAPS, config_map(name))
        hooks.paths["/x"] = allow
        await configure(run, "Validating", hook(hooks, "x"))
        await run.client.delete(f"{MAPS}?labelSelector=!q")
        names = sorted(r["oldObject"]["metadata"]["name"] for r in hooks.asked("/x"))
        assert names[:2] == ["a", "b"]


async def test_the_older_review_is_spoken_on_request(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        text = base64.b64encode(orjson.dumps([{"op": "add", "path": "/data/y", "value": "2"}]))
        hooks.paths["/m"] = lambda request: {"uid": "any", "allowed": True, "patch": text.decode()}
        older = hook(hooks, "m", admissionReviewVersions=["v2", "v1beta1", "v1"])
        await configure(run, "Mutating", older)
        made = await run.client.post(MAPS, config_map("a", x="1"))
        assert made["data"] == {"x": "1", "y": "2"}


async def test_connections_are_kept_and_calls_counted(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = allow
        await configure(run, "Validating", hook(hooks, "x"))
        for i in range(5):
            await run.client.post(MAPS, config_map(f"m{i}"))
        text = (await run.client("GET", "/metrics")).body.decode()
        labels = (
            'code="200",name="x.example.com",operation="CREATE",rejected="false",type="validating"'
        )
        assert f"apiserver_admission_webhook_request_total{{{labels}}} 5" in text
    assert hooks.connections == 1


class KeptStorage(MemoryStorage):
    """One that outlives its server."""

    async def close(self) -> None:
        pass


async def test_a_webhook_out_of_reach_does_not_keep_a_server_from_starting() -> None:
    storage = KeptStorage()
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"
    async with running(storage=storage) as run:
        await run.client.delete(roles)
        down = {"url": "https://127.0.0.1:1/"}
        one = {"name": "x.example.com", "clientConfig": down, "rules": [ANY]}
        await configure(run, "Validating", one)
    async with running(storage=storage) as run:
        await run.client.get(roles)  # made anew
        answer = await run.client("POST", MAPS, config_map("a"))
        assert "connection refused" in answer.expect(500)["message"]


def condition(text: str) -> list[Json]:
    return [{"name": "c", "expression": text}]


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ("object.metadata.name == 'a'", True),
        ("object.metadata.name != 'a'", False),
        ("request.operation == 'CREATE' && oldObject == null", True),
        ("request.userInfo.username.startsWith('system:')", False),
        ("'system:masters' in request.userInfo.groups", True),
        ("authorizer.group('').resource('pods').namespace('default').check('get').allowed()", True),
        ("authorizer.requestResource.check('create').allowed()", True),
        (
            "authorizer.serviceAccount('default', 'x').path('/metrics').check('get').allowed()",
            False,
        ),
        ("has(object.data.x) && int(object.data.x) > 0", True),
    ],
)
async def test_match_conditions(tmp_path: Path, expression: str, asked: bool) -> None:
    async with started(tmp_path, authorization_mode=("RBAC",)) as (run, hooks):
        hooks.paths["/x"] = allow
        one = hook(hooks, "x", matchConditions=condition(expression))
        await configure(run, "Validating", one)
        await run.client.post(MAPS, config_map("a", x="1"))
        assert bool(hooks.asked("/x")) is asked


async def test_conditions_that_fail(tmp_path: Path) -> None:
    async with started(tmp_path) as (run, hooks):
        hooks.paths["/x"] = allow
        one = hook(hooks, "x", matchConditions=condition("object.data.nope == '1'"))
        await configure(run, "Mutating", one)
        answer = await run.client("POST", MAPS, config_map("a", x="1"))
        text = "expression 'object.data.nope == '1'' resulted in error: no such key: nope"
        assert answer.expect(403)["message"] == f'configmaps "a" is forbidden: {text}'
        open_ = [{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        await run.client.patch(f"{REG}/mutatingwebhookconfigurations/c", open_, JSON_PATCH)
        await run.caught_up()
        await run.client.post(MAPS, config_map("a", x="1"))
        assert not hooks.asked("/x")
