"""NamespaceAutoProvision: what is put into a namespace makes it, if it is not there.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespaceautoprovision
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation
from kapi.errors import ApiError

Json = dict[str, Any]
Create = Callable[[str, str, Json], Awaitable[None]]
_CONFLICT = 409


class NamespaceAutoProvision:
    name = "NamespaceAutoProvision"

    def __init__(self, namespaces: Lister, create: Create) -> None:
        self._namespaces = namespaces
        self._create = create

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation == "CREATE" and (group, resource) != ("", "namespaces")

    async def admit(self, attributes: Attributes) -> None:
        """Raises ApiError of the namespace's creation."""
        name = attributes.namespace
        if not name or attributes.dry_run or self._namespaces.get("", name) is not None:
            return
        namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
        try:
            await self._create("", "namespaces", namespace)
        except ApiError as error:
            if error.code != _CONFLICT:  # somebody else made it
                raise
