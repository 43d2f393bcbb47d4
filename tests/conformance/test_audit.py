"""A whole server and its audit events: what upstream's integration tests look at
(test/integration/controlplane/audit), forms of bodies and answers, both backends, and what happens
when they fail.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from other_server import Asked, Authority, http, scripted, server_tls
from server_harness import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    Running,
    eventually,
    running,
)
from webhook_server import configuration, patch, webhooks

from kapi.audit import batches
from kapi.credentials import certificates

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ALL = "- level: RequestResponse\n"


def policy(folder: Path, rules: str = ALL, more: str = "") -> str:
    path = folder / "policy.yaml"
    path.write_text(f"apiVersion: audit.k8s.io/v1\nkind: Policy\n{more}rules:\n{rules}")
    return str(path)


class Log:
    """The events of a server's log."""

    def __init__(self, path: Path, run: Running) -> None:
        self.path = path
        self.run = run

    def events(self, stage: str = "ResponseComplete") -> list[Json]:
        lines = self.path.read_bytes().splitlines()
        return [e for e in map(orjson.loads, lines) if not stage or e["stage"] == stage]

    def last(self, stage: str = "ResponseComplete") -> Json:
        return self.events(stage)[-1]


@asynccontextmanager
async def audited(
    folder: Path, rules: str = ALL, *, more: str = "", **flags: Any
) -> AsyncIterator[Log]:
    path = folder / "audit.log"
    given: Json = {
        "audit_policy_file": policy(folder, rules, more),
        "audit_log_path": str(path),
        "disable_admission_plugins": ("ServiceAccount",),
        **flags,
    }
    async with running(alone=False, **given) as run:
        yield Log(path, run)


def config_map(name: str, **more: Any) -> Json:
    return {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, **more}, "data": {"k": "v"},
    }  # fmt: skip


# -- one client's life, as upstream's test has it -------------------------------------------------


async def test_every_verb_has_its_stages(tmp_path: Path) -> None:
    async with audited(tmp_path) as log:
        client = log.run.client
        made = await client.post(MAPS, config_map("m"))
        await client.get(f"{MAPS}/m")
        async with client.watch(f"{MAPS}?watch=true&timeoutSeconds=5") as watch:
            await watch.next()
        await client.put(f"{MAPS}/m", config_map("m"))
        await client.patch(
            f"{MAPS}/m", [{"op": "add", "path": "/data/x", "value": "y"}], JSON_PATCH
        )
        await client.get(MAPS)
        await client.delete(f"{MAPS}/m")
    found = [(e["verb"], e["stage"]) for e in log.events("")]
    short = ["RequestReceived", "ResponseComplete"]
    watched = ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert found == [
        *(("create", s) for s in short), *(("get", s) for s in short),
        *(("watch", s) for s in watched), *(("update", s) for s in short),
        *(("patch", s) for s in short), *(("list", s) for s in short),
        *(("delete", s) for s in short),
    ]  # fmt: skip
    by_verb = {e["verb"]: e for e in log.events()}
    create = by_verb["create"]
    assert create["user"]["username"] == "admin"
    assert create["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1",
    }  # fmt: skip
    assert create["responseStatus"] == {"metadata": {}, "code": 201}
    assert create["requestObject"] == config_map("m")
    assert create["responseObject"] == made
    assert create["annotations"] == {
        "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "",
    }  # fmt: skip
    assert "requestObject" not in by_verb["get"]
    assert by_verb["get"]["responseObject"] == made
    assert "responseObject" not in by_verb["watch"]
    assert by_verb["patch"]["requestObject"] == [{"op": "add", "path": "/data/x", "value": "y"}]
    assert by_verb["list"]["responseObject"]["kind"] == "ConfigMapList"
    assert by_verb["delete"]["responseObject"]["status"] == "Success"
    assert by_verb["delete"]["responseStatus"]["status"] == "Success"
    ids = {e["auditID"] for e in log.events("")}
    assert len(ids) == 7


@pytest.mark.parametrize(
    ("level", "objects"),
    [("Metadata", (False, False)), ("Request", (True, False)), ("RequestResponse", (True, True))],
)
async def test_levels(tmp_path: Path, level: str, objects: tuple[bool, bool]) -> None:
    rules = f"- level: None\n  verbs: [get]\n- level: {level}\n"
    async with audited(tmp_path, rules) as log:
        client = log.run.client
        secret = {"metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}}
        await client.post("/api/v1/namespaces/default/secrets", secret)
        metrics = (await client("GET", "/metrics")).body.decode()
    event = log.last()
    assert event["level"] == level
    assert ("requestObject" in event, "responseObject" in event) == objects
    assert (b"c2VjcmV0" in log.path.read_bytes()) == any(objects)
    assert "apiserver_audit_event_total 2\n" in metrics
    assert f'apiserver_audit_level_total{{level="{level}"}} 1\n' in metrics
    assert 'apiserver_audit_level_total{level="None"} 1\n' in metrics
    assert "apiserver_audit_requests_rejected_total 0\n" in metrics


async def test_stages_and_owners_are_left_out(tmp_path: Path) -> None:
    more = "omitStages: [RequestReceived]\nomitManagedFields: true\n"
    rules = "- level: RequestResponse\n  omitStages: [ResponseStarted]\n"
    async with audited(tmp_path, rules, more=more) as log:
        client = log.run.client
        made = await client.post(MAPS, config_map("m"))
        assert made["metadata"]["managedFields"]
        await client.put(f"{MAPS}/m", made)
        await client.get(MAPS)
        await client(
            "GET", MAPS, headers={"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
        )
        await client("GET", f"{MAPS}?watch=true&timeoutSeconds=1")
    assert {e["stage"] for e in log.events("")} == {"ResponseComplete"}
    assert b"managedFields" not in log.path.read_bytes()
    assert log.events()[1]["requestObject"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert log.events()[1]["objectRef"]["uid"] == made["metadata"]["uid"]
    assert log.events()[3]["responseObject"]["rows"][0]["object"]["metadata"]["name"] == "m"


# -- who asks -------------------------------------------------------------------------------------


async def test_acting_as_others(tmp_path: Path) -> None:
    async with audited(tmp_path, "- level: Metadata\n") as log:
        headers = {"impersonate-user": "bob", "impersonate-group": "g", "impersonate-extra-a": "b"}
        await log.run.client("GET", MAPS, headers=headers)
        begun, done = log.events("")
        assert "impersonatedUser" not in begun
        assert done["user"]["username"] == "admin"
        assert done["impersonatedUser"] == {
            "username": "bob", "groups": ["g", "system:authenticated"], "extra": {"a": ["b"]},
        }  # fmt: skip
        assert done["responseStatus"]["code"] == 403
        assert done["annotations"]["authorization.k8s.io/decision"] == "forbid"
        await log.run.client("GET", MAPS, headers={"impersonate-user": "bob"}, token="alice-token")
        refused = log.last()
        assert refused["user"]["username"] == "alice"
        assert "impersonatedUser" not in refused
        assert refused["responseStatus"]["reason"] == "Forbidden"


async def test_nobody_is_audited_too(tmp_path: Path) -> None:
    async with audited(tmp_path, "- level: None\n  users: [admin]\n- level: Metadata\n") as log:
        answer = await log.run.client("GET", MAPS, token="wrong", headers={"audit-id": "mine"})
        assert answer.status == 401
        (event,) = log.events("")
        assert (event["stage"], event["auditID"], event["user"]) == ("ResponseStarted", "mine", {})
        assert event["responseStatus"] == {
            "metadata": {}, "status": "Failure", "message": "Unauthorized",
            "reason": "Unauthorized", "code": 401,
        }  # fmt: skip
        await log.run.client("GET", f"{MAPS}?timeout=5")
        late = log.events("")[-1]
        assert (late["stage"], late["responseStatus"]["code"]) == ("ResponseStarted", 400)
        await log.run.client("GET", MAPS, token="")
        assert log.last()["user"]["username"] == "system:anonymous"


# -- forms of bodies and answers ------------------------------------------------------------------


async def test_patches_are_as_they_were_sent(tmp_path: Path) -> None:
    async with audited(tmp_path, "- level: Request\n") as log:
        client = log.run.client
        await client.post(MAPS, config_map("m"))
        sent = b'{ "data" : {"b":"<1>",\n "a":"2"} }'
        await client("PATCH", f"{MAPS}/m", sent, content_type=MERGE_PATCH)
        assert b'"requestObject":{"data":{"b":"\\u003c1\\u003e","a":"2"}},' in log.path.read_bytes()
        applied = b"kind: ConfigMap\napiVersion: v1\ndata: {z: '1', a: '2'}\n"
        await client("PATCH", f"{MAPS}/n?fieldManager=x", applied, content_type=APPLY_PATCH)
        lines = log.path.read_bytes()
        assert b'"requestObject":{"apiVersion":"v1","data":{"a":"2","z":"1"},"kind":' in lines
        flow = b"{kind: ConfigMap, apiVersion: v1, data: {w: b}}"
        await client("PATCH", f"{MAPS}/n?fieldManager=x", flow, content_type=APPLY_PATCH)
        assert log.last()["requestObject"]["data"] == {"w": "b"}
        large = b'{"data": {"k": "%b"}, "data": {"k": "%b"} }' % (b"x" * 200_000, b"y" * 200_000)
        await client("PATCH", f"{MAPS}/m", large, content_type=MERGE_PATCH)
        assert large.replace(b" ", b"") in log.path.read_bytes()
        await client("PATCH", f"{MAPS}/m", b"{", content_type=MERGE_PATCH)
        assert "requestObject" not in log.last()


async def test_answers_are_told_of_as_json_whatever_their_form(tmp_path: Path) -> None:
    rules = "- level: None\n  verbs: [create]\n- level: RequestResponse\n"
    async with audited(tmp_path, rules) as log:
        client = log.run.client
        await client.post(MAPS, config_map("m"))
        listed = await client.get(MAPS)
        one = await client.get(f"{MAPS}/m")
        for accept in (PROTOBUF, "application/yaml", "application/json"):
            pretty = "?pretty=true" if accept.endswith("json") else ""
            for path, wanted in ((MAPS, listed), (f"{MAPS}/m", one)):
                answer = await client("GET", path + pretty, headers={"accept": accept})
                assert answer.status == 200
                told = log.last()["responseObject"]
                told["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"]
                assert told == wanted, accept
        table = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
        await client("GET", MAPS, headers=table)
        assert log.last()["responseObject"]["kind"] == "Table"
        await client("GET", f"{MAPS}/none", headers={"accept": PROTOBUF})
        assert log.last()["responseObject"]["reason"] == "NotFound"
        assert log.last()["responseStatus"]["details"] == {"name": "none", "kind": "configmaps"}
        await client("GET", "/apis/apps/v1")
        assert log.last()["responseObject"]["kind"] == "APIResourceList"
        aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        await client("GET", "/apis", headers={"accept": aggregated})
        assert log.last()["responseObject"]["kind"] == "APIGroupDiscoveryList"
        await client("GET", "/healthz")
        assert "responseObject" not in log.last()
        await client("GET", "/version")
        assert "responseObject" not in log.last()


async def test_deletions_and_subresources(tmp_path: Path) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    async with audited(tmp_path) as log:
        client = log.run.client
        await client.post(PODS, pod)
        created = log.last()
        assert created["requestObject"]["spec"]["restartPolicy"] == "Always"
        assert list(created["requestObject"]["spec"])[:2] == ["containers", "restartPolicy"]
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        await client.post(f"{PODS}/p/binding", binding)
        bound = log.last()
        assert bound["objectRef"]["subresource"] == "binding"
        assert bound["requestObject"]["target"]["name"] == "n"
        assert bound["responseStatus"]["status"] == "Success"
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        await client.delete(f"{PODS}/p", options)
        assert log.last()["requestObject"] == options
        await client("DELETE", f"{PODS}?labelSelector=a=b", {"propagationPolicy": "Background"})
        collection = log.last()
        assert collection["verb"] == "deletecollection"
        assert collection["requestObject"] == {
            "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1",
            "propagationPolicy": "Background",
        }  # fmt: skip
        await client("DELETE", f"{PODS}/none")
        assert "requestObject" not in log.last()
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
        }  # fmt: skip
        await client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        assert log.last()["requestObject"]["spec"] == review["spec"]
        assert log.last()["responseObject"]["status"]["allowed"] is True


async def test_huge_bodies_are_cut_or_kept(tmp_path: Path) -> None:
    big = {**config_map("big"), "data": {"k": "x" * 1_000_000}}
    async with audited(
        tmp_path, audit_log_truncate_enabled=True, audit_log_truncate_max_event_size=100_000
    ) as log:
        await log.run.client.post(MAPS, big)
        await log.run.client("POST", MAPS, b"{" + b" " * 4_000_000)
        first, second = log.events()
        assert first["annotations"]["audit.k8s.io/truncated"] == "true"
        assert "requestObject" not in first
        assert second["responseStatus"]["code"] == 413
    (tmp_path / "audit.log").unlink()
    async with audited(tmp_path) as log:
        await log.run.client.post(MAPS, big)
        assert log.last()["requestObject"]["data"] == big["data"]


# -- backends that fail ---------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("mode", ["blocking", "blocking-strict", "batch"])
async def test_a_full_disk(tmp_path: Path, mode: str) -> None:
    flags = {"audit_log_path": "/dev/full", "audit_log_mode": mode}
    async with audited(tmp_path, "- level: Metadata\n  verbs: [create]\n", **flags) as log:
        client = log.run.client
        answer = await client("POST", MAPS, config_map("m"))
        there = (await client("GET", f"{MAPS}/m")).status
        if mode == "blocking-strict":
            assert answer.status == 500
            assert answer.body.endswith(b"failed to store audit event\n")
            assert there == 404  # it did not happen
        else:
            assert (answer.status, there) == (201, 200)

        async def counted() -> bool:
            text = (await client("GET", "/metrics")).body.decode()
            rejected = int(mode == "blocking-strict")
            assert f"apiserver_audit_requests_rejected_total {rejected}\n" in text
            return 'apiserver_audit_error_total{plugin="log"}' in text

        await eventually(counted)


async def test_the_legacy_form(tmp_path: Path) -> None:
    async with audited(tmp_path, audit_log_format="legacy") as log:
        await log.run.client.get(MAPS)
    first, second = log.path.read_text().splitlines()
    assert ' AUDIT: id="' in first
    assert first.endswith('response="<deferred>"')
    assert second.endswith(
        'namespace="default" uri="/api/v1/namespaces/default/configmaps" response="200"'
    )


async def test_files_are_rotated_under_load(tmp_path: Path) -> None:
    flags: Json = {"audit_log_maxsize": 1, "audit_log_maxbackup": 3, "audit_log_compress": True}
    big = {"data": {"k": "x" * 100_000}}
    async with audited(tmp_path, **flags) as log:
        client = log.run.client
        await asyncio.gather(
            *(client.post(MAPS, {**big, "metadata": {"name": f"m{i}"}}) for i in range(30))
        )
    files = sorted(name for name in os.listdir(tmp_path) if name.startswith("audit"))
    assert files[-1] == "audit.log"
    assert 1 <= len(files) - 1 <= 4
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in files)
    assert all((tmp_path / name).stat().st_size <= 1024 * 1024 for name in files)


async def test_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with audited(tmp_path, audit_log_path="-") as log:
        await log.run.client.get(MAPS)
    lines = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [e["stage"] for e in lines] == ["RequestReceived", "ResponseComplete"]


# -- the webhook ----------------------------------------------------------------------------------


class Collector:
    """A server that events are posted to. `status`: what it answers; `held`: it waits for that."""

    def __init__(self) -> None:
        self.lists: list[Json] = []
        self.status = 200
        self.held: asyncio.Event | None = None

    async def handle(self, asked: Asked) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.status == 200:
            self.lists.append(orjson.loads(asked.body))
        await asked.answer(self.status, b"{}", "application/json")

    @property
    def events(self) -> list[Json]:
        return [event for found in self.lists for event in found["items"]]


@asynccontextmanager
async def collecting(
    folder: Path, rules: str = "- level: Metadata\n", **flags: Any
) -> AsyncIterator[tuple[Running, Collector]]:
    authority, collector = Authority(folder), Collector()
    (folder / "ca.pem").write_text(authority.pem)
    tls = server_tls(authority.serving("127.0.0.1"))
    async with scripted(http(collector.handle), tls) as serving:
        cluster = {
            "server": f"https://127.0.0.1:{serving.port}/events",
            "certificate-authority": "ca.pem",
        }
        config = folder / "hook.kubeconfig"
        config.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "contexts": [{"name": "x", "context": {"cluster": "c"}}],
                    "current-context": "x",
                }
            )
        )
        given: Json = {
            "audit_policy_file": policy(folder, rules),
            "audit_webhook_config_file": str(config),
            "audit_webhook_initial_backoff": 0.01,
            **flags,
        }
        async with running(alone=False, **given) as run:
            yield run, collector


async def test_events_are_posted_in_batches(tmp_path: Path) -> None:
    async with collecting(tmp_path, audit_webhook_batch_max_size=4) as (run, collector):
        for i in range(3):
            await run.client.get(f"{MAPS}?limit={i + 1}")

        async def four() -> bool:
            return len(collector.events) == 4

        await eventually(four)
        head = {k: v for k, v in collector.lists[0].items() if k != "items"}
        assert head == {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}}
        assert "kind" not in collector.events[0]
    assert len(collector.events) >= 6  # the rest went out before the end
    assert len({e["auditID"] for e in collector.events}) >= 3


async def test_answers_wait_for_a_webhook_that_blocks(tmp_path: Path) -> None:
    async with collecting(tmp_path, audit_webhook_mode="blocking") as (run, collector):
        collector.held = asyncio.Event()
        asked = asyncio.ensure_future(run.client("GET", MAPS))
        await asyncio.sleep(0.05)
        assert not asked.done()
        collector.held.set()
        assert (await asked).status == 200
        assert sorted(e["stage"] for e in collector.events) == [
            "RequestReceived", "ResponseComplete",
        ]  # fmt: skip


@pytest.mark.parametrize("mode", ["batch", "blocking", "blocking-strict"])
async def test_a_webhook_that_always_fails(tmp_path: Path, mode: str) -> None:
    flags = {"audit_webhook_mode": mode, "audit_webhook_batch_max_size": 1}
    rules = "- level: Metadata\n  verbs: [create]\n"
    async with collecting(tmp_path, rules, **flags) as (run, collector):
        collector.status = 500
        answer = await run.client("POST", MAPS, config_map("m"))
        assert answer.status == (500 if mode == "blocking-strict" else 201)

        async def counted() -> bool:
            text = (await run.client("GET", "/metrics")).body.decode()
            return 'apiserver_audit_error_total{plugin="webhook"}' in text

        await eventually(counted)


async def test_a_webhook_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "CLOSE_S", 0.2)
    flags: Json = {"audit_webhook_batch_max_size": 1, "audit_webhook_batch_buffer_size": 5}
    async with collecting(tmp_path, **flags) as (run, collector):
        collector.held = asyncio.Event()
        for _ in range(20):
            assert (await run.client("GET", MAPS)).status == 200
        text = (await run.client("GET", "/metrics")).body.decode()
        assert 'apiserver_audit_error_total{plugin="buffered"}' in text
        await run.server.stop()
        collector.held.set()


# -- without --------------------------------------------------------------------------------------


async def test_without_a_policy_there_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with running(audit_log_path=str(path)) as run:
        await run.client.get(MAPS)
        assert run.client.app.handler is not None
    assert path.read_bytes() == b""
    assert os.stat(path).st_mode & 0o777 == 0o600


async def test_a_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^ensureLogFile: open .*/file/audit.log: not a directory$"):
        async with running(audit_log_path=str(tmp_path / "file" / "audit.log")):
            pass


# -- what others say of a request -----------------------------------------------------------------


@pytest.mark.parametrize("level", ["Metadata", "Request"])
async def test_webhooks_leave_their_patches(tmp_path: Path, level: str) -> None:
    operation = {"op": "add", "path": "/data/x", "value": "y"}
    async with webhooks(tmp_path) as hooks:
        hooks.paths["/m"] = patch(operation)
        hook = {"name": "m.example.com", "clientConfig": hooks.client("/m")}
        async with audited(tmp_path, f"- level: {level}\n") as log:
            path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
            await log.run.client.post(path, configuration("Mutating", "c", hook))
            await log.run.caught_up()
            await log.run.client.post(MAPS, config_map("m"))
            said = log.last()["annotations"]
    where = "round_0_index_0"
    assert json.loads(said[f"mutation.webhook.admission.k8s.io/{where}"]) == {
        "configuration": "c", "webhook": "m.example.com", "mutated": True,
    }  # fmt: skip
    key = f"patch.webhook.admission.k8s.io/{where}"
    assert (key in said) == (level == "Request")
    if level == "Request":
        assert json.loads(said[key]) == {
            "configuration": "c", "webhook": "m.example.com",
            "patch": [operation], "patchType": "JSONPatch",
        }  # fmt: skip


async def test_tokens_can_be_followed(tmp_path: Path) -> None:
    key = tmp_path / "sa.key"
    key.write_bytes(certificates.make_token_key())
    flags: Json = {
        "service_account_issuer": ("https://kapi.example",),
        "service_account_signing_key_file": str(key),
        "service_account_key_file": (str(key),),
    }
    async with audited(tmp_path, "- level: Metadata\n", **flags) as log:
        client = log.run.client
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await client.post(accounts, {"metadata": {"name": "robot"}})
        await log.run.caught_up()
        made = await client.post(f"{accounts}/robot/token", {"spec": {}})
        issued = log.last()["annotations"]["authentication.kubernetes.io/issued-credential-id"]
        await client("GET", MAPS, token=made["status"]["token"])
        user = log.last()["user"]
        assert user["username"] == "system:serviceaccount:default:robot"
        assert user["extra"]["authentication.kubernetes.io/credential-id"] == [issued]


async def test_deprecated_versions_are_marked(tmp_path: Path) -> None:
    async with audited(tmp_path, "- level: Metadata\n") as log:
        await log.run.client("GET", "/api/v1/componentstatuses")
        await log.run.client("GET", "/api/v1/endpoints")
        first, second = log.events()
        marked = [e["annotations"].get("k8s.io/deprecated") for e in (first, second)]
        assert marked == ["true", "true"]
        await log.run.client("GET", MAPS)
        assert "k8s.io/deprecated" not in log.last()["annotations"]
