"""`Encoder`: objects as messages of Protocol Buffers, or as CBOR, by the kind they name.

One per server; the answers about objects come through `forms.py`, those of discovery from here.
What is a message is the bytes of the object alone, as in a list; *sealed* is in its envelope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kapi.codec.protobuf_format import (
    BYTES,
    ENVELOPE_END,
    encoded,
    envelope_start,
    header,
    sealed,
    sized,
)
from kapi.schema.protobuf_kinds import SmallKinds
from kapi.schema.protobuf_writing import Writers
from kapi.schema.structural import Schema

if TYPE_CHECKING:
    from kapi.schema.cbor_writing import CborWriters

Json = dict[str, Any]
# The schema of a built-in kind by apiVersion and kind, None for others.
SchemaOf = Callable[[str, str], Schema | None]


class Encoder:
    def __init__(self, schema_of: SchemaOf, object_meta: Schema) -> None:
        self._schema_of = schema_of
        self._writers = Writers()
        self._small = SmallKinds(object_meta)
        self._cbor: CborWriters | None = None  # made for the first that is to be CBOR

    def message(self, schema: Schema, obj: Json) -> bytes:
        return self._writers.write(schema, obj)

    def sealed(self, obj: Json) -> bytes:
        """A built-in object of any kind."""
        api_version, kind = obj.get("apiVersion", ""), obj["kind"]
        schema = self._small.get(kind) or self._schema_of(api_version, kind)
        assert schema is not None, f"what is answered is of the API: {api_version} {kind}"
        return sealed(api_version, kind, self._writers.write(schema, obj))

    def cbor(self, schema: Schema | None, obj: Json) -> bytes:
        """An object as CBOR. `schema`: None for one that is written as it is."""
        if self._cbor is None:
            from kapi.schema.cbor_writing import CborWriters

            self._cbor = CborWriters()
        return self._cbor.dumps(schema, obj)

    def partial(self, partial: Json) -> bytes:
        """The message of a PartialObjectMetadata."""
        return self._writers.write(self._kind("PartialObjectMetadata"), partial)

    def sealed_list(
        self, api_version: str, kind: str, metadata: Json, items: Sequence[bytes]
    ) -> list[bytes]:
        """A list of messages in its envelope, in pieces: the items are not copied."""
        meta = sized(self._writers.write(self._kind("ListMeta"), metadata))
        before, after = header(1, BYTES) + meta, b""
        tag = header(2, BYTES)
        if (api_version, kind) == ("meta.k8s.io/v1beta1", "PartialObjectMetadataList"):
            # Its fields have their numbers the other way around.
            before, after, tag = b"", header(2, BYTES) + meta, header(1, BYTES)
        out = [b"", before]
        size = len(before) + len(after)
        for item in items:
            head = tag + encoded(len(item))
            out += (head, item)
            size += len(head) + len(item)
        out[0] = envelope_start(api_version, kind) + encoded(size)
        out += (after, ENVELOPE_END)
        return out

    def _kind(self, name: str) -> Schema:
        schema = self._small.get(name)
        assert schema is not None
        return schema
