"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy, the plugins: is there a policy that may
concern the request? What evaluates it is loaded when there is one for the first time.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kapi.admission.plugin import Attributes, Operation
from kapi.admission.policies.source import PolicySource

VALIDATING, MUTATING = "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"


class Validates(Protocol):
    async def validate(self, attributes: Attributes) -> None: ...


class Admits(Protocol):
    async def admit(self, attributes: Attributes) -> None: ...


class ValidatingAdmissionPolicy:
    name = VALIDATING
    live = True

    def __init__(self, source: PolicySource[Any], load: Callable[[], Validates]) -> None:
        self._source = source
        self._load = load
        self._run: Validates | None = None

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return bool(self._source.bound(operation, group, resource, subresource))

    async def validate(self, attributes: Attributes) -> None:
        if self._run is None:
            self._run = self._load()
        await self._run.validate(attributes)


class MutatingAdmissionPolicy:
    name = MUTATING
    live = True

    def __init__(self, source: PolicySource[Any], load: Callable[[], Admits]) -> None:
        self._source = source
        self._load = load
        self._run: Admits | None = None

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return bool(self._source.bound(operation, group, resource, subresource))

    async def admit(self, attributes: Attributes) -> None:
        if self._run is None:
            self._run = self._load()
        await self._run.admit(attributes)
