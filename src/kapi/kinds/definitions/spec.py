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

from kapi.errors import FieldError, invalid_value, not_supported, required
from kapi.kinds.definitions import conversion_rules, go_form, version_parts
from kapi.kinds.definitions import schemas as definition_schemas
from kapi.kinds.definitions.schemas import Requirements
from kapi.kinds.shared import checks
from kapi.registry import names

Json = dict[str, Any]
SCOPES = ("Cluster", "Namespaced")
DEPRECATION_CHARACTERS_MAX = 256
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
        if all(alike(v.get(inside), first) for v in versions):
            if first is not None:
                out[outside] = first
            for version in versions:
                version.pop(inside, None)
    return out


def alike(a: Any, b: Any) -> bool:
    """Whether two parts are equal, an empty list or map being as good as none."""
    return bool(a == b) or _settled(a) == _settled(b)


# Where in a schema nothing is not the same as something empty.
_TOLD_APART = ("default", "example", "not", "items", "additionalProperties", "additionalItems")


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _settled(v) if k not in ("default", "example", "enum") else v
            for k, v in value.items()
            if v not in ([], {}) or k in _TOLD_APART
        }
    if isinstance(value, list):
        return [_settled(x) for x in value] or None
    return value


def findings(spec: Json, needed: Requirements) -> list[FieldError]:
    """About the spec as the client sent it."""
    spec = hoisted(spec)
    found = [*_group(spec), *_scope(spec), *_schemas_are_there(spec, needed)]
    schemas = list(_schemas(spec))
    preserve = bool(spec.get("preserveUnknownFields"))
    if definition_schemas.any_node(schemas, definition_schemas.has_default):
        needed = replace(needed, structural=True)
        if preserve:
            text = "must be false in order to use defaults in the schema"
            found.append(invalid_value("spec.preserveUnknownFields", True, text))
    if not preserve or definition_schemas.any_node(schemas, definition_schemas.has_extension):
        needed = replace(needed, structural=True)
    versions = spec["versions"]
    own = any(v.get("subresources") is not None for v in versions)
    for i, version in enumerate(versions):
        found += _version(version, spec, f"spec.versions[{i}]", needed, own=own)
    found += _together(spec, versions)
    given = spec.get("names") or {}
    found += [required(f"spec.names.{field}") for field in _NAMES if not given.get(field)]
    found += name_findings(given, "spec.names")
    has_status = any(map(_has_status, (spec, *versions)))
    found += _parts(spec, "validation", "spec", needed, has_status=has_status)
    conversion = spec.get("conversion")
    if preserve and conversion is not None and conversion.get("strategy") != "None":
        text = "must be None if spec.preserveUnknownFields is true"
        where, strategy = "spec.conversion.strategy", conversion.get("strategy", "")
        found.append(invalid_value(where, strategy, text))
    return found + conversion_rules.findings(
        conversion, reviews_known=needed.review_version, bundle_checked=needed.ca_bundle
    )


def _schemas(spec: Json) -> Iterator[Json]:
    """All schemas of a hoisted spec."""
    for holder, key in ((spec, "validation"), *((v, "schema") for v in spec["versions"])):
        props = (holder.get(key) or {}).get("openAPIV3Schema")
        if props is not None:
            yield props


def _schemas_are_there(spec: Json, needed: Requirements) -> Iterator[FieldError]:
    if (spec.get("validation") or {}).get("openAPIV3Schema") is not None:
        return
    text = "schemas are required"
    if not needed.schema:
        if spec.get("preserveUnknownFields"):
            return
        text = "because otherwise all fields are pruned"
    for i, version in enumerate(spec["versions"]):
        if (version.get("schema") or {}).get("openAPIV3Schema") is not None:
            continue
        if needed.schema or version.get("served"):
            yield required(f"spec.versions[{i}].schema.openAPIV3Schema", text)


def unknown_formats(spec: Json) -> list[str]:
    """Formats in the schemas that nobody checks."""
    return definition_schemas.unknown_formats(_schemas(hoisted(spec)))


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


def _version(
    version: Json, spec: Json, path: str, needed: Requirements, *, own: bool
) -> list[FieldError]:
    """`own`: versions say themselves what subresources they have."""
    name = version.get("name", "")
    complaints = names.dns_1035_label(name)
    found = [invalid_value(f"{path}.name", name, ",".join(complaints))] if complaints else []
    warning = version.get("deprecationWarning")
    for text in _deprecation(warning, deprecated=bool(version.get("deprecated"))):
        shown = checks.go_json(warning)
        found.append(invalid_value(f"{path}.deprecationWarning", shown, text))
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
    found += version_parts.subresources(holder.get("subresources"), f"{path}.subresources")
    for i, column in enumerate(holder.get("additionalPrinterColumns") or ()):
        found += version_parts.column(column, f"{path}.additionalPrinterColumns[{i}]")
    if fields := holder.get("selectableFields"):
        found += version_parts.selectable(fields, props, path, schema)
    return found


def _together(spec: Json, versions: list[Json]) -> list[FieldError]:
    found: list[FieldError] = []
    all_names = [v.get("name", "") for v in versions]
    shown = go_form.shown([go_form.version(v) for v in versions])
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


# -- updates --------------------------------------------------------------------------------------


def requirements(old: Json, needed: Requirements, *, established: bool) -> Requirements:
    """What an update of a definition has to fulfil: nothing that the old one does not."""
    spec = hoisted(old)
    schemas = list(_schemas(spec))
    conversion = (spec.get("conversion") or {}).get("webhook") or {}
    reviews = conversion.get("conversionReviewVersions") or []
    return replace(
        definition_schemas.fulfilled(schemas, needed),
        immutable_names=established,
        judged=tuple(schemas),
        review_version=not reviews or bool(set(reviews) & set(conversion_rules.REVIEWS)),
        ca_bundle=established and not conversion_rules.has_bad_bundle(old),
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
