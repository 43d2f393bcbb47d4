"""Who may grant what: roles and bindings of users who have less than they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kapi.authorization.escalation import RbacEscalation
from kapi.authorization.rbac import GROUP, Rbac
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
JANE = UserInfo("jane", groups=("dev", "system:authenticated"))
READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
SECRETS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"]}


class Lister:
    changed = 1

    def __init__(self, *objects: Json) -> None:
        self._objects = objects

    def get(self, namespace: str, name: str) -> Json | None:
        for o in self._objects:
            metadata = o["metadata"]
            if (metadata.get("namespace", ""), metadata["name"]) == (namespace, name):
                return o
        return None

    def list(self, namespace: str = "") -> list[Json]:
        return [o for o in self._objects if namespace in ("", o["metadata"].get("namespace", ""))]


def named(name: str, namespace: str = "", **body: Any) -> Json:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": metadata, **body}


@dataclass
class Write:
    resource: str
    object: Json | None
    operation: str = "CREATE"
    old: Json | None = None
    namespace: str = "ns"
    group: str = GROUP
    name: str = "x"
    user: UserInfo = JANE


def plugin(*rules: Json) -> RbacEscalation:
    """Of a world where jane has these rules in `ns`."""
    subject = {"kind": "User", "name": "jane"}
    rbac = Rbac(
        roles=Lister(
            named("mine", "ns", rules=list(rules)), named("secrets", "ns", rules=[SECRETS])
        ),
        cluster_roles=Lister(named("view", rules=[READ])),
        role_bindings=Lister(
            named("b", "ns", roleRef={"kind": "Role", "name": "mine"}, subjects=[subject])
        ),
        cluster_role_bindings=Lister(),
    )
    return RbacEscalation(rbac, rbac)


def role(*rules: Json, **more: Any) -> Json:
    return {"metadata": {"name": "x"}, "rules": list(rules), **more}


def binding(kind: str, name: str) -> Json:
    return {
        "metadata": {"name": "x"},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
        "subjects": [],
    }


async def refused(check: RbacEscalation, write: Write) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await check.admit(write)
    return caught.value


async def test_what_one_has_may_be_granted() -> None:
    check = plugin(READ)
    await check.admit(Write("roles", role(READ)))
    await check.admit(Write("rolebindings", binding("ClusterRole", "view")))


async def test_what_one_lacks_is_named() -> None:
    error = await refused(plugin(READ), Write("roles", role(READ, SECRETS)))
    assert error.code == 403
    assert error.message == (
        f'roles.{GROUP} "x" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )
    assert error.details == {"name": "x", "group": GROUP, "kind": "roles"}
    error = await refused(plugin(READ), Write("rolebindings", binding("Role", "secrets")))
    assert error.message.startswith(f'rolebindings.{GROUP} "x" is forbidden: user "jane"')


async def test_escalate_and_bind_lift_the_rule() -> None:
    escalate = {"verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"]}
    await plugin(escalate).admit(Write("roles", role(SECRETS)))
    bind = {
        "verbs": ["bind"], "apiGroups": [GROUP], "resources": ["roles"],
        "resourceNames": ["secrets"],
    }  # fmt: skip
    await plugin(bind).admit(Write("rolebindings", binding("Role", "secrets")))
    await refused(plugin(bind), Write("rolebindings", binding("ClusterRole", "view")))


async def test_escalate_on_one_role_is_for_its_update() -> None:
    escalate = {
        "verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"],
        "resourceNames": ["x"],
    }  # fmt: skip
    await refused(plugin(escalate), Write("roles", role(SECRETS)))
    await plugin(escalate).admit(Write("roles", role(SECRETS), "UPDATE", role()))


async def test_a_role_that_does_not_exist() -> None:
    error = await refused(plugin(), Write("rolebindings", binding("Role", "gone")))
    assert (error.code, error.message) == (404, f'role.{GROUP} "gone" not found')
    assert error.details == {"name": "gone", "group": GROUP, "kind": "role"}


async def test_aggregation_needs_everything() -> None:
    rule = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    write = Write("clusterroles", role(aggregationRule=rule), namespace="")
    error = await refused(plugin(), write)
    assert error.message.endswith("must have cluster-admin privileges to use an aggregationRule")
    write = Write("clusterroles", role(), "UPDATE", role(aggregationRule=rule), namespace="")
    assert (await refused(plugin(), write)).code == 403


async def test_the_garbage_collector_may_pass() -> None:
    old = role(SECRETS)
    new = role(SECRETS)
    new["metadata"] = {"name": "x", "finalizers": ["a"], "resourceVersion": "2"}
    await plugin().admit(Write("roles", new, "UPDATE", old))
    new["metadata"]["labels"] = {"a": "b"}
    await refused(plugin(), Write("roles", new, "UPDATE", old))


async def test_masters_are_not_asked() -> None:
    masters = UserInfo("root", groups=("system:masters",))
    await plugin().admit(Write("roles", role(SECRETS), user=masters))


def test_only_writes_of_roles_and_bindings_concern_it() -> None:
    check = plugin()
    assert check.handles("CREATE", GROUP, "roles", "")
    assert check.handles("UPDATE", GROUP, "clusterrolebindings", "")
    assert not check.handles("DELETE", GROUP, "roles", "")
    assert not check.handles("CREATE", "", "pods", "")
    assert not check.handles("CREATE", "apps", "roles", "")
