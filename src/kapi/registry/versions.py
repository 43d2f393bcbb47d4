"""Between the stored form and the version of a request: decode, encode, convert. Used by the
write pipeline and by answers.

The stored form is JSON without metadata.resourceVersion (the store's own revision takes its
place), and behind it what JSON cannot say, if there is any (`codec/spelled.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from kapi.codec import json_format
from kapi.codec.spelled import restore, split
from kapi.registry.corrupt import unreadable_for_change
from kapi.registry.fresh import Fresh
from kapi.registry.resource import ResourceType, Version
from kapi.schema.decoding import Decoders, emitted
from kapi.schema.defaulting import Defaulters
from kapi.schema.ordering import Orders
from kapi.schema.settling import Settlers
from kapi.schema.spellings import Spellings
from kapi.schema.structural import Schema
from kapi.storage.interface import Record, why_unreadable

Json = dict[str, Any]
MISSING = object()
# A whole number with a point, outside of texts and perhaps inside of one.
_WHOLE_FLOAT = re.compile(rb"[:,\[]-?[0-9]+\.0[,}\]]")


def _whole_floats(value: Any) -> bool:
    """Make whole floats integers, as they print; whether there were any."""
    found = False
    for key, x in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(x, dict | list):
            found = _whole_floats(x) or found
        elif isinstance(x, float):
            value[key] = json_format.go_number(x)
            found = found or value[key] is not x
    return found


class Versions:
    """Stateless but for the compiled schemas it is given."""

    def __init__(
        self,
        decoders: Decoders,
        defaulters: Defaulters,
        meta_order: Sequence[str],
        fresh: Fresh | None = None,
    ) -> None:
        """`meta_order`: the fields of ObjectMeta in the order of Go's struct. `fresh`: is told of
        the objects of built-in kinds that are encoded."""
        self._fresh = fresh
        self.meta_order = tuple(meta_order)
        self.decoders = decoders
        self.defaulters = defaulters
        self._orders = Orders()
        self.settlers = Settlers()
        self.spellings = Spellings()

    def decode_stored(self, resource: ResourceType, record: Record) -> Json:
        """The stored object, the caller's own, with its resourceVersion. Raises ApiError 500 for
        one that cannot be read.
        """
        why = why_unreadable(record.value)
        if why:
            raise unreadable_for_change(why)
        value, rest = split(record.value)
        obj: Json = restore(orjson.loads(value), rest)
        meta = obj["metadata"]
        obj["metadata"] = ordered = {}
        for name, value in meta.items():
            ordered[name] = value
            if name == "uid":
                ordered["resourceVersion"] = str(record.revision)
        ordered.setdefault("resourceVersion", str(record.revision))
        return self.renewed(resource, obj, record.revision)

    def renewed(self, resource: ResourceType, obj: Json, revision: int) -> Json:
        """An object of the store as its resource has it now. It may be the argument itself."""
        if resource.renew is None or revision > resource.renewed_after:
            return obj
        return resource.renew(obj)

    def forget(self, schema: Schema) -> None:
        """Drop what was compiled for a custom kind's schema that is served no more."""
        self.decoders.forget(schema)
        self.defaulters.forget(schema)
        self.settlers.forget(schema)

    def settled(self, resource: ResourceType, version: Version, obj: Json) -> Json:
        """The object as its version shows it once it went through the stored form: what cannot be
        said in this version stands in annotations from here on. It may be the argument itself."""
        if version.to_stored is None or version.from_stored is None or resource.custom:
            return obj
        out = self.from_stored(resource, version, self.to_stored(resource, version, obj))
        assert out is not None
        return out

    def arrange(self, resource: ResourceType, stored: Json) -> None:
        """Put the fields of a stored object in the order of its Go struct."""
        if not resource.custom:
            self._orders.arrange(resource.stored_schema(), stored)

    def text(self, schema: Schema, obj: Json) -> bytes:
        """An object of any version as JSON, as answers have it; its fields are put in order."""
        if not schema.typed:
            return json_format.dumps_sorted(obj)
        self._orders.arrange(schema, obj)
        return json_format.dumps(obj)

    def encode_stored(self, resource: ResourceType, stored: Json) -> bytes:
        """The bytes to store; custom kinds with their keys sorted, as the real server writes
        them.
        """
        meta = stored["metadata"]
        version = meta.pop("resourceVersion", None)
        try:
            if not resource.custom:
                value = json_format.dumps_kept(stored)
                if self._fresh is not None:
                    self._fresh.made(value, stored)
                return value
            value = json_format.dumps_sorted(stored)
            if b".0" in value and _WHOLE_FLOAT.search(value) and _whole_floats(stored):
                value = json_format.dumps_sorted(stored)
            return value
        finally:
            if version is not None:
                meta["resourceVersion"] = version

    def to_stored(self, resource: ResourceType, version: Version, obj: Json) -> Json:
        """The object in the stored form. It may be the argument itself."""
        if version.to_stored is not None:
            obj = version.to_stored(obj)
        elif version.kind == resource.stored:
            return obj
        head = {"kind": resource.stored.kind, "apiVersion": resource.stored.api_version}
        return {**head, **obj, **head}

    def from_stored(
        self, resource: ResourceType, version: Version, obj: Json | None
    ) -> Json | None:
        """The object in a served version. It may be the argument itself."""
        if obj is None:
            return None
        if version.from_stored is not None:
            obj = version.from_stored(obj)
        elif version.kind == resource.stored:
            return obj
        head = {"kind": version.kind.kind, "apiVersion": version.kind.api_version}
        return {**head, **obj, **head}

    def absent(self, schema: Schema, path: tuple[str, ...]) -> Any:
        """What a field prints that was never set; `MISSING` where it does not print at all."""
        for name in path[:-1]:
            p = schema.properties.get(name)
            if p is None:
                return MISSING
            schema = p.schema
        last = schema.properties.get(path[-1])
        if last is None or not schema.typed or not emitted(last):
            return MISSING
        return None if last.pointer else self.decoders.zero(last.schema)()

    def converter(
        self, resource: ResourceType
    ) -> Callable[[Json, str], tuple[Json, Schema] | None]:
        """Converts between served versions: from the one an object names to the one asked for by
        apiVersion; None where either is not served."""
        by_name = {v.kind.api_version: v for v in resource.versions.values()}

        def convert(obj: Json, api_version: str) -> tuple[Json, Schema] | None:
            source, target = by_name.get(obj.get("apiVersion", "")), by_name.get(api_version)
            if source is None or target is None:
                return None
            if resource.conversions is not None:
                return resource.conversions.converted(obj, target.name), target.schema()
            stored = self.to_stored(resource, source, obj)
            converted = self.from_stored(resource, target, stored)
            assert converted is not None
            return converted, target.schema()

        return convert
