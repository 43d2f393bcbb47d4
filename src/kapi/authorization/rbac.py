"""RBAC: bindings say who has which roles, roles say what may be done.

Roles and bindings come from listers over the watch cache. Bindings are indexed by subject, so that
a decision looks only at those of the user and his groups; the index of a namespace is built when
first asked for and thrown away when the lister's revision moves. Compiled roles are kept as long
as the object stays the same.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from kapi.authorization.authorizer import Attributes, Decision, Rules, aggregate
from kapi.authorization.rbac_rules import Rule, Ruleset
from kapi.errors import quote
from kapi.messages import UserInfo

Json = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
_SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_NO_OPINION = (Decision.NO_OPINION, "")


class Lister(Protocol):
    """Read access to one resource in the watch cache; objects are read-only."""

    @property
    def changed(self) -> int:
        """The revision of the last change of the resource."""

    def get(self, namespace: str, name: str) -> Json | None: ...

    def list(self, namespace: str = "") -> Sequence[Json]: ...


class RoleNotFound(Exception):
    """A binding names a role that does not exist. The text is the real server's."""


class Binding:
    """A ClusterRoleBinding or RoleBinding, as far as decisions need it."""

    __slots__ = ("_described", "namespace", "role_kind", "role_name", "subjects")

    def __init__(self, obj: Json) -> None:
        metadata, role = obj["metadata"], obj["roleRef"]
        self.namespace: str = metadata.get("namespace", "")
        self.role_kind: str = role["kind"]
        self.role_name: str = role["name"]
        name = f"{metadata['name']}/{self.namespace}" if self.namespace else metadata["name"]
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        self._described = f"{kind} {quote(name)} of {self.role_kind} {quote(self.role_name)} to "
        # (is it a group, name of the group or user, how messages call the subject)
        self.subjects: list[tuple[bool, str, str]] = []
        for subject in obj.get("subjects") or ():
            self._add_subject(subject)

    def _add_subject(self, subject: Json) -> None:
        kind, name = subject["kind"], subject["name"]
        if kind == "User":
            self.subjects.append((False, name, f"User {quote(name)}"))
        elif kind == "Group":
            self.subjects.append((True, name, f"Group {quote(name)}"))
        elif kind == "ServiceAccount":
            namespace = subject.get("namespace") or self.namespace
            if namespace:
                user = f"{_SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"
                self.subjects.append(
                    (False, user, f"ServiceAccount {quote(f'{name}/{namespace}')}")
                )

    def describe(self, user: UserInfo) -> str:
        """The binding and the first of its subjects that the user is."""
        for is_group, name, description in self.subjects:
            if name in user.groups if is_group else name == user.name:
                return self._described + description
        raise AssertionError("a binding was found by a subject that it does not have")


class _Index:
    """Bindings of one scope by who they apply to."""

    __slots__ = ("groups", "users")

    def __init__(self, objects: Sequence[Json]) -> None:
        self.users: dict[str, list[Binding]] = {}
        self.groups: dict[str, list[Binding]] = {}
        for obj in sorted(objects, key=lambda o: o["metadata"]["name"]):
            binding = Binding(obj)
            for is_group, name, _ in binding.subjects:
                bindings = (self.groups if is_group else self.users).setdefault(name, [])
                if binding not in bindings[-1:]:
                    bindings.append(binding)

    def of(self, user: UserInfo) -> Iterator[Binding]:
        """Those that apply to a user; one that applies twice comes twice."""
        yield from self.users.get(user.name, ())
        groups = self.groups
        for group in user.groups:
            if group in groups:
                yield from groups[group]


class Rbac:
    """Authorizer and rule resolver over four listers."""

    def __init__(
        self, *, roles: Lister, cluster_roles: Lister, role_bindings: Lister,
        cluster_role_bindings: Lister,
    ) -> None:  # fmt: skip
        self._roles = roles
        self._cluster_roles = cluster_roles
        self._role_bindings = role_bindings
        self._cluster_role_bindings = cluster_role_bindings
        self._roles_at = (-1, -1)
        self._rulesets: dict[tuple[str, str, str], Ruleset] = {}
        self._compiled: dict[tuple[str, str, str], tuple[Any, Ruleset]] = {}
        self._cluster_at = -1
        self._cluster = _Index(())
        self._namespaces_at = -1
        self._namespaces: dict[str, _Index] = {}

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        user = attributes.user
        errors: list[str] = []
        for binding in self._bindings(user, attributes.namespace):
            try:
                ruleset = self._ruleset(binding)
            except RoleNotFound as e:
                errors.append(str(e))
                continue
            if ruleset.allows(attributes):
                return Decision.ALLOW, f"RBAC: allowed by {binding.describe(user)}"
        if errors:
            return Decision.NO_OPINION, f"RBAC: {aggregate(errors)}"
        return _NO_OPINION

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        found = Rules()
        rules, found.errors = self.policy_rules(user, namespace)
        for rule in rules:
            if rule.get("resources"):
                found.resource.append(
                    {
                        key: list(rule[key])
                        for key in ("verbs", "apiGroups", "resources", "resourceNames")
                        if rule.get(key)
                    }
                )
            if rule.get("nonResourceURLs"):
                found.non_resource.append(
                    {"verbs": list(rule["verbs"]), "nonResourceURLs": list(rule["nonResourceURLs"])}
                )
        return found

    def policy_rules(self, user: UserInfo, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules that apply to a user in a namespace, and what could not be resolved."""
        rules: list[Rule] = []
        errors: list[str] = []
        seen: set[int] = set()
        for binding in self._bindings(user, namespace):
            if id(binding) in seen:
                continue
            seen.add(id(binding))
            try:
                rules.extend(self._ruleset(binding).rules)
            except RoleNotFound as e:
                errors.append(str(e))
        return rules, errors

    def role_rules(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...]:
        """The rules of a role as a binding in `namespace` names it. Raises RoleNotFound."""
        return self._resolve(kind, name, namespace).rules

    def _bindings(self, user: UserInfo, namespace: str) -> Iterator[Binding]:
        revision = self._cluster_role_bindings.changed
        if revision != self._cluster_at:
            self._cluster = _Index(self._cluster_role_bindings.list())
            self._cluster_at = revision
        yield from self._cluster.of(user)
        if namespace:
            yield from self._in_namespace(namespace).of(user)

    def _in_namespace(self, namespace: str) -> _Index:
        revision = self._role_bindings.changed
        if revision != self._namespaces_at:
            self._namespaces.clear()
            self._namespaces_at = revision
        index = self._namespaces.get(namespace)
        if index is None:
            # Also for a namespace that does not exist: cleared with the next change, and
            # bounded by clearing here.
            if len(self._namespaces) >= NAMESPACES_MAX:
                self._namespaces.clear()
            index = self._namespaces[namespace] = _Index(self._role_bindings.list(namespace))
        return index

    def _ruleset(self, binding: Binding) -> Ruleset:
        return self._resolve(binding.role_kind, binding.role_name, binding.namespace)

    def _resolve(self, kind: str, name: str, namespace: str) -> Ruleset:
        at = (self._roles.changed, self._cluster_roles.changed)
        if at != self._roles_at:
            self._rulesets.clear()
            self._roles_at = at
        key = (kind, namespace if kind == "Role" else "", name)
        ruleset = self._rulesets.get(key)
        if ruleset is None:
            ruleset = self._rulesets[key] = self._compile(key)
        return ruleset

    def _compile(self, key: tuple[str, str, str]) -> Ruleset:
        kind, namespace, name = key
        if kind == "Role":
            role = self._roles.get(namespace, name)
        else:
            role = self._cluster_roles.get("", name)
        if role is None:
            self._compiled.pop(key, None)
            raise RoleNotFound(f"{kind.lower()}.{GROUP} {quote(name)} not found")
        version = (role["metadata"].get("uid"), role["metadata"].get("resourceVersion"))
        known = self._compiled.get(key)
        if known is not None and known[0] == version:
            return known[1]
        ruleset = Ruleset(role.get("rules"))
        self._compiled[key] = (version, ruleset)
        return ruleset


NAMESPACES_MAX = 20_000  # indexes kept at once; some 200 bytes each when empty
