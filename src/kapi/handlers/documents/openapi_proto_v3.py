"""Documents of v3 as Protocol Buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi.handlers.documents.openapi_messages import Fields, Messages, Wrappers, fields, pair

Json = dict[str, Any]

_TABLES: Mapping[str, Fields] = {
    "Document": fields("openapi 1 s  info 2 Info  paths 4 Paths  components 5 Components"),
    "Info": fields("title 1 s  description 2 s  version 6 s"),
    "Components": fields("schemas 1 =SchemaOr  securitySchemes 7 =SecuritySchemeOr  x- 10 any"),
    "PathItem": fields(
        "get 4 Operation  put 5 Operation  post 6 Operation  delete 7 Operation "
        "options 8 Operation  head 9 Operation  patch 10 Operation  parameters 13 [ParameterOr "
        "x- 14 any"
    ),
    "Operation": fields(
        "tags 1 [s  summary 2 s  description 3 s  operationId 5 s  parameters 6 [ParameterOr "
        "requestBody 7 RequestBodyOr  responses 8 Responses  deprecated 10 b  x- 13 any"
    ),
    "Parameter": fields(
        "name 1 s  in 2 s  description 3 s  required 4 b  schema 10 SchemaOr  x- 14 any"
    ),
    "RequestBody": fields("description 1 s  content 2 =MediaType  required 3 b"),
    "Response": fields("description 1 s  content 3 =MediaType"),
    "MediaType": fields("schema 1 SchemaOr"),
    "SecurityScheme": fields("type 1 s  description 2 s  name 3 s  in 4 s"),
    "Reference": fields("$ref 1 s  summary 2 s  description 3 s"),
    "Schema": fields(
        "nullable 1 b  title 9 s  multipleOf 10 d  maximum 11 d  exclusiveMaximum 12 b "
        "minimum 13 d  exclusiveMinimum 14 b  maxLength 15 i  minLength 16 i  pattern 17 s "
        "maxItems 18 i  minItems 19 i  uniqueItems 20 b  maxProperties 21 i  minProperties 22 i "
        "required 23 [s  enum 24 [any  type 25 s  allOf 26 [SchemaOr  oneOf 27 [SchemaOr "
        "anyOf 28 [SchemaOr  not 29 Schema  items 30 Items  properties 31 =SchemaOr "
        "additionalProperties 32 Additional  default 33 Default  description 34 s  format 35 s "
        "x- 36 any"
    ),
}


def encode_v3(document: Json) -> bytes:
    """A whole v3 document."""
    return _V3.message("Document", document)


# -- messages that are not shaped like their JSON -------------------------------------------------


def _or_reference(name: str) -> Callable[[Messages, Json], bytes]:
    return lambda m, value: (
        m.field(2, "Reference", value) if "$ref" in value else m.field(1, name, value)
    )


def _paths(m: Messages, value: Json) -> bytes:
    return b"".join(pair(1, path, m.message("PathItem", item)) for path, item in value.items())


def _responses(m: Messages, value: Json) -> bytes:
    return b"".join(
        pair(2, code, m.message("ResponseOr", child))
        if code != "default"
        else m.field(1, "ResponseOr", child)
        for code, child in value.items()
    )


def _additional(m: Messages, value: Any) -> bytes:
    return m.field(2, "b", value) if isinstance(value, bool) else m.field(1, "SchemaOr", value)


def _default(m: Messages, value: Any) -> bytes:
    """A scalar; others have no place in this message."""
    if isinstance(value, bool):
        return m.field(2, "b", value)
    if isinstance(value, (int, float)):
        return m.field(1, "d", value)
    return m.field(3, "s", value) if isinstance(value, str) else b""


_WRAPPERS: Wrappers = {
    "Paths": _paths,
    "Responses": _responses,
    "Items": lambda m, value: m.field(1, "SchemaOr", value),
    "Additional": _additional,
    "Default": _default,
    **{
        f"{name}Or": _or_reference(name)
        for name in ("Schema", "Parameter", "RequestBody", "Response", "SecurityScheme")
    },
}
_V3 = Messages(_TABLES, _WRAPPERS)
