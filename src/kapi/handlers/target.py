"""What a resource request is about: the resource, its version and the place, looked up once by
the mux."""

from __future__ import annotations

from dataclasses import dataclass

from kapi.managedfields.manager import default_manager
from kapi.messages import Request
from kapi.registry.resource import ResourceType, Subresource, Version

UNKNOWN_MANAGER = "unknown"


@dataclass(frozen=True, slots=True)
class Target:
    resource: ResourceType
    version: Version
    namespace: str
    name: str
    subresource: Subresource | None = None

    @property
    def subresource_name(self) -> str:
        return self.subresource.name if self.subresource is not None else ""


def manager_name(request: Request, field_manager: str) -> str:
    """Who owns the fields this request sets: `fieldManager`, else the first part of the user
    agent.
    """
    if field_manager:
        return field_manager
    return default_manager(request.headers.get("user-agent")) or UNKNOWN_MANAGER
