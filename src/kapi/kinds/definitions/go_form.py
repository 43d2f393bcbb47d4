"""Schemas and versions of a definition as the real server prints them in findings: its internal Go
structs have no JSON names, and every field is there, set or not.

Pure. Called by `spec.py`, `schemas.py` and `lists.py`.
https://pkg.go.dev/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions#JSONSchemaProps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi.errors import GoText
from kapi.kinds.shared import checks

Json = dict[str, Any]

# The fields of a schema in the order of the struct, with what an unset one is: a text, a boolean, a
# number behind a pointer, or nothing. `Go=json` where more than the first letter differs.
_TEXT, _FLAG, _NUMBER, _NOTHING = "s", "b", "n", "p"
_FIELDS = """
ID=id:s Schema=$schema:s Ref=$ref:p Description:s Type:s Nullable:b Format:s Title:s Default:j
Maximum:n ExclusiveMaximum:b Minimum:n ExclusiveMinimum:b MaxLength:n MinLength:n Pattern:s
MaxItems:n MinItems:n UniqueItems:b MultipleOf:n Enum:j MaxProperties:n MinProperties:n Required:l
Items:items AllOf:schemas OneOf:schemas AnyOf:schemas Not:schema Properties:map
AdditionalProperties:either PatternProperties:map Dependencies:dependencies AdditionalItems:either
Definitions:map ExternalDocs:docs Example:j
XPreserveUnknownFields=x-kubernetes-preserve-unknown-fields:p
XEmbeddedResource=x-kubernetes-embedded-resource:b XIntOrString=x-kubernetes-int-or-string:b
XListMapKeys=x-kubernetes-list-map-keys:l XListType=x-kubernetes-list-type:p
XMapType=x-kubernetes-map-type:p XValidations=x-kubernetes-validations:rules
"""
_RULE = "Rule:s Message:s MessageExpression:s Reason:p FieldPath:s OptionalOldSelf:p"  # of a rule
_COLUMN = "Name:s Type:s Format:s Description:s Priority:i JSONPath=jsonPath:s"
_SCALE = "SpecReplicasPath:s StatusReplicasPath:s LabelSelectorPath:p"


def _table(text: str) -> tuple[tuple[str, str, str], ...]:
    out = []
    for item in text.split():
        name, _, kind = item.partition(":")
        go, _, key = name.partition("=")
        out.append((go, key or go[0].lower() + go[1:], kind))
    return tuple(out)


FIELDS = _table(_FIELDS)


def is_zero(value: Any, kind: str) -> bool:
    """Whether a field of that kind is as if it were not there. Behind a pointer nothing is."""
    return value is None or (kind in (_TEXT, _FLAG) and not value)


def schema(props: Json | None) -> Json | None:
    """A schema with the names of the struct."""
    if props is None:
        return None
    return {go: _FORMS[kind](props.get(key)) for go, key, kind in FIELDS}


def version(given: Json) -> Json:
    """A version of a definition."""
    subresources = given.get("subresources")
    return {
        "Name": given.get("name", ""),
        "Served": bool(given.get("served")),
        "Storage": bool(given.get("storage")),
        "Deprecated": bool(given.get("deprecated")),
        "DeprecationWarning": given.get("deprecationWarning"),
        "Schema": _validation(given.get("schema")),
        "Subresources": None if subresources is None else _subresources(subresources),
        "AdditionalPrinterColumns": _each(given.get("additionalPrinterColumns"), _column),
        "SelectableFields": _each(
            given.get("selectableFields"), lambda field: {"JSONPath": field.get("jsonPath", "")}
        ),
    }


def shown(value: Any) -> GoText:
    """What `schema` and `version` made, or lists of it, as JSON."""
    return checks.go_json(value)


def items(given: Json | list[Json]) -> Json:
    """What stands in `items`: one schema or several."""
    if isinstance(given, list):
        return {"Schema": None, "JSONSchemas": [schema(s) for s in given]}
    return {"Schema": schema(given), "JSONSchemas": None}


def _validation(given: Json | None) -> Json | None:
    return None if given is None else {"OpenAPIV3Schema": schema(given.get("openAPIV3Schema"))}


def _subresources(given: Json) -> Json:
    status, scale = given.get("status"), given.get("scale")
    return {
        "Status": None if status is None else {},
        "Scale": checks.go_fields(scale, _SCALE),
    }


def _column(given: Json) -> Json | None:
    return checks.go_fields(given, _COLUMN)


def _each(given: list[Json] | None, form: Callable[[Json], Any]) -> list[Any] | None:
    return None if given is None else [form(x) for x in given]


def _map(given: Json | None) -> Json | None:
    return None if given is None else {key: schema(given[key]) for key in sorted(given)}


def _either(given: Json | bool | None) -> Json | None:
    if given is None:
        return None
    if isinstance(given, dict):
        return {"Allows": True, "Schema": schema(given)}
    return {"Allows": given, "Schema": None}


def _dependencies(given: Json | None) -> Json | None:
    if given is None:
        return None
    return {
        key: {"Schema": None, "Property": value}
        if isinstance(value, list)
        else {"Schema": schema(value), "Property": None}
        for key, value in sorted(given.items())
    }


def _number(given: float | None) -> float | None:
    if isinstance(given, float) and given.is_integer() and abs(given) < 1e21:
        return int(given)
    return given


def _value(given: Any) -> Any:
    """JSON of the author: objects with their keys sorted."""
    if isinstance(given, dict):
        return {key: _value(given[key]) for key in sorted(given)}
    if isinstance(given, list):
        return [_value(x) for x in given]
    return _number(given) if isinstance(given, float) else given


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    _TEXT: lambda given: given or "",
    _FLAG: bool,
    _NUMBER: _number,
    _NOTHING: lambda given: given,
    "l": lambda given: given,
    "j": _value,
    "items": lambda given: None if given is None else items(given),
    "schemas": lambda given: _each(given, schema),
    "schema": schema,
    "map": _map,
    "either": _either,
    "dependencies": _dependencies,
    "docs": lambda given: checks.go_fields(given, "Description:s URL=url:s"),
    "rules": lambda given: _each(given, lambda rule: checks.go_fields(rule, _RULE)),
}
