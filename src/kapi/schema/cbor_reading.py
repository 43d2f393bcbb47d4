"""The careful reading of CBOR: what the fast reader leaves, and why what is wrong is wrong.

`value_of` gives any document as plain values. `Typed` reads one into the fields of a built-in kind
as the real decoder fills a Go struct: in the order of the bytes it remembers the first thing that
is wrong and reads on; a repeated name, or under strict reading one that the struct lacks, ends its
map at once. Errors have the real decoder's words. What `Typed` returns is what the same document
would be as JSON, without fields that the schema lacks; `decoding.py` goes over it again.

The fast ways are `codec/cbor_format.py` and `decoding.py`. Used by `handlers/cbor_bodies.py` and
for stored objects. https://pkg.go.dev/github.com/fxamacker/cbor/v2#DecOptions
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from kapi.codec import cbor_format
from kapi.codec.cbor_format import (
    ARRAY,
    BYTE_STRING,
    MAP,
    NEGATIVE,
    POSITIVE,
    TAG,
    TEXT_STRING,
    CborError,
    Unusual,
)
from kapi.codec.cbor_scanner import INT64_MAX, NAMES, check, too_deep
from kapi.codec.json_format import DEPTH_KEPT_MAX
from kapi.codec.protobuf_format import text
from kapi.errors import quote
from kapi.schema.cbor_values import (
    LATER,
    Misfit,
    Position,
    UnknownField,
    integer,
    repeated,
    shown,
    simple,
)
from kapi.schema.decoding_errors import bad_base64, reader_error
from kapi.schema.structural import Property, Schema

Json = dict[str, Any]

_RAW = {  # what the real server says before what is wrong inside
    "runtime.RawExtension": "failed to transcode RawExtension to JSON: "
    "failed to parse RawExtension bytes as CBOR: ",
    "v1.FieldsV1": "failed to transcode FieldsV1 to JSON: metav1.FieldsV1 cbor invalid: ",
}
_OWN_READER = ("date-time", "micro-time", "duration", "quantity", "int-or-string")
_ANY = Schema(type="any")
_STRING = Schema(type="string", go_type="string")
_INT32 = Schema(type="integer", format="int32", go_type="int32")
_INT64 = Schema(type="integer", format="int64", go_type="int64")
_UINT8 = Schema(type="integer", format="uint8", go_type="uint8")
_MAP_OF_ANY = Schema(type="map", go_type="map[string]interface {}", values=_ANY)
_LIST_OF_ANY = Schema(type="array", go_type="[]interface {}", items=_ANY)
_TYPE_META = Schema(
    type="object",
    go_type="v1.TypeMeta",
    properties={name: Property(name, _STRING) for name in ("kind", "apiVersion")},
)


def loads(data: bytes) -> Any:
    """Any document as plain values. Raises CborError."""
    try:
        return cbor_format.loads(data)
    except Unusual:
        return value_of(data)


def value_of(data: bytes) -> Any:
    """As `loads`, carefully throughout."""
    return Typed(data).whole(_ANY)


def object_of(data: bytes) -> Json:
    """As `loads`, for a document that is to be an object; null is an empty one."""
    found: Json = Typed(data).whole(_MAP_OF_ANY) or {}
    return found


def type_meta(data: bytes) -> tuple[str, str]:
    """apiVersion and kind, empty where a document has none. Raises CborError."""
    found = Typed(data).whole(_TYPE_META) or {}
    return found.get("apiVersion") or "", found.get("kind") or ""


class Typed(Position):
    """One reading of a document. `strict`: names that a struct lacks are errors."""

    def __init__(self, data: bytes, *, strict: bool = False) -> None:
        self._data = data
        self._strict = strict
        super().__init__(data)
        self._inside: CborError | None = None  # what is wrong inside a raw value: said last

    def whole(self, schema: Schema) -> Any:
        """The document. Raises CborError."""
        check(self._data)
        try:
            found = self.value(schema, schema.go_type, DEPTH_KEPT_MAX)
        except RecursionError:
            raise too_deep() from None
        if self._inside is not None:
            raise self._inside
        return found

    # Each of the following stands behind what it read, even if it raises.

    def value(self, schema: Schema, go_type: str, depth: int, *, pointer: bool = False) -> Any:
        scanner = self.scanner
        if pointer and scanner.null():
            scanner.skip()
            return None
        scanner.skip_self_described()
        self.check_tags()
        if schema.type == "any" and schema.format != "raw":
            return self._any(depth)
        if schema.format in _OWN_READER or schema.format == "raw":
            return self._by_itself(schema, depth)
        major = scanner.major()
        if major == TAG:
            return self._tagged(schema, go_type, depth)
        if major in (ARRAY, MAP):
            return self._container(schema, go_type, major, depth)
        if major in (BYTE_STRING, TEXT_STRING):
            return self._string(schema, go_type, major)
        return self._scalar(schema, go_type)

    def _tagged(self, schema: Schema, go_type: str, depth: int) -> Any:
        _, _, tag = self.scanner.head()
        if not depth:
            self.scanner.skip()
            raise too_deep()
        if tag not in LATER:
            return self.value(schema, go_type, depth - 1)
        self.later.append(tag)
        try:
            return self.value(schema, go_type, depth - 1)
        finally:
            self.later.pop()

    # -- scalars ----------------------------------------------------------------------------------

    def _string(self, schema: Schema, go_type: str, major: int) -> Any:
        data = self.scanner.string()
        if schema.type == "string" and schema.format != "byte":
            return self.text_of(data) if major == BYTE_STRING else data.decode()
        if schema.format != "byte" or major == TEXT_STRING:
            raise Misfit(major, "[]uint8" if schema.format == "byte" else go_type)
        if self.later:
            return b64encode(data).decode()
        encoded = text(data)
        found = bad_base64(encoded)
        if found is not None:
            raise CborError(
                "cbor: failed to decode base64 from byte string: "
                f"illegal base64 data at input byte {found}"
            )
        return encoded

    def _scalar(self, schema: Schema, go_type: str) -> Any:
        scanner = self.scanner
        major, info, number = scanner.head()
        if major in (POSITIVE, NEGATIVE):
            return integer(schema, go_type, major, number)
        if info in (25, 26, 27):
            if schema.type != "number":
                raise Misfit(major, go_type)
            return scanner.float(info)
        found = simple(info, number)
        if found is not None and schema.type != "boolean":
            raise Misfit(major, go_type)
        return found

    def _by_itself(self, schema: Schema, depth: int) -> Any:
        """A value whose Go type reads its own bytes: what tags around say is not known there."""
        outer, self.later = self.later, []
        try:
            return self._raw(schema, depth) if schema.format == "raw" else self._own(schema)
        finally:
            self.later = outer

    def _raw(self, schema: Schema, depth: int) -> Any:
        scanner = self.scanner
        start = scanner.at
        try:
            return self._any(depth)
        except CborError as error:
            scanner.at = start
            scanner.skip()
            self._inside = self._inside or CborError(_RAW.get(schema.go_type, "") + str(error))
            return None

    def _own(self, schema: Schema) -> Any:
        scanner = self.scanner
        if schema.format == "int-or-string":
            start = scanner.at
            try:
                return self.value(_STRING, "string", DEPTH_KEPT_MAX)
            except CborError:
                scanner.at = start
            return self.value(_INT32, "int32", DEPTH_KEPT_MAX)
        found = self.value(_STRING, "string", DEPTH_KEPT_MAX, pointer=True)
        if found is not None and (words := reader_error(schema.format, found)):
            raise CborError(words)
        return found

    # -- arrays and maps --------------------------------------------------------------------------

    def _container(self, schema: Schema, go_type: str, major: int, depth: int) -> Any:
        if not depth:
            self.scanner.skip()
            raise too_deep()
        if major == ARRAY and (schema.type == "array" or schema.format == "byte"):
            return self._array(schema, depth - 1)
        if major == MAP and schema.type == "object":
            return self._struct(schema, go_type, depth - 1)
        if major == MAP and schema.type == "map":
            return self._map(schema, go_type, depth - 1)
        self.scanner.skip()
        struct = major == ARRAY and schema.type == "object"
        note = "cannot decode CBOR array to struct without toarray option" if struct else ""
        raise Misfit(major, "[]uint8" if schema.format == "byte" else go_type, note)

    def _array(self, schema: Schema, depth: int) -> Any:
        items = schema.items
        if schema.format == "byte":
            items = _UINT8
        assert items is not None
        out = []
        first: CborError | None = None
        for _ in self.scanner.indices():
            try:
                out.append(
                    self._any(depth)
                    if items is _ANY
                    else self.value(items, items.go_type, depth, pointer=schema.items_pointer)
                )
            except CborError as error:
                first = first or error
        if first is not None:
            raise first
        if schema.format == "byte":
            return b64encode(bytes(x or 0 for x in out)).decode()
        return out

    def _map(self, schema: Schema, go_type: str, depth: int) -> Json:
        scanner, values = self.scanner, schema.values
        assert values is not None
        key_type = go_type[len("map[") :].partition("]")[0]
        out: Json = {}
        first: CborError | None = None
        turns = scanner.indices()
        key = ""
        for index in turns:
            try:
                found = self.value(_STRING, key_type, depth)
                # null leaves the key that was read before, as Go's does
                key = key if found is None else found
            except CborError as error:
                first = first or error
                scanner.skip()
                continue
            try:
                x = (
                    self._any(depth)
                    if values is _ANY
                    else self.value(values, values.go_type, depth, pointer=schema.items_pointer)
                )
            except CborError as error:
                first = first or error
                continue
            if key in out:
                self.leave(turns)
                raise repeated(quote(key), index)
            out[key] = x
        if first is not None:
            raise first
        return out

    def _struct(self, schema: Schema, go_type: str, depth: int) -> Json:
        scanner = self.scanner
        out: Json = {}
        first: CborError | None = None
        seen: set[Any] = set()
        turns = scanner.indices()
        for index in turns:
            try:
                key, error = self._field(depth)
                first = first or error
            except CborError as error:
                first = first or error
                scanner.skip()
                continue
            p = schema.properties.get(key) if isinstance(key, str) else None
            if p is None and self._strict:
                scanner.skip()
                self.leave(turns)
                raise UnknownField(index)
            if key in seen:
                scanner.skip()
                self.leave(turns)
                raise repeated(shown(key), index)
            seen.add(key)
            if p is None:
                scanner.skip()
                continue
            try:
                at = (p.go_type or p.schema.go_type).lstrip("*")
                out[p.name] = self.value(p.schema, at, depth, pointer=p.pointer)
            except CborError as error:
                if isinstance(error, Misfit):
                    error.field = f"{go_type}.{p.name}"
                first = first or error
        if first is not None:
            raise first
        return out

    def _field(self, depth: int) -> tuple[Any, CborError | None]:
        """The key of a pair in a struct: text, or an integer that fits; else what is wrong with it.
        Raises CborError where there is no key to go on with.
        """
        scanner = self.scanner
        major = scanner.major()
        if major in (BYTE_STRING, TEXT_STRING):
            return text(scanner.string()), None
        if major in (POSITIVE, NEGATIVE):
            _, _, number = scanner.head()
            if number > INT64_MAX:
                shown = number if major == POSITIVE else f"-1-{number}"
                raise Misfit(major, "int64", f"{shown} overflows Go's int64")
            return (number if major == POSITIVE else -1 - number), None
        note = f"map key is of type {NAMES[major]} and cannot be used to match struct field name"
        error = Misfit(major, "string", note)
        try:
            key = self._any(depth)
        except CborError:
            raise error from None
        if isinstance(key, list | dict):
            raise error
        # What is no text is told apart from text that looks like it.
        return (key.__class__, key), error

    # -- what has no type -------------------------------------------------------------------------

    def _any(self, depth: int) -> Any:
        scanner = self.scanner
        scanner.skip_self_described()
        self.check_tags()
        major = scanner.major()
        if major == TAG:
            return self._any_tagged(depth)
        if major == BYTE_STRING:
            return self.text_of(scanner.string())
        if major == TEXT_STRING:
            return scanner.string().decode()
        if major in (ARRAY, MAP):
            if not depth:
                scanner.skip()
                raise too_deep()
            if major == MAP:
                return self._map(_MAP_OF_ANY, _MAP_OF_ANY.go_type, depth - 1)
            return self._array(_LIST_OF_ANY, depth - 1)
        _, info, number = scanner.head()
        if major in (POSITIVE, NEGATIVE):
            return integer(_INT64, "int64", major, number, "Go's int64")
        return scanner.float(info) if info in (25, 26, 27) else simple(info, number)

    def _any_tagged(self, depth: int) -> Any:
        scanner = self.scanner
        _, _, tag = scanner.head()
        if tag in (0, 1):
            return self.time(tag)
        if not depth:
            scanner.skip()
            raise too_deep()
        if tag not in LATER:
            return self._any(depth - 1)
        self.later.append(tag)
        try:
            return self._any(depth - 1)
        finally:
            self.later.pop()
