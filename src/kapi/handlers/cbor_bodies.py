"""Bodies in CBOR become objects: what `decode.py` does for the other forms.

Made by `Decoder` for the first body of this kind. The real server reads such a body twice: first
for its kind, then into the type of that kind; both can fail, and say so differently. Repeated names
are always errors. Of the unknown fields of built-in kinds only the first is told of, by its place;
of custom ones none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kapi import errors
from kapi.codec import cbor_format, json_format
from kapi.codec.cbor_diagnosis import diagnosed
from kapi.codec.cbor_format import CborError, Unusual
from kapi.handlers.body_words import not_registered
from kapi.registry.resource import GroupVersionKind
from kapi.schema import cbor_reading
from kapi.schema.cbor_reading import Typed
from kapi.schema.cbor_values import UnknownField
from kapi.schema.cbor_writing import CborWriters
from kapi.schema.complaints import type_error
from kapi.schema.decoding import Decoders
from kapi.schema.scalars import BY_FORMAT, Mismatch, Unknown, read_quantity
from kapi.schema.spellings import Spellings
from kapi.schema.structural import Schema

if TYPE_CHECKING:
    from kapi.handlers.decode import Decoder, Rules

Json = dict[str, Any]
UNKNOWN_KIND = "unable to determine group/version/kind: "


def _read_quantity(value: Any, unknown: Unknown) -> Any:
    """In JSON a number is one, too."""
    if value.__class__ is not str:
        raise Mismatch
    return read_quantity(value, unknown)


class CborBodies:
    """One per server."""

    def __init__(self, decoder: Decoder, schema_of: Callable[[str, str], Schema | None]) -> None:
        self._decoder = decoder
        self._schema_of = schema_of
        self._decoders = Decoders({**BY_FORMAT, "quantity": _read_quantity})
        self._writers = CborWriters()
        self._spellings = Spellings()

    def compile(self, schema: Schema) -> None:
        """What `decode` needs, made before another thread uses it."""
        self._decoders.decoder(schema)
        self._writers.plain(schema)
        self._spellings.places(schema)

    def decode(
        self,
        data: bytes,
        kind: GroupVersionKind,
        schema: Schema,
        rules: Rules,
        accepts: Callable[[GroupVersionKind], bool],
    ) -> tuple[Json, GroupVersionKind]:
        """As `Decoder.decode`. Raises ApiError 400."""
        if schema.typed:
            obj, found = self._typed(data, kind, schema, rules, accepts)
            if found == kind:
                self._spellings.anew(schema, obj)  # raw fields become JSON by way of Go's map
            return obj, found
        value = self._custom(data, kind)
        found = _custom_kind(value)
        if not found.kind:
            why = f"Object 'Kind' is missing in '{_shown(data)}'"
            raise self._decoder.unreadable(kind, why, data)
        if not found.version:
            raise self._no_version(data, found, kind)
        return self._decoder.custom(value, found, kind, schema), found

    def options(self, data: bytes, kind: GroupVersionKind, schema: Schema) -> Json:
        """A small body that is not an object. Raises ApiError 400."""
        try:
            found = completed(*cbor_reading.type_meta(data), kind)
        except CborError as e:
            raise errors.bad_request(f"{UNKNOWN_KIND}{e}") from None
        if found.kind != kind.kind:
            raise errors.bad_request(not_registered(found))
        try:
            return self._taken(schema, Typed(data).whole(schema))
        except CborError as e:
            raise errors.bad_request(str(e)) from None

    # -- built-in kinds ---------------------------------------------------------------------------

    def _typed(
        self,
        data: bytes,
        kind: GroupVersionKind,
        schema: Schema,
        rules: Rules,
        accepts: Callable[[GroupVersionKind], bool],
    ) -> tuple[Json, GroupVersionKind]:
        value = self._plain(data, schema)
        if value is not None:
            found = completed(value.get("apiVersion") or "", value.get("kind") or "", kind)
        else:
            try:
                found = completed(*cbor_reading.type_meta(data), kind)
            except CborError as e:
                raise self._decoder.unreadable(kind, f"{UNKNOWN_KIND}{e}", data) from None
        if not found.version:
            raise self._no_version(data, found, kind)
        if found != kind:
            if accepts(found):
                return (cbor_reading.object_of(data) if value is None else value), found
            self._check_as(data, found, kind)
            raise self._decoder.wrong_kind(found, kind)
        if value is not None:
            try:
                obj, unknown = self._decoders.decode(schema, value)
                if not unknown or rules["field_validation"] == "Ignore":
                    return obj, found
            except Mismatch:
                pass
        try:
            return self._careful(data, kind, schema, rules), found
        except CborError as e:
            raise self._decoder.cannot_be(found, kind, str(e)) from None

    def _plain(self, data: bytes, schema: Schema) -> Json | None:
        """A plain document, if nothing in it is to be told apart that only looks alike: where a
        schema has bytes, byte strings and text are not the same.
        """
        try:
            value = cbor_format.loads(data, texts=self._writers.plain(schema))
        except Unusual:
            return None
        if value.__class__ is not dict:
            return None
        head = (value.get("apiVersion"), value.get("kind"))
        return value if all(x is None or x.__class__ is str for x in head) else None

    def _careful(self, data: bytes, kind: GroupVersionKind, schema: Schema, rules: Rules) -> Json:
        """Raises CborError, ApiError."""
        strict = rules["field_validation"]
        if strict == "Ignore":
            return self._taken(schema, Typed(data).whole(schema))
        try:
            return self._taken(schema, Typed(data, strict=True).whole(schema))
        except UnknownField as e:
            words = str(e)
        obj = self._taken(schema, Typed(data).whole(schema))
        if strict == "Strict":
            raise self._decoder.cannot_be(kind, kind, f"strict decoding error: {words}")
        rules["warn"](words)
        return obj

    def _taken(self, schema: Schema, value: Any) -> Json:
        value = {} if value is None else value
        try:
            obj, _ = self._decoders.decode(schema, value)
        except Mismatch:
            exact = json_format.loads_exact(json_format.dumps(value))
            raise CborError(type_error(schema, exact)) from None
        return obj if isinstance(obj, dict) else {}

    def _check_as(self, data: bytes, found: GroupVersionKind, kind: GroupVersionKind) -> None:
        """What is wrong with a body of another kind, as such, is said first."""
        schema = self._schema_of(found.api_version, found.kind)
        if schema is None:
            return
        try:
            Typed(data).whole(schema)
        except CborError as e:
            raise self._decoder.cannot_be(found, kind, str(e)) from None

    def _no_version(
        self, data: bytes, found: GroupVersionKind, kind: GroupVersionKind
    ) -> errors.ApiError:
        found = GroupVersionKind(found.group, "", found.kind)
        why = f"Object 'apiVersion' is missing in '{_shown(data)}'"
        return self._decoder.cannot_be(found, kind, why)

    # -- custom kinds -----------------------------------------------------------------------------

    def _custom(self, data: bytes, kind: GroupVersionKind) -> Json:
        try:
            value = cbor_format.loads(data)
            if value.__class__ is dict:
                return value
        except Unusual:
            pass
        try:
            return cbor_reading.object_of(data)
        except CborError as e:
            words = str(e)
        try:
            found = completed(*cbor_reading.type_meta(data), kind)
        except CborError as e:
            raise self._decoder.unreadable(kind, f"{UNKNOWN_KIND}{e}", data) from None
        raise self._decoder.cannot_be(found, kind, words)


def completed(api_version: str, name: str, default: GroupVersionKind) -> GroupVersionKind:
    """The kind a body names, completed by the expected one."""
    if api_version.count("/") > 1:
        api_version = ""
    group, _, version = api_version.rpartition("/")
    if not version and group in ("", default.group):
        group, version = default.group, default.version
    return GroupVersionKind(group, version, name or default.kind)


def _custom_kind(value: Json) -> GroupVersionKind:
    """The kind that an object calls itself; empty where it is none."""
    texts = [x if isinstance(x := value.get(n), str) else "" for n in ("apiVersion", "kind")]
    if texts[0].count("/") > 1:
        return GroupVersionKind("", "", "")
    group, _, version = texts[0].rpartition("/")
    return GroupVersionKind(group, version, texts[1])


def _shown(data: bytes) -> str:
    try:
        return diagnosed(data)
    except CborError:
        return data.hex()
