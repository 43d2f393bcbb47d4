"""`ServedKinds`: what admission webhooks and policies need to know of what is served, and to have
done with objects: see them in another version, and patch them there.

The same objects are served by resources that share a place in the store (events are two), in all
their versions. Made by `server.py`; implements `kapi.admission.requests.rules.Kinds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from kapi.admission.plugin import Attributes
from kapi.admission.requests.rules import Kind, PatchFailed, Place
from kapi.codec import json_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.registry.conversion import ConversionFailed
from kapi.registry.edits import copied
from kapi.registry.patches.json_patch import NotApplicable, applied
from kapi.registry.resource import ResourceTable, ResourceType, Subresource, Version
from kapi.registry.scale import STANDARD, to_scale
from kapi.registry.versions import Versions
from kapi.schema.complaints import type_error
from kapi.schema.scalars import Mismatch
from kapi.schema.structural import Schema

Json = dict[str, Any]
SCALE = "scale"


class ServedKinds:
    """One per server."""

    def __init__(self, table: ResourceTable, versions: Versions) -> None:
        self._table = table
        self._versions = versions
        self._families: dict[str, list[ResourceType]] = {}
        self._seen = -1

    @property
    def generation(self) -> int:
        return self._table.generation

    # -- places -----------------------------------------------------------------------------------

    def _family(self, resource: ResourceType) -> Sequence[ResourceType]:
        """The resources whose objects are the same; it comes first."""
        if self._seen != self._table.generation:
            self._families.clear()
            for other in self._table:
                self._families.setdefault(other.storage_prefix, []).append(other)
            self._seen = self._table.generation
        family = self._families.get(resource.storage_prefix, [resource])
        if len(family) == 1 or not resource.stored_in_store:
            return (resource,)
        return [resource, *(other for other in family if other is not resource)]

    def place(self, attributes: Attributes) -> Place:
        a = attributes
        resource = self._table.get(a.group, a.resource)
        version = resource.versions.get(a.version) if resource is not None else None
        if version is None:  # a kind that went away meanwhile
            return Place(a.group, a.version, a.resource, a.subresource, _kind_of(a))
        assert resource is not None
        found = _place(resource, version, a.subresource)
        return found or Place(a.group, a.version, a.resource, a.subresource, _kind_of(a))

    def places(self, group: str, resource: str, subresource: str) -> Sequence[Place]:
        known = self._table.get(group, resource)
        if known is None:
            return ()
        return [
            place
            for other in self._family(known)
            for version in other.versions.values()
            if (place := _place(other, version, subresource)) is not None
        ]

    # -- objects ----------------------------------------------------------------------------------

    async def shown(self, obj: Json, place: Place) -> Json:
        """Raises ApiError 500 if it cannot be converted."""
        if obj.get("kind") == place.kind.kind and obj.get("apiVersion") == place.kind.api_version:
            return obj
        target, version, subresource = self._target(place)
        if version.kind.api_version != obj.get("apiVersion"):
            obj = await self._converted(obj, target, version)
        if subresource is not None and subresource.name == SCALE:
            return to_scale(obj, subresource.scale)
        return obj

    def _target(self, place: Place) -> tuple[ResourceType, Version, Subresource | None]:
        resource = self._table.get(place.group, place.resource)
        assert resource is not None, "places are of what is served"
        version = resource.versions[place.version]
        return resource, version, version.subresources.get(place.subresource)

    async def _converted(self, obj: Json, target: ResourceType, version: Version) -> Json:
        if target.conversions is not None:
            (found,) = await target.conversions.many([obj], version.name)
            if isinstance(found, ConversionFailed):
                raise found
            return found
        stored = self._stored(obj, target)
        out = self._versions.from_stored(target, version, stored)
        assert out is not None, "an object converts to one"
        return out

    def _stored(self, obj: Json, target: ResourceType) -> Json:
        """An object of whatever served version in the stored form."""
        for resource in self._family(target):
            for version in resource.versions.values():
                if version.kind.api_version == obj.get("apiVersion"):
                    return self._versions.to_stored(resource, version, obj)
        return obj

    # -- patches ----------------------------------------------------------------------------------

    async def patched(self, obj: Json, operations: Any, place: Place, whole: Json) -> Json:
        """Raises PatchFailed, ApiError 500."""
        try:
            result = applied(obj, operations)
        except NotApplicable as e:
            raise PatchFailed(str(e)) from None
        if not isinstance(result, dict):
            raise PatchFailed("the patched object is no object")
        try:
            json_format.check_depth(orjson.dumps(result), result)
        except (orjson.JSONEncodeError, JsonSyntaxError):
            raise PatchFailed("exceeded max depth") from None
        return await self._finished(result, place, whole)

    def _schema(self, place: Place) -> Schema | None:
        """Of what is sent to a place; None where it is a kind that nobody knows."""
        _, version, subresource = self._target(place)
        if subresource is not None and place.kind != _kind(version):  # a kind of its own
            return subresource.schema() if subresource.schema is not None else None
        return version.schema()

    async def _finished(self, result: Json, place: Place, whole: Json) -> Json:
        """A changed object that the place shows: decoded, and in the version of `whole`."""
        _, version, subresource = self._target(place)
        schema = self._schema(place)
        decoded = self._decoded(result, schema, place.kind) if schema is not None else result
        if subresource is not None and place.kind != _kind(version):
            return _merged(whole, decoded, subresource)
        if place.kind.api_version == whole.get("apiVersion"):
            return decoded
        return await self._back(decoded, place, whole)

    def _decoded(self, result: Json, schema: Schema, kind: Kind) -> Json:
        text = json_format.dumps(result)
        try:
            obj, _ = self._versions.decoders.decode(schema, orjson.loads(text))
        except Mismatch:
            words = type_error(schema, json_format.loads_exact(text))
            raise PatchFailed(words or "json: cannot unmarshal") from None
        self._versions.spellings.keep(schema, obj, text)
        self._versions.defaulters.default(schema, obj)
        head: Json = {"kind": kind.kind, "apiVersion": kind.api_version}
        return {**head, **obj, **head}

    async def _back(self, obj: Json, place: Place, whole: Json) -> Json:
        """An object in the version of another."""
        for other in self.places(place.group, place.resource, ""):
            if other.kind.api_version == whole.get("apiVersion"):
                return await self.shown(obj, other)
        raise PatchFailed(f"no kind is registered for {whole.get('apiVersion')}")


def _kind_of(a: Attributes) -> Kind:
    return Kind(a.group, a.version, a.kind)


def _place(resource: ResourceType, version: Version, name: str) -> Place | None:
    kind = _kind(version)
    if name:
        subresource = version.subresources.get(name)
        if subresource is None:
            return None
        if subresource.kind.version:
            own = subresource.kind
            kind = Kind(own.group, own.version, own.kind)
    return Place(resource.group, version.name, resource.plural, name, kind)


def _kind(version: Version) -> Kind:
    return Kind(version.kind.group, version.kind.version, version.kind.kind)


def _merged(whole: Json, sent: Json, subresource: Subresource) -> Json:
    """What was sent to a subresource; a Scale is laid into its parent."""
    if subresource.name != SCALE or whole.get("kind") == sent.get("kind"):
        return sent
    out: Json = copied(whole)
    *way, last = (subresource.scale or STANDARD).spec_replicas
    holder = out
    for name in way:
        holder = holder.setdefault(name, {})
    holder[last] = (sent.get("spec") or {}).get("replicas", 0)
    return out
