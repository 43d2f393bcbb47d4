"""NamespaceLifecycle: nothing is made in a namespace that is absent or on its way out; three
namespaces stay.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_REVIEWS = ("authorization.k8s.io", "localsubjectaccessreviews")


class NamespaceLifecycle:
    name = "NamespaceLifecycle"

    def __init__(self, namespaces: Lister, live: Live) -> None:
        """`live` reads past the cache, for a namespace that the cache may not have yet."""
        self._namespaces = namespaces
        self._live = live

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE", "DELETE")

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        if (a.group, a.resource) == ("", "namespaces"):
            if a.operation == "DELETE" and a.name in IMMORTAL:
                text = "this namespace may not be deleted"
                raise errors.forbidden("", "namespaces", a.name, text)
            return
        if not a.namespace or a.operation == "DELETE" or (a.group, a.resource) == _REVIEWS:
            return
        namespace = self._namespaces.get("", a.namespace)
        if namespace is None:
            namespace = await self._live("namespaces", "", a.namespace)
            if namespace is None:
                raise errors.not_found("", "namespaces", a.namespace)
        phase = (namespace.get("status") or {}).get("phase")
        if a.operation == "CREATE" and phase == "Terminating":
            raise _terminating(a)


def _terminating(a: Attributes) -> errors.ApiError:
    text = f"unable to create new content in namespace {a.namespace} because it is being terminated"
    error = refused(a, text)
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {a.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    error.details = {**(error.details or {}), "causes": [cause]}
    return error
