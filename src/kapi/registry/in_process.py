"""Reading and writing objects in process, as the server itself or, for controllers, as one of the
accounts they have in a cluster.

Writes go through the same pipeline as a request's; objects are decoded and defaulted as if they
had come in one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import orjson

from kapi import errors
from kapi.admission.quotas.gate import QuotaGate
from kapi.codec.spelled import split
from kapi.errors import ApiError
from kapi.messages import UserInfo
from kapi.registry.applying import Applier
from kapi.registry.change import Change
from kapi.registry.delete import Deleter, Deletion
from kapi.registry.edits import with_version
from kapi.registry.hooks import Hook
from kapi.registry.options import DeleteOptions, Preconditions, WriteOptions
from kapi.registry.resource import ResourceTable, ResourceType, Version
from kapi.registry.storing import storage_call
from kapi.registry.versions import Versions
from kapi.registry.write import Writer
from kapi.storage import keys
from kapi.storage.interface import Storage

Json = dict[str, Any]
USER = UserInfo(name="system:apiserver", groups=("system:masters",))
MANAGER = "kube-apiserver"


class InProcess:
    """Objects by (group, plural), in the version named by their apiVersion."""

    def __init__(
        self,
        table: ResourceTable,
        storage: Storage,
        versions: Versions,
        writer: Writer,
        deleter: Deleter,
        applier: Applier,
        user: UserInfo = USER,
        manager: str = MANAGER,
    ) -> None:
        """`user` is seen by admission, `manager` owns what is written."""
        self._user = user
        self._manager = manager
        self._applier = applier
        self._table = table
        self._storage = storage
        self._versions = versions
        self._writer = writer
        self._deleter = deleter

    def acting_as(self, user: UserInfo, manager: str) -> InProcess:
        """The same objects, seen and written by somebody else."""
        return InProcess(
            self._table,
            self._storage,
            self._versions,
            self._writer,
            self._deleter,
            self._applier,
            user,
            manager,
        )

    def _resource(self, group: str, plural: str) -> ResourceType:
        resource = self._table.get(group, plural)
        if resource is None:
            raise errors.path_not_found()
        return resource

    def _version(self, resource: ResourceType, obj: Json) -> Version:
        wanted = obj.get("apiVersion")
        for version in resource.versions.values():
            if version.kind.api_version == wanted:
                return version
        raise errors.path_not_found()

    async def get(self, group: str, plural: str, namespace: str, name: str) -> Json | None:
        """The object as the store has it now, in the preferred version."""
        resource = self._resource(group, plural)
        record = await storage_call(self._storage.get(keys.object_key(resource, namespace, name)))
        if record is None:
            return None
        version = next(iter(resource.versions.values()))

        def read() -> Json | None:
            stored = self._versions.decode_stored(resource, record)
            return self._versions.from_stored(resource, version, stored)

        if resource.conversions is None:
            return read()
        with resource.conversions.session() as session:
            return await session.step(read)

    def _change(self, group: str, plural: str, namespace: str, obj: Json, mode: Any) -> Change:
        resource = self._resource(group, plural)
        version = self._version(resource, obj)
        schema = version.schema()

        def propose(current: Json | None) -> Json:
            proposed, _ = self._versions.decoders.decode(schema, obj)
            self._versions.defaulters.default(schema, proposed)
            head = {"kind": version.kind.kind, "apiVersion": version.kind.api_version}
            return {**head, **proposed, **head}

        return Change(
            resource=resource,
            version=version,
            namespace=namespace,
            name=obj["metadata"]["name"],
            propose=propose,
            mode=mode,
            options=WriteOptions(),
            user=self._user,
            manager=self._manager,
        )

    async def create(self, group: str, plural: str, namespace: str, obj: Json) -> None:
        """Raises ApiError 409 if it exists."""
        await self._writer.commit(self._change(group, plural, namespace, obj, "create"))

    async def update(self, group: str, plural: str, namespace: str, obj: Json) -> None:
        """Raises ApiError 409 if it changed meanwhile, 404 if it is gone."""
        await self._writer.commit(self._change(group, plural, namespace, obj, "update"))

    async def update_status(self, group: str, plural: str, namespace: str, obj: Json) -> Json:
        """The status of an object at its resourceVersion; the object as it is then. Raises
        ApiError 409, 404.
        """
        change = self._change(group, plural, namespace, obj, "update")
        written = await self._writer.commit(replace(change, subresource="status"))
        return written.object

    async def apply(
        self, group: str, plural: str, subresource: str, config: Json, manager: str
    ) -> None:
        """Apply a configuration by force, as `manager`. Raises ApiError 404 if there is nothing."""
        resource = self._resource(group, plural)
        version = self._version(resource, config)
        meta = config["metadata"]

        def propose(current: Json | None) -> Json:
            return self._applier.proposal(
                resource, version, subresource, config, manager, force=True, current=current
            )

        change = Change(
            resource=resource,
            version=version,
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            propose=propose,
            mode="apply",
            options=WriteOptions(),
            user=self._user,
            manager=manager,
            subresource=subresource,
        )
        await self._writer.commit(change)

    async def delete(
        self, group: str, plural: str, namespace: str, name: str, *, version_is: str | None = None
    ) -> None:
        """Gone, also if it never was. Raises ApiError 409 if it is not at `version_is`."""
        resource = self._resource(group, plural)
        version = next(iter(resource.versions.values()))
        deletion = Deletion(
            resource=resource,
            version=version,
            namespace=namespace,
            name=name,
            options=DeleteOptions(preconditions=Preconditions(resource_version=version_is)),
            user=self._user,
        )
        try:
            await self._deleter.delete(deletion)
        except ApiError as e:
            if e.code != 404:
                raise

    # -- by resource type, in the stored form ------------------------------------------------------

    async def read(self, resource: ResourceType, namespace: str, name: str) -> Json | None:
        """The object as the store has it now, byte for byte, with its resourceVersion: nothing is
        converted, so that its metadata can be read whatever became of its schema."""
        key = keys.object_key(resource, namespace if resource.namespaced else "", name)
        record = await storage_call(self._storage.get(key))
        if record is None:
            return None
        return with_version(orjson.loads(split(record.value)[0]), record.revision)

    async def edit(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        change: Callable[[Json], None],
        *,
        subresource: str = "",
    ) -> None:
        """Change what stands there; again, if somebody else changed it meanwhile.

        `change` edits a copy in place, in the version that is stored where that one is served; it
        may raise an ApiError to leave it. Raises ApiError: 404, and what a write is refused with.
        """

        def propose(current: Json | None) -> Json:
            if current is None:
                raise errors.not_found(resource.group, resource.plural, name)
            proposed: Json = copy.deepcopy(current)
            change(proposed)
            proposed["metadata"].pop("resourceVersion", None)
            return proposed

        await self._writer.commit(
            Change(
                resource=resource,
                version=_near_stored(resource),
                namespace=namespace,
                name=name,
                propose=propose,
                mode="patch",
                options=WriteOptions(),
                user=self._user,
                manager=self._manager,
                subresource=subresource,
            )
        )

    async def edit_named(
        self, group: str, plural: str, namespace: str, name: str, change: Callable[[Json], None]
    ) -> None:
        """The same by group and plural."""
        await self.edit(self._resource(group, plural), namespace, name, change)

    async def remove(
        self, resource: ResourceType, namespace: str, name: str, options: DeleteOptions
    ) -> bool:
        """Delete as asked for; whether it is gone at once. Raises ApiError: 403, 404, 409."""
        deletion = Deletion(
            resource=resource,
            version=_near_stored(resource),
            namespace=namespace,
            name=name,
            options=options,
            user=self._user,
        )
        return (await self._deleter.delete(deletion)).gone


def _near_stored(resource: ResourceType) -> Version:
    """The version that needs the least conversion."""
    stored = (v for v in resource.versions.values() if v.kind == resource.stored)
    return next(stored, None) or next(iter(resource.versions.values()))


class LateObjects:
    """In-process objects for those who are made before the writer that they go through."""

    def __init__(self, controllers: Collection[str], quotas: Callable[[str], Any]) -> None:
        """`controllers`: those that run in this process. `quotas`: what a namespace has of them."""
        self._inner: InProcess | None = None
        # Is told what is written into quotas, where they are counted.
        self.quota_gate = QuotaGate(quotas) if "resourcequota" in controllers else None

    def hooks(self, *others: Hook) -> tuple[Hook, ...]:
        """The hooks of the write pipeline, in their order."""
        return others if self.quota_gate is None else (self.quota_gate, *others)

    def bind(self, inner: InProcess) -> None:
        self._inner = inner

    async def live(self, plural: str, namespace: str, name: str) -> Json | None:
        assert self._inner is not None, "bound before anybody asks"
        return await self._inner.get("", plural, namespace, name)

    async def write_quota(self, namespace: str, quota: Json) -> None:
        assert self._inner is not None, "bound before anybody asks"
        if self.quota_gate is not None:
            self.quota_gate.wrote(namespace, quota["metadata"]["name"], quota["status"]["used"])
        await self._inner.update_status("", "resourcequotas", namespace, quota)

    async def label_secret(self, namespace: str, name: str, key: str, value: str) -> None:
        """Raises ApiError 404."""
        assert self._inner is not None, "bound before anybody asks"

        def change(secret: Json) -> None:
            labels = {**(secret["metadata"].get("labels") or {}), key: value}
            secret["metadata"]["labels"] = {k: labels[k] for k in sorted(labels)}

        await self._inner.edit_named("", "secrets", namespace, name, change)

    async def get(self, group: str, plural: str, namespace: str, name: str) -> Json | None:
        assert self._inner is not None, "bound before anybody asks"
        return await self._inner.get(group, plural, namespace, name)

    async def create(self, group: str, plural: str, obj: Json) -> None:
        assert self._inner is not None, "bound before anybody asks"
        await self._inner.create(group, plural, "", obj)

    async def delete(self, group: str, plural: str, name: str) -> None:
        assert self._inner is not None, "bound before anybody asks"
        await self._inner.delete(group, plural, "", name)
