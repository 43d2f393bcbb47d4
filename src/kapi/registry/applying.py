"""Server-side apply as a proposal of the write pipeline: lay a configuration over the object,
decode, default.

Used by `handlers/patch.py` for requests and by controllers in process, which apply as clients do.
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi import errors
from kapi.clock import Clock, rfc3339
from kapi.codec import json_format
from kapi.managedfields.apply import Applied, Apply, applied
from kapi.managedfields.fieldset import FieldSet
from kapi.managedfields.manager import FieldManager
from kapi.registry.resource import GroupVersionKind, ResourceType, Version
from kapi.registry.versions import Versions
from kapi.schema.complaints import type_error
from kapi.schema.scalars import Mismatch
from kapi.schema.structural import Schema

Json = dict[str, Any]


class Applier:
    """One per server."""

    def __init__(self, versions: Versions, fields: FieldManager, clock: Clock) -> None:
        self._versions = versions
        self._fields = fields
        self._clock = clock

    def proposal(
        self,
        resource: ResourceType,
        version: Version,
        subresource: str,
        config: Any,
        manager: str,
        *,
        force: bool,
        current: Json | None,
    ) -> Json:
        """The object with a configuration laid over it, and its managedFields.

        Raises ApiError: 400, 409 (conflicts), 500 (what the schema does not know).
        """
        kind, schema, strategy = version.kind, version.schema(), resource.strategy
        paths = strategy.resets(subresource, version.name)
        asked = Apply(
            schema=schema,
            api_version=kind.api_version,
            kind=kind.kind,
            manager=manager,
            subresource=subresource,
            force=force,
            now=rfc3339(self._clock.now()),
            convert=self._versions.converter(resource),
            reset=FieldSet.of(
                *(tuple(f"f:{name}" for name in path) for path in (*paths, *strategy.unowned))
            ),
        )
        out = applied(self._fields, current, config, asked)
        # What is decoded is the proposal's own: nothing of `current` is shared.
        text = orjson.dumps(out.object)
        try:
            obj, _ = self._versions.decoders.decode(schema, orjson.loads(text))
        except Mismatch:
            words = type_error(schema, json_format.loads_exact(text))
            raise errors.bad_request(
                f"failed to convert new object to proper version: {words} (to {kind.api_version})"
            ) from None
        self._versions.defaulters.default(schema, obj)
        self._versions.spellings.applied(schema, obj, current)
        head: Json = {"kind": kind.kind, "apiVersion": kind.api_version}
        head.update(obj)
        head["kind"], head["apiVersion"] = kind.kind, kind.api_version
        meta = head.setdefault("metadata", {})
        if out.managed:
            meta["managedFields"] = out.managed
        else:
            meta.pop("managedFields", None)
        return head

    def laid_over(
        self,
        live: Json,
        config: Any,
        schema: Schema,
        kind: GroupVersionKind,
        manager: str,
        subresource: str,
        *,
        force: bool,
    ) -> Applied:
        """A configuration of a subresource's own kind laid over its live object."""
        asked = Apply(
            schema=schema,
            api_version=kind.api_version,
            kind=kind.kind,
            manager=manager,
            subresource=subresource,
            force=force,
            now=rfc3339(self._clock.now()),
            convert=lambda obj, version: (obj, schema) if version == kind.api_version else None,
        )
        return applied(self._fields, live, config, asked)
