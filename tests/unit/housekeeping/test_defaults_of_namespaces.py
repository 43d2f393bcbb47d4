"""What every namespace has: a default service account and the CA; and the roles that aggregate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from housekeeping_harness import (
    CA,
    gone,
    housekeeping,
    idle,
    make_namespace,
    maps,
    named,
    names,
    pod,
    until,
)
from server_harness import running

Json = dict[str, Any]
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
CA_MAP = "kube-root-ca.crt"


def accounts(namespace: str, name: str = "") -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    return f"{path}/{name}" if name else path


def there(obj: Json) -> bool:
    return True


async def test_a_new_namespace_takes_a_pod_at_once() -> None:
    async with housekeeping() as run:
        for number in range(10):
            await make_namespace(run, f"n{number}")
            made = await run.client.post(f"/api/v1/namespaces/n{number}/pods", pod("p"))
            assert made["spec"]["serviceAccountName"] == "default"


@pytest.mark.parametrize("namespace", ["default", "kube-system", "new"])
async def test_every_namespace_has_both(namespace: str) -> None:
    async with housekeeping() as run:
        if namespace == "new":
            await make_namespace(run, namespace)
        account = await until(run, accounts(namespace, "default"), there)
        assert account["metadata"].keys() <= {
            "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields"
        }  # fmt: skip
        config_map = await until(run, maps(namespace, CA_MAP), there)
        assert config_map["data"] == {"ca.crt": CA}
        text = config_map["metadata"]["annotations"]["kubernetes.io/description"]
        assert text.startswith("Contains a CA bundle that can be used to verify")
        (entry,) = config_map["metadata"]["managedFields"]
        assert entry["manager"] == "kube-controller-manager"


async def test_what_is_deleted_is_made_again_and_what_is_changed_is_put_right() -> None:
    async with housekeeping() as run:
        account = await until(run, accounts("default", "default"), there)
        config_map = await until(run, maps("default", CA_MAP), there)
        await run.client.delete(accounts("default", "default"))
        await run.client.delete(maps("default", CA_MAP))

        def another(old: Json) -> Any:
            return lambda o: o["metadata"]["uid"] != old["metadata"]["uid"]

        await until(run, accounts("default", "default"), another(account))
        await until(run, maps("default", CA_MAP), another(config_map))
        changed = {"data": {"ca.crt": "mine", "more": "x"}, "metadata": {"labels": {"a": "b"}}}
        await run.client.patch(maps("default", CA_MAP), changed)
        right = await until(run, maps("default", CA_MAP), lambda o: o["data"] == {"ca.crt": CA})
        assert right["metadata"]["labels"] == {"a": "b"}
        bare = {"metadata": {"annotations": None}}
        await run.client.patch(maps("default", CA_MAP), bare)
        await until(run, maps("default", CA_MAP), lambda o: o["metadata"].get("annotations"))


async def test_nothing_is_made_in_a_namespace_on_its_way_out() -> None:
    async with housekeeping("serviceaccount", "root-ca") as run:
        await make_namespace(run, "a")
        await until(run, accounts("a", "default"), there)
        await until(run, maps("a", CA_MAP), there)
        await run.client.delete("/api/v1/namespaces/a")
        await run.client.delete(accounts("a", "default"))
        await run.client.delete(maps("a", CA_MAP))
        await idle(run)
        assert await names(run, accounts("a")) + await names(run, maps("a")) == []


async def test_without_the_controllers_nothing_is_made_nor_waited_for() -> None:
    async with running() as run:
        await make_namespace(run, "a")
        owner = await run.client.post(maps("a"), named("owner"))
        refused = await run.client("POST", "/api/v1/namespaces/a/pods", pod("p"))
        assert refused.status == 403
        await run.client.delete(maps("a", "owner"))
        await run.client.delete("/api/v1/namespaces/a")
        await idle(run)
        assert await names(run, accounts("a")) + await names(run, maps("a")) == []
        assert (await run.client.get("/api/v1/namespaces/a"))["status"] == {"phase": "Terminating"}
        assert (await run.client.get(f"{ROLES}/view"))["rules"] is None
        assert owner["metadata"]["uid"]


async def test_somebody_else_may_make_the_accounts() -> None:
    """As kube-controller-manager does beside this server: a pod waits a moment for the account."""
    async with running() as run:
        await run.client.post(accounts("default"), named("default"))
        await make_namespace(run, "a")
        async with asyncio.TaskGroup() as group:
            made = group.create_task(run.client("POST", "/api/v1/namespaces/a/pods", pod("p")))
            await asyncio.sleep(0.02)
            assert not made.done()
            await run.client.post(accounts("a"), named("default"))
        assert made.result().status == 201


async def test_roles_are_filled_from_those_they_select() -> None:
    async with housekeeping("clusterrole-aggregation") as run:
        view = await until(run, f"{ROLES}/view", lambda r: r["rules"])
        entry = next(
            e
            for e in view["metadata"]["managedFields"]
            if e["manager"] == "clusterrole-aggregation-controller"
        )
        assert entry["operation"] == "Apply"
        await idle(run)
        admin = await run.client.get(f"{ROLES}/admin")
        assert len(admin["rules"]) > len(view["rules"])
        rule = {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}
        label = "rbac.authorization.k8s.io/aggregate-to-view"
        extra = {**named("widgets-view", labels={label: "true"}), "rules": [rule]}
        await run.client.post(ROLES, extra)
        for name in ("view", "edit", "admin"):
            await until(run, f"{ROLES}/{name}", lambda r: rule in r["rules"])
        await run.client.patch(f"{ROLES}/widgets-view", {"metadata": {"labels": {label: None}}})
        for name in ("view", "edit", "admin"):
            await until(run, f"{ROLES}/{name}", lambda r: rule not in r["rules"])
        assert (await run.client.get(f"{ROLES}/admin"))["rules"] == admin["rules"]
        own = {
            **named("own"),
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"mine": "yes"}}]},
            "rules": None,
        }
        await run.client.post(ROLES, own)
        await run.client.post(ROLES, {**named("part", labels={"mine": "yes"}), "rules": [rule]})
        await until(run, f"{ROLES}/own", lambda r: r["rules"] == [rule])
        await run.client.patch(f"{ROLES}/own", {"rules": []})
        await until(run, f"{ROLES}/own", lambda r: r["rules"] == [rule])
        await run.client.delete(f"{ROLES}/part")
        await until(run, f"{ROLES}/own", lambda r: not r["rules"])


async def test_two_servers_in_one_process_keep_to_themselves() -> None:
    async with housekeeping(alone=False) as first, housekeeping(alone=False) as second:
        await make_namespace(first, "a")
        await make_namespace(second, "a")
        for run in (first, second):
            await until(run, accounts("a", "default"), there)
        await first.client.delete("/api/v1/namespaces/a")
        await gone(first, "/api/v1/namespaces/a")
        await second.client.post("/api/v1/namespaces/a/pods", pod("p"))
