"""Nobody may grant what he does not have, unless he may `escalate` (roles) or `bind` (bindings).

Stands last among the mutating admission plugins: it sees the role as it would be stored, and
refuses before validation speaks, as the real server does. Members of system:masters are not asked.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from kapi.authorization.always import MASTERS
from kapi.authorization.authorizer import Attributes, Authorizer, allows
from kapi.authorization.rbac import GROUP, Rbac, RoleNotFound
from kapi.authorization.rbac_rules import Rule, compact, covers, describe, quote_list
from kapi.errors import ApiError, forbidden, not_found, quote
from kapi.messages import UserInfo

Json = dict[str, Any]

_ROLES = ("roles", "clusterroles")
_BINDINGS = ("rolebindings", "clusterrolebindings")
FULL_AUTHORITY: tuple[Rule, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
NEEDS_CLUSTER_ADMIN = "must have cluster-admin privileges to use an aggregationRule"


class Write(Protocol):
    """What is read of admission's Attributes."""

    @property
    def operation(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def object(self) -> Json | None: ...
    @property
    def old(self) -> Json | None: ...
    @property
    def user(self) -> UserInfo: ...


class RbacEscalation:
    """An admission plugin by shape (`name`, `handles`, `admit`); it changes nothing."""

    name = "RBACEscalation"

    def __init__(self, rbac: Rbac, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def handles(self, operation: str, group: str, resource: str, subresource: str) -> bool:
        return (
            group == GROUP
            and operation in ("CREATE", "UPDATE")
            and not subresource
            and (resource in _ROLES or resource in _BINDINGS)
        )

    async def admit(self, write: Write) -> None:
        """Raises ApiError 403, or 404 for a binding to a role that does not exist."""
        obj = write.object
        if obj is None or MASTERS in write.user.groups:
            return
        if write.old is not None and _only_garbage_collection(obj, write.old):
            return
        if write.resource in _ROLES:
            await self._check_role(write, obj)
        else:
            await self._check_binding(write, obj)

    async def _check_role(self, write: Write, obj: Json) -> None:
        requested = write.name if write.operation == "UPDATE" else ""  # what the path says
        if await self._may(write, "escalate", write.resource, requested):
            return
        name = obj["metadata"].get("name", "")
        self._check_rules(write, name, obj.get("rules") or ())
        if _aggregates(obj) or (write.old is not None and _aggregates(write.old)):
            try:
                self._check_rules(write, name, FULL_AUTHORITY)
            except ApiError as e:
                raise forbidden(GROUP, write.resource, name, NEEDS_CLUSTER_ADMIN) from e

    async def _check_binding(self, write: Write, obj: Json) -> None:
        role = obj.get("roleRef") or {}
        kind, role_name = role.get("kind", ""), role.get("name", "")
        resource = {"Role": "roles", "ClusterRole": "clusterroles"}.get(kind)
        if resource is None:
            raise ApiError(500, "", f"unsupported role reference kind: {quote(kind)}")
        if await self._may(write, "bind", resource, role_name):
            return
        try:
            rules = self._rbac.role_rules(kind, role_name, write.namespace)
        except RoleNotFound as e:
            raise not_found(GROUP, kind.lower(), role_name) from e
        self._check_rules(write, obj["metadata"].get("name", ""), rules)

    async def _may(self, write: Write, verb: str, resource: str, name: str) -> bool:
        asked = Attributes(
            user=write.user,
            verb=verb,
            is_resource=True,
            group=GROUP,
            version="*",
            namespace=write.namespace,
            resource=resource,
            name=name,
        )
        return await allows(self._authorizer, asked)

    def _check_rules(self, write: Write, name: str, rules: Sequence[Rule]) -> None:
        owned, errors = self._rbac.policy_rules(write.user, write.namespace)
        missing = covers(owned, rules)
        if not missing:
            return
        user = write.user
        lines = sorted({describe(rule) for rule in compact(missing)})
        text = (
            f"user {quote(user.name)} (groups={quote_list(user.groups)}) is attempting to grant "
            "RBAC permissions not currently held:\n" + "\n".join(lines)
        )
        if errors:
            text += f"; resolution errors: [{' '.join(errors)}]"
        raise forbidden(GROUP, write.resource, name, text)


def _aggregates(role: Json) -> bool:
    rule = role.get("aggregationRule")
    return bool(rule and rule.get("clusterRoleSelectors"))


_COLLECTOR_FIELDS = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")


def _only_garbage_collection(new: Json, old: Json) -> bool:
    """True if nothing changes but what the garbage collector has to change."""
    return _without(new) == _without(old)


def _without(obj: Json) -> Json:
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _COLLECTOR_FIELDS and v}
    rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion") and v}
    return {**rest, "metadata": metadata}
