"""The body of a request becomes an object: format, kind, types, unknown fields; all in the real
server's words.

Used by the write handlers and for DeleteOptions and other small bodies. The fast path is one
orjson parse and one typed decode; only when something is wrong the document is read again,
exactly, to find the words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from kapi import errors
from kapi.codec import json_format, yaml_format
from kapi.codec.json_format import JsonNumber, JsonObject, JsonSyntaxError
from kapi.codec.negotiate import PLAIN, Offer, content_format
from kapi.codec.protobuf_format import BadEnvelope, ProtobufError, open_envelope
from kapi.codec.yaml_scalars import YamlError
from kapi.errors import ApiError
from kapi.handlers.aside import Aside
from kapi.handlers.body_kinds import UNREADABLE_KIND, kind_of
from kapi.handlers.body_words import internal_package, no_message, not_registered, summarize
from kapi.messages import Request
from kapi.registry.resource import GroupVersionKind
from kapi.schema.complaints import strict_errors, type_error
from kapi.schema.custom_parsing import META_FIELDS
from kapi.schema.decoding import Decoders
from kapi.schema.protobuf_reading import Readers
from kapi.schema.scalars import Mismatch
from kapi.schema.spellings import Spellings
from kapi.schema.structural import Schema

if TYPE_CHECKING:
    from kapi.handlers.cbor_bodies import CborBodies

Json = dict[str, Any]
_NO_KIND = GroupVersionKind("", "", "")
BODY_BYTES_MAX = 3 * 1024 * 1024  # the real server's limit for a resource body


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed body, and what is needed to read it again exactly."""

    value: Any
    text: bytes  # JSON; of a YAML body its conversion
    complaints: list[str]  # found while parsing YAML
    before: tuple[str, ...] = ()  # complaints about the patch that made it


async def read_body(request: Request) -> bytes:
    """The whole body. Raises ApiError 413."""
    return await request.body.read(BODY_BYTES_MAX)


def parse(data: bytes, form: str, *, shallow: bool = True) -> Document:
    """JSON or YAML to a value. Raises JsonSyntaxError."""
    if form == "yaml":
        value, complaints = yaml_format.loads(data)
        data = json_format.dumps(value)
        document = Document(json_format.loads(data), data, complaints)
    else:
        document = Document(json_format.loads(data), data, [])
    if shallow:
        json_format.check_depth(document.text, document.value)
    return document


class Rules(TypedDict):
    """How a body is decoded."""

    field_validation: str
    warn: Callable[[str], None]


class Decoder:
    """Decodes bodies into typed objects. One per server."""

    def __init__(
        self,
        decoders: Decoders,
        go_types: Callable[[GroupVersionKind], str],
        aside: Aside,
        schema_of: Callable[[str, str], Schema | None] = lambda api_version, kind: None,
        offer: Offer = PLAIN,
    ) -> None:
        """`go_types`: the Go type of any kind of the built-in API, "" for one that is not of it.
        `schema_of`: the schema of one by apiVersion and kind, None for one that is not of it."""
        self.aside = aside
        self.offer = offer
        self._cbor: CborBodies | None = None
        self._schema_of = schema_of
        self._decoders = decoders
        self._go_types = go_types
        self._readers = Readers(decoders)
        self._spellings = Spellings()

    @property
    def cbor(self) -> CborBodies:
        """The same for CBOR, made for the first body of it."""
        if self._cbor is None:
            from kapi.handlers.cbor_bodies import CborBodies

            self._cbor = CborBodies(self, self._schema_of)
        return self._cbor

    async def read(
        self,
        data: bytes,
        content_type: str,
        kind: GroupVersionKind,
        schema: Schema,
        *,
        field_validation: str,
        warn: Callable[[str], None],
    ) -> tuple[Json, GroupVersionKind]:
        """As `decode`; large bodies are read beside the event loop."""
        self._decoders.decoder(schema)  # compiled here: the other thread only uses it
        self._readers.compile(schema)
        if self.offer.cbor:
            self.cbor.compile(schema)
        return await self.aside.run(
            len(data),
            lambda: self.decode(
                data, content_type, kind, schema, field_validation=field_validation, warn=warn
            ),
        )

    def undecoded(self, data: bytes, content_type: str) -> Any:
        """The value of a body of text that was read before; None for others."""
        form = content_format(content_type, self.offer)
        return parse(data, form).value if form in ("json", "yaml") else None

    def decode(
        self,
        data: bytes,
        content_type: str,
        kind: GroupVersionKind,
        schema: Schema,
        *,
        field_validation: str,
        warn: Callable[[str], None],
        accepts: Callable[[GroupVersionKind], bool] = lambda k: False,
    ) -> tuple[Json, GroupVersionKind]:
        """The object and its kind. A body without kind or version takes the expected ones.

        `accepts` says which other kinds may come in (they are returned undecoded). Raises
        ApiError 400, 415.
        """
        form = content_format(content_type, self.offer)
        if form == "protobuf":
            return self._from_protobuf(data, kind, schema)
        rules: Rules = {"field_validation": field_validation, "warn": warn}
        if form == "cbor":
            obj, found = self.cbor.decode(data, kind, schema, rules, accepts)
            return _headed(obj, found), found
        try:
            document = parse(data, form, shallow=not schema.typed)
            found = kind_of(document.value, data, kind if schema.typed else _NO_KIND)
        except YamlError as e:
            raise self.unreadable(kind, str(e), data) from None
        except JsonSyntaxError as e:
            raise self.unreadable(kind, f"{UNREADABLE_KIND}{e}", data) from None
        if found != kind and accepts(found):
            return document.value, found
        if found != kind and schema.typed:
            raise self.wrong_kind(found, kind)
        if not found.kind:
            text = data.decode("utf-8", "replace")
            raise self.unreadable(kind, f"Object 'Kind' is missing in '{text}'", data)
        try:
            return _headed(self._typed(document, found, kind, schema, rules), found), found
        except (JsonSyntaxError, RecursionError):
            why = f"{UNREADABLE_KIND}exceeded max depth"
            raise self.unreadable(kind, why, data) from None

    def _typed(
        self,
        document: Document,
        found: GroupVersionKind,
        kind: GroupVersionKind,
        schema: Schema,
        rules: Rules,
    ) -> Json:
        """A document whose kind is known, decoded. Raises ApiError 400, JsonSyntaxError."""
        if found != kind:
            schema = _schema_of_other(schema, same_kind=found.kind == kind.kind)
        try:
            obj = self.typed(document, schema, found, **rules)
            # Unknown fields may be as deep as JSON can be; what is kept may not.
            json_format.check_depth(document.text, obj)
        finally:
            if found != kind:
                self._decoders.forget(schema)
        if (found.group, found.version) != (kind.group, kind.version):
            raise errors.bad_request(
                f"the API version in the data ({found.api_version}) does not match the expected "
                f"API version ({kind.api_version})"
            )
        return obj

    def custom(
        self, value: Json, found: GroupVersionKind, kind: GroupVersionKind, schema: Schema
    ) -> Json:
        """An object of a custom kind that was read already; unknown fields are dropped unsaid.
        Raises ApiError 400.
        """
        rules: Rules = {"field_validation": "Ignore", "warn": lambda _: None}
        document = Document(value, json_format.dumps(value), [])
        try:
            return self._typed(document, found, kind, schema, rules)
        except (JsonSyntaxError, RecursionError):
            raise self._unreadable(found, "exceeded max depth") from None

    def _from_protobuf(
        self, data: bytes, kind: GroupVersionKind, schema: Schema
    ) -> tuple[Json, GroupVersionKind]:
        """As `decode`; unknown fields are never told of. Raises ApiError 400."""
        try:
            found, raw = self.opened(data, kind)
        except BadEnvelope as e:
            raise self.unreadable(kind, str(e), data) from None
        if found != kind:
            raise self._wrong_message(found, kind, raw)
        if not schema.typed:
            raise self._unreadable(found, no_message("unstructured.Unstructured"))
        try:
            return _headed(self.message(raw, schema), found), found
        except ProtobufError as e:
            raise self._unreadable(found, str(e)) from None

    def _wrong_message(
        self, found: GroupVersionKind, wanted: GroupVersionKind, raw: bytes
    ) -> ApiError:
        """What to say to a message of another kind: first, what is wrong with it as such."""
        words = ""
        schema = self._schema_of(found.api_version, found.kind)
        if schema is not None:
            try:
                self.message(raw, schema)
            except ProtobufError as e:
                words = str(e)
        elif found.version == "__internal" and found.group == wanted.group:
            words = no_message(f"{internal_package(found)}.{found.kind}")
        return self.cannot_be(found, wanted, words) if words else self.wrong_kind(found, wanted)

    def opened(self, data: bytes, default: GroupVersionKind) -> tuple[GroupVersionKind, bytes]:
        """The kind an envelope names, completed by the default, and the message in it.

        Raises BadEnvelope.
        """
        envelope = open_envelope(data)
        group, _, version = envelope.api_version.rpartition("/")
        if not version or "/" in group:
            group, version = default.group, default.version
        return GroupVersionKind(group, version, envelope.kind or default.kind), envelope.raw

    def message(self, raw: bytes, schema: Schema) -> Json:
        """A message as its schema decodes it. Raises ProtobufError."""
        return self._readers.read(schema, raw)

    def check_kind(self, document: Document, wanted: GroupVersionKind) -> None:
        """Raise ApiError 400 if the document is of another kind."""
        try:
            found = kind_of(document.value, document.text, wanted)
        except JsonSyntaxError as e:
            raise errors.bad_request(f"{wanted.kind}: {UNREADABLE_KIND}{e}") from None
        if found != wanted:
            raise self.wrong_kind(found, wanted)

    def typed(
        self,
        document: Document,
        schema: Schema,
        kind: GroupVersionKind,
        *,
        field_validation: str,
        warn: Callable[[str], None],
    ) -> Json:
        """A parsed document as its schema decodes it; strict findings refuse or warn. Raises
        ApiError 400.
        """
        value = document.value if document.value is not None else {}
        exact: Any = None
        repeated = json_format.has_duplicates(document.text, value)
        if repeated:
            exact = value = json_format.loads_exact(document.text)
            value = _plain(exact)
        try:
            obj, unknown = self._decoders.decode(schema, value)
        except Mismatch:
            exact = json_format.loads_exact(document.text) if exact is None else exact
            words = type_error(schema, exact) or "json: cannot unmarshal"
            raise self._unreadable(kind, words) from None
        suspect = unknown or repeated or document.complaints or document.before
        if suspect and field_validation != "Ignore":
            exact = json_format.loads_exact(document.text) if exact is None else exact
            found = strict_errors(schema, exact)
            refused = [*document.before, *yaml_complaints(document), *found]
            if field_validation == "Strict" and refused:
                raise self._unreadable(kind, "strict decoding error: " + ", ".join(refused))
            for text in (*document.before, *document.complaints, *found):
                warn(text)
        if not isinstance(obj, dict):
            return {}
        self._spellings.keep(schema, obj, document.text)
        return obj

    def repeated(self, document: Document, schema: Schema) -> tuple[str, ...]:
        """The repeated fields of a document, named; what it does not know is not of interest."""
        if not json_format.has_duplicates(document.text, document.value):
            return ()
        found = strict_errors(schema, json_format.loads_exact(document.text))
        return tuple(text for text in found if text.startswith("duplicate "))

    def unreadable(self, kind: GroupVersionKind, why: str, data: bytes) -> ApiError:
        """A body whose kind cannot be told."""
        return errors.bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): "
            f"{why} ({summarize(data)})"
        )

    def _unreadable(self, kind: GroupVersionKind, words: str) -> ApiError:
        return self.cannot_be(kind, kind, words)

    def cannot_be(self, found: GroupVersionKind, wanted: GroupVersionKind, words: str) -> ApiError:
        return errors.bad_request(
            f"{found.kind} in version {errors.quote(found.version)} "
            f"cannot be handled as a {wanted.kind}: {words}"
        )

    def wrong_kind(self, found: GroupVersionKind, wanted: GroupVersionKind) -> ApiError:
        go_type = self._go_types(found)
        if go_type:
            internal = f"{internal_package(wanted)}.{wanted.kind}"
            words = f"converting ({go_type}) to ({internal}): unknown conversion"
        else:
            words = not_registered(found)
        return self.cannot_be(found, wanted, words)


def _schema_of_other(schema: Schema, *, same_kind: bool) -> Schema:
    """What a custom object is decoded by that calls itself otherwise: of its kind in a version
    that is not there nothing is known; of another kind only metadata, and the rest stays.
    """
    own = {n: schema.properties[n] for n in META_FIELDS if n in schema.properties}
    return Schema(type="object", typed=False, properties=own, preserve_unknown=not same_kind)


def yaml_complaints(document: Document) -> list[str]:
    """What YAML says twice, as one text of the strict reader; empty if nothing."""
    if not document.complaints:
        return []
    return ["yaml: unmarshal errors:\n  " + "\n  ".join(document.complaints)]


def _headed(obj: Json, kind: GroupVersionKind) -> Json:
    head: Json = {"kind": kind.kind, "apiVersion": kind.api_version}
    head.update(obj)
    head["kind"], head["apiVersion"] = kind.kind, kind.api_version
    return head


def _plain(exact: Any) -> Any:
    """An exact document as ordinary values, numbers included."""
    if isinstance(exact, JsonNumber):
        text = str(exact)
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if isinstance(exact, JsonObject):
        out: dict[str, Any] = {}
        for k, v in exact.pairs:
            value = _plain(v)
            before = out.get(k)
            if isinstance(before, dict) and isinstance(value, dict):
                value = {**before, **value}  # Go reads a repeated object into the same struct
            out[k] = value
        return out
    if isinstance(exact, list):
        return [_plain(v) for v in exact]
    return exact
