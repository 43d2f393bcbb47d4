"""OwnerReferencesPermissionEnforcement: who ties an object to another one may delete it, and may
hold the other one's deletion up.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.admission.plugin import Attributes, Operation, refused
from kapi.authorization import authorizer as authorization
from kapi.authorization.authorizer import Authorizer, Decision

Json = dict[str, Any]
# Group and kind → plural, and whether namespaced.
Resources = Callable[[str, str], list[tuple[str, bool]]]


class OwnerReferencesPermissionEnforcement:
    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorizer: Authorizer, resources_of: Resources) -> None:
        self._authorizer = authorizer
        self._resources_of = resources_of

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        if (group, resource, subresource) == ("", "pods", "status"):
            return False  # kubelets
        return operation in ("CREATE", "UPDATE")

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        old, new = _owners(a.old), _owners(a.object)
        if old == new:
            return
        if a.operation != "CREATE":
            await self._may_delete(a)
        for owner in _newly_blocking(old, new):
            await self._may_hold(a, owner)

    async def _may_delete(self, a: Attributes) -> None:
        asked = authorization.Attributes(
            user=a.user,
            verb="delete",
            is_resource=True,
            group=a.group,
            version=a.version,
            namespace=a.namespace,
            resource=a.resource,
            subresource=a.subresource,
            name=a.name,
        )
        decision, reason, failure = await authorization.decide(self._authorizer, asked)
        if decision is not Decision.ALLOW:
            text = (
                "cannot set an ownerRef on a resource you can't delete: "
                f"{reason}, {failure or '<nil>'}"
            )
            raise refused(a, text)

    async def _may_hold(self, a: Attributes, owner: Json) -> None:
        api_version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
        group, _, version = api_version.rpartition("/")
        found = self._resources_of(group, kind)
        if not found:
            text = (
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                f'APIVersion {api_version} Kind {kind}: no matches for kind "{kind}" '
                f'in version "{api_version}"'
            )
            raise refused(a, text)
        for plural, namespaced in found:
            asked = authorization.Attributes(
                user=a.user,
                verb="update",
                is_resource=True,
                group=group,
                version=version,
                namespace=a.namespace if namespaced else "",
                resource=plural,
                subresource="finalizers",
                name=owner.get("name", ""),
            )
            decision, reason, failure = await authorization.decide(self._authorizer, asked)
            if decision is not Decision.ALLOW:
                text = (
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you "
                    f"can't set finalizers on: {reason}, {failure or '<nil>'}"
                )
                raise refused(a, text)


def _owners(obj: Json | None) -> list[Json]:
    return ((obj or {}).get("metadata") or {}).get("ownerReferences") or []


def _newly_blocking(old: list[Json], new: list[Json]) -> list[Json]:
    """Owners whose deletion is to be held up, and was not before."""
    before = {o.get("uid") for o in old if o.get("blockOwnerDeletion")}
    return [o for o in new if o.get("blockOwnerDeletion") and o.get("uid") not in before]
