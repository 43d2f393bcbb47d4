"""Decisions and reasons over bindings and roles, and that they follow changes."""

from __future__ import annotations

from typing import Any

from kapi.authorization.always import AlwaysAllow, AlwaysDeny, PrivilegedGroups
from kapi.authorization.authorizer import (
    Attributes,
    Decision,
    refusal,
    rules_union,
    union,
)
from kapi.authorization.rbac import Rbac
from kapi.messages import UserInfo

Json = dict[str, Any]
JANE = UserInfo("jane", groups=("dev", "system:authenticated"))


class Objects:
    """A lister over a dict."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.changed = 0

    def put(self, name: str, namespace: str = "", **body: Any) -> None:
        self.changed += 1
        metadata = {
            "name": name, "namespace": namespace, "uid": "u", "resourceVersion": str(self.changed)
        }  # fmt: skip
        self.objects[(namespace, name)] = {"metadata": metadata, **body}

    def remove(self, name: str, namespace: str = "") -> None:
        self.changed += 1
        del self.objects[(namespace, name)]

    def get(self, namespace: str, name: str) -> Json | None:
        return self.objects.get((namespace, name))

    def list(self, namespace: str = "") -> list[Json]:
        return [o for (ns, _), o in self.objects.items() if not namespace or ns == namespace]


class World:
    def __init__(self) -> None:
        self.roles, self.cluster_roles = Objects(), Objects()
        self.role_bindings, self.cluster_role_bindings = Objects(), Objects()
        self.rbac = Rbac(
            roles=self.roles,
            cluster_roles=self.cluster_roles,
            role_bindings=self.role_bindings,
            cluster_role_bindings=self.cluster_role_bindings,
        )

    def bind(self, name: str, kind: str, role: str, *subjects: Json, namespace: str = "") -> None:
        bindings = self.role_bindings if namespace else self.cluster_role_bindings
        bindings.put(name, namespace, roleRef={"kind": kind, "name": role}, subjects=list(subjects))

    async def ask(
        self, user: UserInfo = JANE, verb: str = "get", namespace: str = "ns", name: str = "p"
    ) -> tuple[Decision, str]:
        return await self.rbac.authorize(
            Attributes(
                user=user, verb=verb, is_resource=True, resource="pods", namespace=namespace,
                name=name,
            )
        )  # fmt: skip


def user(name: str) -> Json:
    return {"kind": "User", "name": name}


READ = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
NOTHING = (Decision.NO_OPINION, "")


async def test_a_cluster_binding_holds_everywhere() -> None:
    world = World()
    assert await world.ask() == NOTHING
    world.cluster_roles.put("reader", rules=READ)
    world.bind("b", "ClusterRole", "reader", {"kind": "Group", "name": "dev"}, user("jane"))
    reason = 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to Group "dev"'
    assert await world.ask() == (Decision.ALLOW, reason)
    assert (await world.ask(namespace=""))[0] is Decision.ALLOW
    assert await world.ask(verb="delete") == NOTHING
    assert await world.ask(UserInfo("bob")) == NOTHING


async def test_a_binding_in_a_namespace_holds_there() -> None:
    world = World()
    world.roles.put("reader", "ns", rules=READ)
    world.cluster_roles.put("reader", rules=READ)
    world.bind("b", "Role", "reader", user("jane"), namespace="ns")
    world.bind("c", "ClusterRole", "reader", user("bob"), namespace="ns")
    assert await world.ask() == (
        Decision.ALLOW,
        'RBAC: allowed by RoleBinding "b/ns" of Role "reader" to User "jane"',
    )
    assert await world.ask(UserInfo("bob")) == (
        Decision.ALLOW,
        'RBAC: allowed by RoleBinding "c/ns" of ClusterRole "reader" to User "bob"',
    )
    assert await world.ask(namespace="other") == NOTHING
    assert await world.ask(namespace="") == NOTHING


async def test_service_accounts_are_subjects_by_namespace() -> None:
    world = World()
    world.cluster_roles.put("reader", rules=READ)
    near = {"kind": "ServiceAccount", "name": "sa"}
    far = {"kind": "ServiceAccount", "name": "sa", "namespace": "far"}
    world.bind("b", "ClusterRole", "reader", near, far, namespace="ns")
    for namespace in ("ns", "far"):
        account = UserInfo(f"system:serviceaccount:{namespace}:sa")
        assert await world.ask(account) == (
            Decision.ALLOW,
            f'RBAC: allowed by RoleBinding "b/ns" of ClusterRole "reader" '
            f'to ServiceAccount "sa/{namespace}"',
        )
    world.bind("c", "ClusterRole", "reader", near)  # no namespace to be of: nobody
    assert await world.ask(UserInfo("system:serviceaccount::sa"), namespace="x") == NOTHING


async def test_missing_roles_are_told_when_nothing_else_allows() -> None:
    world = World()
    world.bind("a", "ClusterRole", "gone", user("jane"))
    reason = 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    assert await world.ask() == (Decision.NO_OPINION, reason)
    world.bind("b", "Role", "lost", user("jane"), namespace="ns")
    world.bind("c", "ClusterRole", "gone", user("jane"), namespace="ns")
    assert await world.ask() == (
        Decision.NO_OPINION,
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, '
        'role.rbac.authorization.k8s.io "lost" not found]',
    )
    world.roles.put("lost", "ns", rules=READ)
    assert (await world.ask())[0] is Decision.ALLOW


async def test_changes_are_seen_at_once() -> None:
    world = World()
    world.cluster_roles.put("reader", rules=READ)
    world.roles.put("reader", "ns", rules=READ)
    world.bind("b", "ClusterRole", "reader", user("jane"))
    assert (await world.ask())[0] is Decision.ALLOW
    world.cluster_roles.put("reader", rules=None)
    assert await world.ask() == NOTHING
    world.cluster_roles.put("reader", rules=READ)
    assert (await world.ask())[0] is Decision.ALLOW
    world.cluster_role_bindings.remove("b")
    assert await world.ask() == NOTHING
    world.bind("r", "Role", "reader", user("jane"), namespace="ns")
    assert (await world.ask())[0] is Decision.ALLOW
    world.role_bindings.remove("r", "ns")
    assert await world.ask() == NOTHING


async def test_rules_are_listed_per_namespace() -> None:
    world = World()
    urls = {"verbs": ["get"], "nonResourceURLs": ["/x"]}
    named = {**READ[0], "resourceNames": ["p"]}
    world.cluster_roles.put("c", rules=[urls, READ[0]])
    world.roles.put("r", "ns", rules=[named])
    world.bind("b", "ClusterRole", "c", {"kind": "Group", "name": "dev"}, user("jane"))
    world.bind("b", "Role", "r", user("jane"), namespace="ns")
    world.bind("d", "Role", "gone", user("jane"), namespace="ns")
    rules = await world.rbac.rules_for(JANE, "ns")
    assert (rules.resource, rules.non_resource, rules.incomplete) == ([*READ, named], [urls], False)
    assert rules.errors == ['role.rbac.authorization.k8s.io "gone" not found']
    assert (await world.rbac.rules_for(JANE, "other")).resource == READ


async def test_unions() -> None:
    world = World()
    asked = Attributes(user=JANE, verb="get", is_resource=False, path="/x")
    masters = UserInfo("root", groups=("system:masters",))
    authorizer = union([PrivilegedGroups(), world.rbac])
    assert await authorizer.authorize(asked) == NOTHING
    assert await authorizer.authorize(
        Attributes(user=masters, verb="x", is_resource=False, path="/")
    ) == (Decision.ALLOW, "")
    assert await union([AlwaysDeny(), AlwaysAllow()]).authorize(asked) == (Decision.ALLOW, "")
    both = await union([AlwaysDeny(), AlwaysDeny()]).authorize(asked)
    assert both == (Decision.NO_OPINION, "Everything is forbidden.\nEverything is forbidden.")
    rules = await rules_union([AlwaysDeny(), AlwaysAllow()]).rules_for(JANE, "ns")
    assert rules.non_resource == [{"verbs": ["*"], "nonResourceURLs": ["*"]}]


def test_the_words_of_a_refusal() -> None:
    def words(reason: str = "", **what: Any) -> str:
        error = refusal(Attributes(user=JANE, **what), reason)
        assert (error.code, error.reason) == (403, "Forbidden")
        return error.message

    assert words(verb="list", is_resource=True, resource="pods", namespace="a") == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
        'in the namespace "a"'
    )
    assert words(
        "why", verb="update", is_resource=True, group="apps", resource="deployments",
        subresource="scale", name="d",
    ) == (
        'deployments.apps "d" is forbidden: User "jane" cannot update resource '
        '"deployments/scale" in API group "apps" at the cluster scope: why'
    )  # fmt: skip
    assert words(verb="get", is_resource=False, path="/metrics") == (
        'forbidden: User "jane" cannot get path "/metrics"'
    )
    error = refusal(Attributes(user=JANE, verb="get", is_resource=False, path="/x"))
    assert error.details == {}
