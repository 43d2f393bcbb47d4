"""Puts `apiextensions/` into a server: what following the definitions does to it.

Called by `server.py` once the core is built; `background/loops.py` runs the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.apiextensions.conversion import Converter
from kapi.apiextensions.definitions import Definitions, Effects
from kapi.apiextensions.serving import Surroundings
from kapi.apiextensions.strategy import Checks
from kapi.cacher.cacher import Cacher
from kapi.clock import Clock
from kapi.errors import ApiError
from kapi.kinds.catalog import Catalog
from kapi.kinds.definitions.apiextensions import GROUP, PLURAL
from kapi.managedfields.manager import FieldManager
from kapi.registry.delete import Deleter, Deletion
from kapi.registry.in_process import USER, InProcess
from kapi.registry.options import DeleteOptions
from kapi.registry.resource import ResourceTable, ResourceType, Version
from kapi.registry.storing import storage_call
from kapi.registry.versions import Versions
from kapi.schema.list_types import ListTypes
from kapi.schema.validation import Rules, Validators
from kapi.storage import keys
from kapi.storage.interface import Storage

Json = dict[str, Any]
INSTANCES_PER_PAGE = 500  # of a deleted kind, listed and deleted together


def surroundings(
    catalog: Catalog,
    versions: Versions,
    fields: FieldManager,
    converter: Converter,
    rules: Rules | None = None,
) -> Surroundings:
    """`converter`: asks webhooks. `rules`: evaluates x-kubernetes-validations."""
    return Surroundings(
        versions=versions,
        fields=fields,
        checks=Checks(Validators(), ListTypes(), rules),
        object_meta=catalog.object_meta(),
        scale=catalog.schema("io.k8s.api.autoscaling.v1.Scale"),
        converter=converter,
    )


def build_definitions(
    clock: Clock,
    around: Surroundings,
    table: ResourceTable,
    storage: Storage,
    cacher: Cacher,
    in_process: InProcess,
    deleter: Deleter,
    *,
    serve: Callable[[ResourceType], None],
    unserve: Callable[[str, str], None],
) -> Definitions:
    """Those that are in the store are served when this returns."""
    resource = table.get(GROUP, PLURAL)
    assert resource is not None, "definitions are always served"
    cache = cacher.cache(resource)
    assert cache is not None, "definitions are stored"

    def read(name: str) -> Json | None:
        item = cache.get("", name)
        return item.decode() if item is not None else None

    async def write(definition: Json) -> Json:
        return await in_process.update_status(GROUP, PLURAL, "", definition)

    async def delete_instances(kind: ResourceType, version: Version) -> int:
        return await _delete_all(storage, deleter, kind, version)

    definitions = Definitions(clock, around, Effects(serve, unserve, read, write, delete_instances))
    definitions.load(item.decode() for item in cache.list())
    return definitions


async def _delete_all(
    storage: Storage, deleter: Deleter, kind: ResourceType, version: Version
) -> int:
    """Delete every object of a kind; how many stay, held by finalizers."""
    left, last = 0, ""
    prefix = keys.prefix(kind)
    while True:
        page = await storage_call(storage.list(prefix, limit=INSTANCES_PER_PAGE, start_after=last))
        for record in page.records:
            namespace, name = keys.split(kind, record.key)
            deletion = Deletion(
                resource=kind,
                version=version,
                namespace=namespace,
                name=name,
                options=DeleteOptions(),
                user=USER,
            )
            try:
                deleted = await deleter.delete(deletion)
                left += not deleted.gone
            except ApiError as e:
                if e.code != 404:
                    raise
        if not page.remaining:
            return left
        last = page.records[-1].key
