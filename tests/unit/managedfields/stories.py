"""One object through applies and updates, for the tests of server-side apply."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kapi.errors import ApiError
from kapi.kinds.shared.types import TypeTable
from kapi.managedfields.apply import Apply, applied
from kapi.managedfields.fieldset import FieldSet
from kapi.managedfields.manager import Convert, FieldManager
from kapi.schema.decoding import Decoders
from kapi.schema.structural import Schema

Json = dict[str, Any]
TYPES = TypeTable()
CONFIG_MAP = TYPES.schema("io.k8s.api.core.v1.ConfigMap")
SERVICE = TYPES.schema("io.k8s.api.core.v1.Service")
POD = TYPES.schema("io.k8s.api.core.v1.Pod")


def not_served(obj: Json, api_version: str) -> tuple[Json, Schema] | None:
    return None


class Story:
    """One object of a kind through applies and updates; each takes a second."""

    def __init__(
        self, schema: Schema = CONFIG_MAP, kind: str = "ConfigMap", api_version: str = "v1"
    ) -> None:
        self.decoders = Decoders()
        self.fields = FieldManager(self.decoders)
        self.schema, self.kind, self.api_version = schema, kind, api_version
        self.live: Json | None = None
        self.second = 0

    @property
    def now(self) -> str:
        return f"2026-01-01T00:00:{self.second:02d}Z"

    def body(self, body: Json, meta: Json, api_version: str = "") -> Json:
        return {
            "apiVersion": api_version or self.api_version,
            "kind": self.kind,
            "metadata": {"name": "x", **meta},
            **body,
        }

    def apply(
        self,
        manager: str,
        body: Json,
        *,
        force: bool = False,
        subresource: str = "",
        reset: FieldSet | None = None,
        convert: Convert = not_served,
        api_version: str = "",
        meta: Json | None = None,
    ) -> Json:
        self.second += 1
        config = self.body(body, meta or {}, api_version)
        before = copy.deepcopy((self.live, config))
        asked = Apply(
            schema=self.schema,
            api_version=api_version or self.api_version,
            kind=self.kind,
            manager=manager,
            subresource=subresource,
            force=force,
            now=self.now,
            convert=convert,
            reset=reset,
        )
        result = applied(self.fields, self.live, config, asked)
        assert (self.live, config) == before
        return self.keep(result.object, result.managed)

    def update(self, manager: str, body: Json, meta: Json | None = None) -> Json:
        self.second += 1
        new, _ = self.decoders.decode(self.schema, self.body(body, meta or {}))
        managed = self.fields.updated(
            live=self.live, new=new, schema=self.schema, api_version=self.api_version,
            manager=manager, subresource="", now=self.now, convert=not_served,
        )  # fmt: skip
        return self.keep(new, managed)

    def keep(self, obj: Json, managed: list[Json]) -> Json:
        decoded: Json = self.decoders.decode(self.schema, obj)[0]
        meta = {**decoded["metadata"], "uid": "u", "resourceVersion": str(self.second)}
        meta.pop("managedFields", None)
        if managed:
            meta["managedFields"] = managed
        self.live = {**decoded, "metadata": meta}
        return self.live

    @property
    def owners(self) -> dict[tuple[str, str], Json]:
        assert self.live is not None
        return {
            (e["manager"], e["operation"]): e["fieldsV1"]
            for e in self.live["metadata"].get("managedFields", [])
        }

    def entry(self, manager: str) -> Json:
        assert self.live is not None
        found: Json = next(
            e for e in self.live["metadata"]["managedFields"] if e["manager"] == manager
        )
        return found

    def refused(self, manager: str, body: Json, **how: Any) -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.apply(manager, body, **how)
        return caught.value
