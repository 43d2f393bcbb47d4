"""Objects for admission policies: params by their kind, and apply configurations laid over the
object of a request.

Made by `server.py`; implements `ParamKinds` and `Patches` of `kapi.admission`. What policies take
as params comes from the cache; one that is not there yet is looked for in the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from kapi.admission.requests.rules import Kind, PatchFailed, Place
from kapi.managedfields.configuration import complaints
from kapi.managedfields.elements import shown_path
from kapi.managedfields.manager import FieldManager
from kapi.managedfields.merge import merged
from kapi.registry.equivalents import ServedKinds
from kapi.registry.resource import ResourceTable, ResourceType, Version
from kapi.registry.versions import Versions
from kapi.schema.structural import Schema
from kapi.selector.labels import Selector

Json = dict[str, Any]
# The object as the store has it now: group, plural, namespace, name.
Live = Callable[[str, str, str, str], Awaitable[Json | None]]


class ObjectLister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...

    def list(self, namespace: str = "") -> list[Json]: ...


class Params:
    """Objects that policies take as params."""

    def __init__(
        self,
        table: ResourceTable,
        lister: Callable[[str, str], ObjectLister],
        live: Live,
        kinds: ServedKinds,
    ) -> None:
        self._table = table
        self._lister = lister
        self._live = live
        self._kinds = kinds
        self._found: dict[tuple[str, str], tuple[ResourceType, Version] | None] = {}
        self._generation = -1

    def _served(self, api_version: str, kind: str) -> tuple[ResourceType, Version] | None:
        if self._generation != self._table.generation:
            self._found.clear()
            self._generation = self._table.generation
        key = (api_version, kind)
        if key not in self._found:
            self._found[key] = self._look(api_version, kind)
        return self._found[key]

    def _look(self, api_version: str, kind: str) -> tuple[ResourceType, Version] | None:
        group, _, name = api_version.rpartition("/")
        resource = self._table.by_kind(group, kind)
        version = resource.versions.get(name) if resource is not None else None
        if resource is None or version is None or not resource.stored_in_store:
            return None
        return resource, version

    def namespaced(self, api_version: str, kind: str) -> bool | None:
        """None for a kind that is not served."""
        found = self._served(api_version, kind)
        return found[0].namespaced if found is not None else None

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Json | None:
        found = self._served(api_version, kind)
        if found is None:
            return None
        resource, version = found
        obj = self._lister(resource.group, resource.plural).get(namespace, name)
        if obj is None:
            obj = await self._live(resource.group, resource.plural, namespace, name)
        return await self._shown(obj, resource, version) if obj is not None else None

    async def list(
        self, api_version: str, kind: str, namespace: str, selector: Selector
    ) -> list[Json]:
        found = self._served(api_version, kind)
        if found is None:
            return []
        resource, version = found
        objects = self._lister(resource.group, resource.plural).list(namespace)
        return [
            await self._shown(obj, resource, version)
            for obj in objects
            if selector.matches(obj["metadata"].get("labels") or {})
        ]

    async def _shown(self, obj: Json, resource: ResourceType, version: Version) -> Json:
        kind = version.kind
        own = Kind(kind.group, kind.version, kind.kind)
        return await self._kinds.shown(
            obj, Place(resource.group, version.name, resource.plural, "", own)
        )


class PolicyKinds(ServedKinds):
    """What is served, with the changes that policies make."""

    def __init__(self, table: ResourceTable, versions: Versions, fields: FieldManager) -> None:
        super().__init__(table, versions)
        self._fields = fields

    async def laid_over(self, obj: Json, config: Json, place: Place, whole: Json) -> Json:
        """An apply configuration merged into an object that the place shows, in the version of
        `whole`. Nobody comes to own what it sets. Raises PatchFailed, ApiError.
        """
        schema = self._schema(place)
        if schema is None:
            raise PatchFailed(f"no type of {place.kind.kind} is known")
        problem = complaints(self._fields.walkers, schema, config)
        if problem:
            raise PatchFailed(f"failed to convert patch object to typed object: {problem}")
        atomics = list(_atomics(schema, config, ()))
        if atomics:
            listed = ", ".join(atomics)
            raise PatchFailed(
                "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
                f"{listed}"
            )
        out = merged(self._fields.walkers.walker(schema), obj, config)
        return await self._finished(out, place, whole)


def _atomics(schema: Schema | None, value: Any, at: tuple[str, ...]) -> Iterator[str]:
    """The paths of what would be replaced as a whole, against what its writer may think."""
    if schema is None:
        return
    if isinstance(value, dict) and schema.type in ("object", "map"):
        if schema.map_type == "atomic":
            yield shown_path(at)
        for name, child in value.items():
            known = schema.properties.get(name)
            if known is not None:
                yield from _atomics(known.schema, child, (*at, f"f:{name}"))
    elif isinstance(value, list) and schema.type == "array":
        if schema.list_type == "atomic":
            yield shown_path(at)
        for i, child in enumerate(value):
            yield from _atomics(schema.items, child, (*at, f"i:{i}"))
