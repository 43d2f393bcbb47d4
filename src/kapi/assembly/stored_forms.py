"""What the real server keeps in etcd: the form of each value, by its key.

Built-in kinds are messages of Protocol Buffers in their envelope, in the version that the real
server stores (`ResourceType.in_shared_store`); a few of them, and all custom kinds, are JSON with a
line end. Both are read for every kind, in any version that is known. `storage/translation.py` calls
this at the border of the store; made by `server.py` of the catalog.

| kind | form | because |
|---|---|---|
| built-in | `k8s` NUL + runtime.Unknown | `--storage-media-type` |
| CustomResourceDefinition, APIService | JSON | their servers' codecs have no other |
| custom | JSON, keys sorted; CBOR | CBOR with the gate CBORServingAndStorage; read in any case |

https://github.com/kubernetes/kubernetes/blob/master/pkg/controlplane/apiserver/apiextensions.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from kapi.codec import json_format
from kapi.codec.protobuf_format import MAGIC, BadEnvelope, ProtobufError, open_envelope, sealed
from kapi.codec.spelled import split
from kapi.kinds.definitions import old_form
from kapi.registry.fresh import Fresh
from kapi.registry.resource import Convert, GroupVersionKind, ResourceType
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.schema.ordering import Orders
from kapi.schema.protobuf_reading import Readers
from kapi.schema.protobuf_writing import Writers
from kapi.schema.structural import Schema
from kapi.storage import keys
from kapi.storage.interface import Corrupt, check_readable

Json = dict[str, Any]
SchemaOf = Callable[[str, str], Schema | None]  # of a built-in kind, by apiVersion and kind

JSON: Final = "application/json"
CBOR_MAGIC: Final = b"\xd9\xd9\xf7"  # the tag that says that this is CBOR
# Forms that are stored and not served, so that only a conversion knows them.
_OLD: Final = {
    (kind.api_version, kind.kind): convert for kind, (convert, _) in old_form.CONVERSIONS.items()
}
_JSON_GROUPS: Final = frozenset(("apiextensions.k8s.io", "apiregistration.k8s.io"))


class StoredForms:
    """A `Forms` for the built-in kinds that it was told of; everything else is custom."""

    def __init__(
        self,
        schema_of: SchemaOf,
        resources: Iterable[ResourceType],
        extra: Iterable[tuple[str, str, str]],
        media_type: str,
        *,
        cbor: bool = False,
        fresh: Fresh | None = None,
    ) -> None:
        """`extra`: (prefix, apiVersion, kind) of what has no resource: ranges and the like.
        `cbor`: custom objects are written so. `fresh`: may have the object of a value."""
        self._fresh = fresh
        self._cbor = cbor
        decoders = Decoders()
        self._schema_of = schema_of
        self._readers = Readers(decoders)
        self._decoders = decoders
        self._defaulters = Defaulters()
        self._orders = Orders()
        self._writers = Writers()
        self._json = media_type == JSON
        self._resources = {r.storage_prefix: r for r in resources if r.stored_in_store}
        self._extra = {prefix: (api_version, kind) for prefix, api_version, kind in extra}

    # -- writing ----------------------------------------------------------------------------------

    def encode(self, key: str, value: bytes) -> bytes:
        prefix = self._prefix(key)
        resource = self._resources.get(prefix)
        if resource is not None:
            return self._encoded(resource, value)
        if prefix not in self._extra and self._cbor:
            return _as_cbor(value)
        if prefix not in self._extra or self._json:
            return value + b"\n"
        api_version, kind = self._extra[prefix]
        return self._message(api_version, kind, json_format.loads(value))

    def _encoded(self, resource: ResourceType, value: bytes) -> bytes:
        kind = resource.in_shared_store
        is_json = self._json or kind.group in _JSON_GROUPS
        if kind == resource.stored:
            if is_json:
                return split(value)[0] + b"\n"
            return self._message(kind.api_version, kind.kind, self._said(value))
        obj: Json = json_format.loads_kept(value)
        _, convert = _conversions(resource, kind)
        obj = {**(obj if convert is None else convert(obj)), "apiVersion": kind.api_version}
        if is_json:
            return json_format.dumps(obj) + b"\n"
        return self._message(kind.api_version, kind.kind, obj)

    def _said(self, value: bytes) -> Json:
        """The object that JSON says, as it is stored; only to be looked at."""
        obj = None if self._fresh is None else self._fresh.take(value)
        if obj is None:
            read: Json = json_format.loads_kept(value)
            return read
        meta = obj["metadata"]
        if "resourceVersion" in meta:
            kept = {name: x for name, x in meta.items() if name != "resourceVersion"}
            return {**obj, "metadata": kept}
        return obj

    def _message(self, api_version: str, kind: str, obj: Json) -> bytes:
        schema = self._schema_of(api_version, kind)
        assert schema is not None, "a built-in kind has a schema"
        return sealed(api_version, kind, self._writers.write(schema, obj))

    # -- reading ----------------------------------------------------------------------------------

    def decode(self, key: str, value: bytes) -> bytes:
        """JSON as kapi keeps it. Raises Corrupt."""
        if value.startswith(MAGIC):
            return self._from_message(key, value)
        if value.startswith(b"{"):
            return self._from_json(key, value)
        if value.startswith(CBOR_MAGIC) and self._custom(key):
            return _from_cbor(value)
        check_readable(value)
        raise Corrupt("encoded object has no known form")

    def _from_message(self, key: str, value: bytes) -> bytes:
        try:
            envelope = open_envelope(value)
            schema = self._schema_of(envelope.api_version, envelope.kind)
            if schema is None:
                raise Corrupt(_unknown(envelope.api_version, envelope.kind))
            obj = self._readers.read(schema, envelope.raw)
        except (BadEnvelope, ProtobufError) as error:
            raise Corrupt(str(error)) from None
        head = {"kind": envelope.kind, "apiVersion": envelope.api_version}
        return self._whole(key, schema, {**head, **obj})

    def _whole(self, key: str, schema: Schema, obj: Json) -> bytes:
        """What was read, with the defaults that the real server fills in at every reading."""
        self._defaulters.default(schema, obj)
        self._orders.arrange(schema, obj)
        return json_format.dumps_kept(self._stored(key, obj))

    def _from_json(self, key: str, value: bytes) -> bytes:
        resource = self._resources.get(self._prefix(key))
        value = value.rstrip(b"\n")
        if resource is None:
            return value
        stored = resource.stored
        start = b'{"kind":"%b","apiVersion":"%b",' % (
            stored.kind.encode(),
            stored.api_version.encode(),
        )
        if value.startswith(start) and b'"creationTimestamp":null' not in value:
            return value
        try:
            obj: Json = json_format.loads(value)
            head = (obj.get("apiVersion", ""), obj.get("kind", ""))
        except (json_format.JsonSyntaxError, AttributeError) as error:
            raise Corrupt(str(error)) from None
        convert = _OLD.get(head)
        if convert is not None:
            obj = convert(obj)
            head = (stored.api_version, stored.kind)
        schema = self._schema_of(*head)
        if schema is None:
            raise Corrupt(_unknown(*head))
        typed, _ = self._decoders.decode(schema, obj)
        return self._whole(key, schema, {"kind": head[1], "apiVersion": head[0], **typed})

    def _stored(self, key: str, obj: Json) -> Json:
        """An object of any version in the stored one."""
        resource = self._resources.get(self._prefix(key))
        if resource is None or obj["apiVersion"] == resource.stored.api_version:
            return obj
        group, _, version = obj["apiVersion"].rpartition("/")
        kind = GroupVersionKind(group, version, obj["kind"])
        try:
            convert, _ = _conversions(resource, kind)
        except LookupError:
            raise Corrupt(_unknown(obj["apiVersion"], obj["kind"])) from None
        if convert is not None:
            obj = convert(obj)
        head = {"kind": resource.stored.kind, "apiVersion": resource.stored.api_version}
        return {**head, **obj, **head}

    def _custom(self, key: str) -> bool:
        prefix = self._prefix(key)
        return prefix not in self._resources and prefix not in self._extra

    def _prefix(self, key: str) -> str:
        """The storage prefix of a key: one segment or two."""
        start = len(keys.ROOT)
        end = key.find("/", start)
        first = key[start:end]
        if first in self._resources or first in self._extra:
            return first
        return key[start : key.find("/", end + 1)] if "/" in key[end + 1 :] else key[start:]


def _conversions(
    resource: ResourceType, kind: GroupVersionKind
) -> tuple[Convert | None, Convert | None]:
    """From a form into the one that is worked with, and back; None: only its name changes.

    Raises LookupError.
    """
    known = old_form.CONVERSIONS.get(kind)
    if known is not None:
        return known
    for version in resource.versions.values():
        if version.kind == kind:
            return version.to_stored, version.from_stored
    raise LookupError(kind.api_version)


def _as_cbor(value: bytes) -> bytes:
    from kapi.codec.cbor_format import dumps_sorted, tagged

    return tagged(dumps_sorted(json_format.loads(value)))


def _from_cbor(value: bytes) -> bytes:
    """Raises Corrupt."""
    from kapi.codec.cbor_format import CborError
    from kapi.schema.cbor_reading import loads

    try:
        obj = loads(value)
    except CborError as error:
        raise Corrupt(str(error)) from None
    if not isinstance(obj, dict):
        raise Corrupt("encoded object has no known form")
    return json_format.dumps_sorted(obj)


def _unknown(api_version: str, kind: str) -> str:
    return f'no kind "{kind}" is registered for version "{api_version}"'
