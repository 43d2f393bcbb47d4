"""The v2 document as Protocol Buffers, the only form in which older client-go asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.handlers.documents.openapi_messages import (
    Fields,
    Messages,
    Wrappers,
    field_of_bytes,
    fields,
    pair,
)

Json = dict[str, Any]

_TABLES: Mapping[str, Fields] = {
    "Document": fields(
        "swagger 1 s  info 2 Info  paths 8 Paths  definitions 9 =Schema "
        "security 12 [SecurityRequirement  securityDefinitions 13 =SecurityDefinition"
    ),
    "Info": fields("title 1 s  version 2 s"),
    "PathItem": fields(
        "get 2 Operation  put 3 Operation  post 4 Operation  delete 5 Operation "
        "options 6 Operation  head 7 Operation  patch 8 Operation  parameters 9 [Parameter"
    ),
    "Operation": fields(
        "tags 1 [s  description 3 s  operationId 5 s  produces 6 [s  consumes 7 [s "
        "parameters 8 [Parameter  responses 9 Responses  schemes 10 [s  x- 13 any"
    ),
    "Body": fields("description 1 s  name 2 s  in 3 s  required 4 b  schema 5 Schema"),
    "Query": fields(
        "required 1 b  in 2 s  description 3 s  name 4 s  type 6 s  format 7 s  uniqueItems 20 b"
    ),
    "Path": fields(
        "required 1 b  in 2 s  description 3 s  name 4 s  type 5 s  format 6 s  uniqueItems 19 b"
    ),
    "Response": fields("description 1 s  schema 2 SchemaItem"),
    "Schema": fields(
        "$ref 1 s  format 2 s  title 3 s  description 4 s  default 5 any  multipleOf 6 d "
        "maximum 7 d  exclusiveMaximum 8 b  minimum 9 d  exclusiveMinimum 10 b  maxLength 11 i "
        "minLength 12 i  pattern 13 s  maxItems 14 i  minItems 15 i  uniqueItems 16 b "
        "maxProperties 17 i  minProperties 18 i  required 19 [s  enum 20 [any "
        "additionalProperties 21 Additional  type 22 Type  items 23 Items  allOf 24 [Schema "
        "properties 25 =Schema  x- 31 any"
    ),
    "ApiKey": fields("type 1 s  name 2 s  in 3 s  description 4 s"),
}


def encode_v2(document: Json) -> bytes:
    """A whole v2 document."""
    return _V2.message("Document", document)


# -- messages that are not shaped like their JSON -------------------------------------------------


def _paths(m: Messages, value: Json) -> bytes:
    return b"".join(pair(2, path, m.message("PathItem", item)) for path, item in value.items())


def _parameter(m: Messages, value: Json) -> bytes:
    if value["in"] == "body":
        parameter = m.field(1, "Body", value)
    elif value["in"] == "path":
        parameter = field_of_bytes(2, m.field(4, "Path", value))
    else:
        parameter = field_of_bytes(2, m.field(3, "Query", value))
    return field_of_bytes(1, parameter)


def _responses(m: Messages, value: Json) -> bytes:
    return b"".join(pair(1, code, m.field(1, "Response", child)) for code, child in value.items())


def _additional(m: Messages, value: Any) -> bytes:
    return m.field(2, "b", value) if isinstance(value, bool) else m.field(1, "Schema", value)


def _type(m: Messages, value: Any) -> bytes:
    return m.field(1, "[s", [value] if isinstance(value, str) else value)


def _requirement(m: Messages, value: Json) -> bytes:
    return b"".join(pair(1, key, m.field(1, "[s", scopes)) for key, scopes in value.items())


_WRAPPERS: Wrappers = {
    "Paths": _paths,
    "Parameter": _parameter,
    "Responses": _responses,
    "SchemaItem": lambda m, value: m.field(1, "Schema", value),
    "Items": lambda m, value: m.field(1, "Schema", value),
    "Additional": _additional,
    "Type": _type,
    "SecurityRequirement": _requirement,
    "SecurityDefinition": lambda m, value: m.field(2, "ApiKey", value),
}
_V2 = Messages(_TABLES, _WRAPPERS)
