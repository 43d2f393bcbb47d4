"""The spec of a CustomResourceDefinition: names, versions, columns, subresources, conversion.

What all versions have in common is checked once, under the paths that the real server's internal
form has: `spec.validation`, `spec.subresources`, `spec.additionalPrinterColumns`,
`spec.selectableFields` instead of `spec.versions[0].schema` and so on; `hoisted` makes that form.
An update does not have to mend what was wrong before (`Requirements`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from kapi.errors import (
    FieldError,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from kapi.kinds.definitions import schemas as definition_schemas
from kapi.kinds.definitions.schemas import Requirements
from kapi.kinds.shared import checks, webhook_rules
from kapi.registry import names

Json = dict[str, Any]
SCOPES = ("Cluster", "Namespaced")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = (
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
)
SELECTABLE_MAX = 8  # fields of a version that objects can be selected by
DEPRECATION_CHARACTERS_MAX = 256
_REVIEWS = ("v1", "v1beta1")
_NAMES = ("plural", "singular", "kind", "listKind")
# What versions may have in common: in a version, in the spec.
_COMMON = (
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
)


def hoisted(spec: Json) -> Json:
    """The spec with what all versions have in common beside them instead of in each."""
    versions = [dict(v) for v in spec.get("versions") or ()]
    out = {**spec, "versions": versions}
    if not versions:
        return out
    out["version"] = versions[0].get("name", "")
    for inside, outside in _COMMON:
        first = versions[0].get(inside)
        if all(v.get(inside) == first for v in versions):
            if first is not None:
                out[outside] = first
            for version in versions:
                version.pop(inside, None)
    return out


def findings(spec: Json, needed: Requirements) -> list[FieldError]:
    """About the spec as the client sent it."""
    spec = hoisted(spec)
    found = [*_group(spec), *_scope(spec)]
    versions = spec["versions"]
    if needed.schema and (spec.get("validation") or {}).get("openAPIV3Schema") is None:
        for i, version in enumerate(versions):
            if (version.get("schema") or {}).get("openAPIV3Schema") is None:
                where = f"spec.versions[{i}].schema.openAPIV3Schema"
                found.append(required(where, "schemas are required"))
    for i, version in enumerate(versions):
        found += _version(version, spec, f"spec.versions[{i}]", needed)
    found += _together(spec, versions)
    given = spec.get("names") or {}
    found += [required(f"spec.names.{field}") for field in _NAMES if not given.get(field)]
    found += name_findings(given, "spec.names")
    has_status = any(map(_has_status, (spec, *versions)))
    found += _parts(spec, "validation", "spec", needed, has_status=has_status)
    return found + _conversion(spec.get("conversion"), needed)


def _group(spec: Json) -> list[FieldError]:
    group = spec.get("group", "")
    if not group:
        return [required("spec.group")]
    complaints = names.dns_subdomain(group)
    if complaints:
        return [invalid_value("spec.group", group, ",".join(complaints))]
    if "." not in group:
        return [invalid_value("spec.group", group, "should be a domain with at least one dot")]
    return []


def _scope(spec: Json) -> list[FieldError]:
    scope = spec.get("scope", "")
    if not scope:
        return [required("spec.scope")]
    return [] if scope in SCOPES else [not_supported("spec.scope", scope, SCOPES)]


def _has_status(holder: Json) -> bool:
    return (holder.get("subresources") or {}).get("status") is not None


def _version(version: Json, spec: Json, path: str, needed: Requirements) -> list[FieldError]:
    name = version.get("name", "")
    complaints = names.dns_1035_label(name)
    found = [invalid_value(f"{path}.name", name, ",".join(complaints))] if complaints else []
    warning = version.get("deprecationWarning")
    for text in _deprecation(warning, deprecated=bool(version.get("deprecated"))):
        found.append(invalid_value(f"{path}.deprecationWarning", warning, text))
    own = any(v.get("subresources") is not None for v in spec["versions"])
    has_status = _has_status(version if own else spec)
    return found + _parts(version, "schema", path, needed, has_status=has_status)


def _deprecation(warning: str | None, *, deprecated: bool) -> Iterator[str]:
    if warning is None:
        return
    if not deprecated:
        yield "can only be set for deprecated versions"
        return
    if len(warning.encode()) > DEPRECATION_CHARACTERS_MAX:
        yield f"must be <= {DEPRECATION_CHARACTERS_MAX} characters long"
    if not warning:
        yield "must not be an empty string"
    for i, c in enumerate(warning):
        if not c.isprintable():
            at = len(warning[:i].encode())
            yield (
                "must only contain printable UTF-8 characters; non-printable character found at "
                f"index {at}"
            )
            return


def _parts(
    holder: Json, schema: str, path: str, needed: Requirements, *, has_status: bool
) -> list[FieldError]:
    """What stands in a version, or beside them if all have it."""
    found: list[FieldError] = []
    props = (holder.get(schema) or {}).get("openAPIV3Schema")
    if props is not None:
        where = f"{path}.{schema}.openAPIV3Schema"
        found += definition_schemas.findings(props, where, needed, has_status=has_status)
    found += subresources(holder.get("subresources"), f"{path}.subresources")
    for i, column in enumerate(holder.get("additionalPrinterColumns") or ()):
        found += _column(column, f"{path}.additionalPrinterColumns[{i}]")
    fields = holder.get("selectableFields") or ()
    if fields:
        found += _selectable(fields, props, path, schema)
    return found


def _together(spec: Json, versions: list[Json]) -> list[FieldError]:
    found: list[FieldError] = []
    all_names = [v.get("name", "") for v in versions]
    shown = checks.go_json([_shown(v) for v in versions])
    if len(set(all_names)) < len(all_names):
        found.append(invalid_value("spec.versions", shown, "must contain unique version names"))
    if sum(1 for v in versions if v.get("storage")) != 1:
        text = "must have exactly one version marked as storage version"
        found.append(invalid_value("spec.versions", shown, text))
    first = spec.get("version", "")
    complaints = names.dns_1035_label(first) if first else []
    if complaints:
        found.append(invalid_value("spec.version", first, ",".join(complaints)))
    return found


def _shown(version: Json) -> Json:
    """A version as the real server prints its internal form."""
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": version.get("schema"),
        "Subresources": version.get("subresources"),
        "AdditionalPrinterColumns": version.get("additionalPrinterColumns"),
        "SelectableFields": version.get("selectableFields"),
    }


def name_findings(given: Json, path: str) -> list[FieldError]:
    """About names that are there; also those that were accepted."""
    found: list[FieldError] = []
    for field in _NAMES:
        name = given.get(field, "")
        mixed = field in ("kind", "listKind")
        complaints = names.dns_1035_label(name.lower() if mixed else name) if name else []
        if complaints:
            text = ",".join(complaints)
            if mixed:
                text = f"may have mixed case, but should otherwise match: {text}"
            found.append(invalid_value(f"{path}.{field}", name, text))
    found += _labels(given.get("shortNames") or (), f"{path}.shortNames")
    if given.get("kind") and given["kind"] == given.get("listKind"):
        text = "kind and listKind may not be the same"
        found.append(invalid_value(f"{path}.listKind", given["listKind"], text))
    return found + _labels(given.get("categories") or (), f"{path}.categories")


def _labels(values: Sequence[str], path: str) -> list[FieldError]:
    return [
        invalid_value(f"{path}[{i}]", value, ",".join(complaints))
        for i, value in enumerate(values)
        if (complaints := names.dns_1035_label(value))
    ]


# -- subresources, columns, selectable fields -----------------------------------------------------


def subresources(given: Json | None, path: str) -> list[FieldError]:
    scale = (given or {}).get("scale")
    if scale is None:
        return []
    found: list[FieldError] = []
    for field, root in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
        text, where = scale.get(field, ""), f"{path}.scale.{field}"
        if not text:
            found.append(required(where))
        elif not text.startswith("."):
            found += _simple_path(text, where)
        elif not text.startswith(f".{root}."):
            found.append(invalid_value(where, text, f"should be a json path under .{root}"))
    text, where = scale.get("labelSelectorPath") or "", f"{path}.scale.labelSelectorPath"
    if text and not text.startswith("."):
        found += _simple_path(text, where)
    elif text and not text.startswith((".spec.", ".status.")):
        words = "should be a json path under either .spec or .status"
        found.append(invalid_value(where, text, words))
    return found


def _simple_path(text: str, path: str) -> list[FieldError]:
    if text.startswith("."):
        return []
    return [invalid_value(path, text, "must be a simple json path starting with .")]


def _column(column: Json, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if not column.get("name"):
        found.append(required(f"{path}.name"))
    kind, form, where = column.get("type", ""), column.get("format", ""), f"{path}.type"
    if kind not in COLUMN_TYPES:
        text = f"must be one of {','.join(COLUMN_TYPES)}"
        found.append(invalid_value(where, kind, text) if kind else required(where, text))
    if form and form not in COLUMN_FORMATS:
        text = f"must be one of {','.join(COLUMN_FORMATS)}"
        found.append(invalid_value(f"{path}.format", form, text))
    if not column.get("jsonPath"):
        found.append(required(f"{path}.JSONPath"))
    else:
        found += _simple_path(column["jsonPath"], f"{path}.JSONPath")
    return found


def _selectable(
    fields: Sequence[Json], props: Json | None, path: str, schema: str
) -> list[FieldError]:
    base = f"{path}.selectableFields"
    if props is None:
        text = (
            "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        )
        if schema == "validation":
            text = "selectableFields may only be set when validations.schema is included"
        return [invalid_value(base, "", text)]
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, field in enumerate(fields):
        text, where = field.get("jsonPath", ""), f"{base}[{i}].jsonPath"
        if not text:
            found.append(required(where))
            continue
        target = definition_schemas.field_at(props, text)
        if isinstance(target, str):
            found.append(invalid_value(where, text, f"is an invalid path: {target}"))
            continue
        if text.startswith(".metadata.") or text == ".metadata":
            found.append(invalid_value(where, text, "must not point to fields in metadata"))
        if target.get("type") not in ("string", "boolean", "integer"):
            words = (
                "must point to a field of type string, boolean or integer. Enum string fields and "
                "strings with formats are allowed."
            )
            found.append(invalid_value(where, text, words))
        if text in seen:
            found.append(FieldError(where, "FieldValueDuplicate", text))
        seen.add(text)
    if len(seen) > SELECTABLE_MAX:
        found.append(too_many(base, len(seen), SELECTABLE_MAX))
    return found


# -- conversion -----------------------------------------------------------------------------------


def _conversion(conversion: Json | None, needed: Requirements) -> list[FieldError]:
    if conversion is None:
        return []
    path, strategy = "spec.conversion", conversion.get("strategy", "")
    found: list[FieldError] = []
    if not strategy:
        found.append(required(f"{path}.strategy"))
    elif strategy not in ("None", "Webhook"):
        found.append(not_supported(f"{path}.strategy", strategy, ("None", "Webhook")))
    webhook = conversion.get("webhook") or {}
    client, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if client is not None:
            found.append(field_forbidden(f"{path}.webhookClientConfig", text))
        if reviews:
            found.append(field_forbidden(f"{path}.conversionReviewVersions", text))
        return found
    where = f"{path}.webhookClientConfig"
    if client is None:
        found.append(required(where, "required when strategy is set to Webhook"))
    else:
        found += webhook_rules.client_config(client, where)
    return found + _reviews(reviews, f"{path}.conversionReviewVersions", needed)


def _reviews(versions: list[str], path: str, needed: Requirements) -> list[FieldError]:
    if not versions:
        return [required(path)]
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, version in enumerate(versions):
        if version in seen:
            found.append(invalid_value(f"{path}[{i}]", version, "duplicate version"))
            continue
        seen.add(version)
        found += checks.each(f"{path}[{i}]", version, names.dns_1035_label(version))
    if needed.review_version and not seen & set(_REVIEWS):
        text = f"must include at least one of {', '.join(_REVIEWS)}"
        found.append(invalid_value(path, versions, text))
    return found


# -- updates --------------------------------------------------------------------------------------


def requirements(old: Json, needed: Requirements, *, established: bool) -> Requirements:
    """What an update of a definition has to fulfil: nothing that the old one does not."""
    spec = hoisted(old)
    schemas = [
        props
        for holder, key in ((spec, "validation"), *((v, "schema") for v in spec["versions"]))
        if (props := (holder.get(key) or {}).get("openAPIV3Schema")) is not None
    ]
    conversion = (spec.get("conversion") or {}).get("webhook") or {}
    reviews = conversion.get("conversionReviewVersions") or []
    return replace(
        definition_schemas.fulfilled(schemas, needed),
        immutable_names=established,
        judged=tuple(schemas),
        review_version=not reviews or bool(set(reviews) & set(_REVIEWS)),
        schema=all(
            (spec.get("validation") or v.get("schema") or {}).get("openAPIV3Schema") is not None
            for v in spec["versions"]
        ),
    )


def immutable(spec: Json, old: Json, needed: Requirements) -> list[FieldError]:
    given, before = spec.get("names") or {}, old.get("names") or {}
    found: list[FieldError] = []
    if needed.immutable_names:
        found += checks.immutable(spec.get("scope", ""), old.get("scope", ""), "spec.scope")
        found += checks.immutable(given.get("kind", ""), before.get("kind", ""), "spec.names.kind")
    found += checks.immutable(spec.get("group", ""), old.get("group", ""), "spec.group")
    return found + checks.immutable(
        given.get("plural", ""), before.get("plural", ""), "spec.names.plural"
    )
