"""The admission protocols and the ordered chain: first everyone may change, then everyone may
refuse.

Called by `registry/write.py` and `registry/delete.py` only. Plugins are listed, in the real
server's order, in `admission/chain.py`; one file each.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kapi.messages import UserInfo

Json = dict[str, Any]
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True, kw_only=True)
class Attributes:
    """A write under way. `object` may be changed in place by `admit`, is read-only in `validate`;
    `old` is always read-only.
    """

    operation: Operation
    group: str
    version: str
    kind: str
    resource: str
    subresource: str
    namespace: str
    name: str
    object: Json | None  # in the request's version; None for DELETE
    old: Json | None
    user: UserInfo
    dry_run: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda text: None
    annotate: Callable[[str, str], None] = lambda key, value: None  # audit annotations


class MutatingPlugin(Protocol):
    name: str

    def handles(
        self, operation: Operation, group: str, resource: str, subresource: str
    ) -> bool: ...

    async def admit(self, attributes: Attributes) -> None:
        """May change `attributes.object`. Raises ApiError to refuse."""


class ValidatingPlugin(Protocol):
    name: str

    def handles(
        self, operation: Operation, group: str, resource: str, subresource: str
    ) -> bool: ...

    async def validate(self, attributes: Attributes) -> None:
        """Raises ApiError to refuse."""


class AdmissionChain:
    """The plugins in their order. A plugin may be mutating, validating or both."""

    def __init__(self, plugins: tuple[MutatingPlugin | ValidatingPlugin, ...] = ()) -> None:
        self._mutating = tuple(p for p in plugins if hasattr(p, "admit"))
        self._validating = tuple(p for p in plugins if hasattr(p, "validate"))

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        for plugin in self._mutating:
            if plugin.handles(a.operation, a.group, a.resource, a.subresource):
                await plugin.admit(a)

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        for plugin in self._validating:
            if plugin.handles(a.operation, a.group, a.resource, a.subresource):
                await plugin.validate(a)
