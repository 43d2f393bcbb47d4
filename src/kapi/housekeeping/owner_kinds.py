"""Which resource an owner reference means, by its apiVersion and kind. Used by the garbage
collector."""

from __future__ import annotations

from kapi.registry.resource import ResourceTable, ResourceType


class OwnerKinds:
    """An index of the served kinds, made anew when they change."""

    def __init__(self, table: ResourceTable) -> None:
        self._table = table
        self._generation = -1
        self._kinds: dict[tuple[str, str], ResourceType] = {}

    def find(self, api_version: str, kind: str) -> ResourceType | None:
        """The stored resource of a kind in a served version; None: nobody knows it."""
        if self._generation != self._table.generation:
            self._generation = self._table.generation
            self._kinds = {
                (version.kind.api_version, version.kind.kind): resource
                for resource in self._table
                if resource.stored_in_store
                for version in resource.versions.values()
            }
        return self._kinds.get((api_version, kind))
