"""What a resource request is about: the resource, its version and the place, looked up once by the mux."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Who owns the fields this request sets: `fieldManager`, else the first part of the user agent."""
    if field_manager:
        return field_manager
    agent = request.headers.get("user-agent").partition("/")[0]
    printable = "".join(c if c.isprintable() else "" for c in agent)
    return printable[:128] or UNKNOWN_MANAGER
