"""OpenAPI v3 path items in v2 form: bodies become parameters, media types lists of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kapi.schema.openapi import to_v2

Json = dict[str, Any]


def v2_path(item: Json) -> Json:
    out: Json = {}
    for key, value in item.items():
        out[key] = _v2_parameters(value) if key == "parameters" else _v2_operation(value)
    return out


def _v2_operation(operation: Json) -> Json:
    body = operation.get("requestBody", {})
    types = list(dict.fromkeys(_response_types(operation)))
    consumes = list(body.get("content", {})) or ["*/*"]
    parameters = list(operation.get("parameters", ()))
    out: Json = {
        "description": operation["description"],
        "consumes": consumes,
        "produces": types,
        "schemes": ["https"],
        "tags": operation["tags"],
        "operationId": operation["operationId"],
        "parameters": [],
        "responses": {c: _v2_response(r) for c, r in operation["responses"].items()},
        **{k: v for k, v in operation.items() if k.startswith("x-")},
    }
    if body:
        schema = to_v2(next(iter(body["content"].values()))["schema"])
        entry: Json = {"name": "body", "in": "body", "schema": schema}
        if body.get("required"):
            entry["required"] = True
        out["parameters"].append(entry)
    out["parameters"] += _v2_parameters(parameters)
    if not out["parameters"]:
        del out["parameters"]
    return out


def _response_types(operation: Json) -> Iterator[str]:
    for response in operation["responses"].values():
        yield from response.get("content", ())


def _v2_response(response: Json) -> Json:
    content = response.get("content")
    if not content:
        return response
    return {
        "description": response["description"],
        "schema": to_v2(next(iter(content.values()))["schema"]),
    }


def _v2_parameters(parameters: list[Json]) -> list[Json]:
    return [{**{k: v for k, v in p.items() if k != "schema"}, **p["schema"]} for p in parameters]
