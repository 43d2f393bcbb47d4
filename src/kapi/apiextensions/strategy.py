"""`CustomStrategy`: what is particular to the objects of one custom kind, in all its versions.

Made by `serving.py` for each definition. An object is checked in the version it was written in:
kind, schema, replicas, embedded resources, sets and maps, then the rules of the schema, if an
evaluator is there and nothing stands in their way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kapi.errors import FieldError, invalid_value, quote
from kapi.kinds.shared.bases import SPEC_AND_METADATA
from kapi.registry import embedded, names, object_meta
from kapi.registry.resource import ScalePaths
from kapi.registry.scale import NestedError, nested
from kapi.registry.strategy import UNCOUNTED, Context, Path, Strategy
from kapi.schema.correlation import Past
from kapi.schema.list_types import ListTypes
from kapi.schema.structural import Schema, SchemaSource
from kapi.schema.validation import Rules, Validators, has_rules
from kapi.schema.validation_errors import findings

Json = dict[str, Any]
INT32_MAX = 2**31 - 1
NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation"
)
# Findings after which rules cannot be evaluated.
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_PREFER_DOMAIN = (
    "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer "
    "writers"
)


@dataclass(frozen=True, slots=True)
class Checks:
    """What all custom kinds of a server share."""

    validators: Validators
    list_types: ListTypes
    rules: Rules | None  # None: x-kubernetes-validations are not evaluated


@dataclass(frozen=True, slots=True)
class Checked:
    """A version as it is checked."""

    schema: SchemaSource
    default: Callable[[Json], None]  # fills in the defaults of this version
    has_status: bool
    scale: ScalePaths | None


class CustomStrategy(Strategy):
    standard_finalizers = False
    unconditional_update = False
    reset_status = SPEC_AND_METADATA
    sets: Mapping[str, Sequence[Path]] = MappingProxyType({"status": (("status",),)})

    def __init__(
        self,
        kind: str,
        versions: Mapping[str, Checked],
        checks: Checks,
    ) -> None:
        self._kind = kind
        self._versions = versions
        self._checks = checks
        self._facts: dict[str, _Facts] = {}

    def resets(self, subresource: str, version: str) -> Sequence[Path]:
        if subresource == "status":
            return self.reset_status
        return self.reset_main if self._versions[version].has_status else ()

    def uncounted(self, version: str) -> frozenset[str]:
        return UNCOUNTED if self._versions[version].has_status else UNCOUNTED - {"status"}

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        version = self._versions[context.version]
        facts = self._facts.get(context.version)
        if facts is None:
            facts = self._facts[context.version] = _Facts(version.schema())
        found = self._fitting(facts, version, obj, old, context)
        if facts.holds_resources and context.subresource != "status":
            found += embedded.findings(facts.schema, obj)
        found += self._lists(facts, obj, old)
        if facts.has_rules:
            if any(f.reason in _BLOCKING for f in found):
                found.append(invalid_value("<nil>", None, NOT_CHECKED))
            elif self._checks.rules is not None:
                found += self._checks.rules.findings(facts.schema, obj, old)
        return found

    def _fitting(
        self, facts: _Facts, version: Checked, obj: Json, old: Json | None, context: Context
    ) -> list[FieldError]:
        kind = obj.get("kind", "")
        if kind != self._kind:
            return [invalid_value("kind", kind, f"must be {self._kind}")]
        found: list[FieldError] = []
        schema = facts.schema
        if context.subresource == "status":
            if "status" in obj and "status" in schema.properties:
                below = schema.properties["status"].schema
                past = None
                if old is not None and "status" in old:
                    past = Past(below, obj["status"], old["status"])
                found += self._by_schema(below, obj["status"], "status", past)
        else:
            past = Past(schema, obj, old) if old is not None else None
            found += self._by_schema(schema, obj, "", past)
            found += _replicas(obj, version.scale.spec_replicas if version.scale else ())
        if version.scale is not None:
            found += _replicas(obj, version.scale.status_replicas)
            found += _selector(obj, version.scale.selector)
        return found

    def _by_schema(
        self, schema: Schema, value: Any, at: str, past: Past | None
    ) -> list[FieldError]:
        if self._checks.validators.valid(schema, value):
            return []
        return findings(schema, value, at=at, past=past)

    def _lists(self, facts: _Facts, obj: Json, old: Json | None) -> list[FieldError]:
        """Repeated items; those of an object that had some before are let be."""
        found = self._checks.list_types.findings(facts.schema, obj)
        if found and old is not None and self._checks.list_types.findings(facts.schema, old):
            return []
        return found

    def complete(self, obj: Json, old: Json | None, context: Context) -> None:
        """A status that was left out has its default again."""
        if obj.get("kind") == self._kind:
            self._versions[context.version].default(obj)

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        out = self._let_be(obj, old, context) if old is not None else []
        if context.subresource:
            return out
        before = (old["metadata"].get("finalizers") if old is not None else None) or ()
        added = sorted(set(obj["metadata"].get("finalizers") or ()) - set(before))
        for finalizer in added:
            head = f"metadata.finalizers: {quote(finalizer)}: "
            out += [head + complaint for complaint in names.qualified_name(finalizer)]
            if "/" not in finalizer and finalizer not in object_meta.STANDARD_FINALIZERS:
                out.append(head + _PREFER_DOMAIN)
        return out

    def _let_be(self, obj: Json, old: Json, context: Context) -> list[str]:
        """What breaks rules but did so before."""
        facts, rules = self._facts.get(context.version), self._checks.rules
        if facts is None or not facts.has_rules or rules is None:
            return []
        return rules.warnings(facts.schema, obj, old)


class _Facts:
    """What the schema of a version asks for, found once."""

    __slots__ = ("has_rules", "holds_resources", "schema")

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.has_rules = has_rules(schema)
        self.holds_resources = embedded.holds_resources(schema)


def _replicas(obj: Json, path: tuple[str, ...]) -> list[FieldError]:
    if not path:
        return []
    where = "." + ".".join(path)
    try:
        value = nested(obj, path, int) or 0
    except NestedError as e:
        return [invalid_value(where, 0, str(e))]
    if value < 0:
        return [invalid_value(where, value, "should be a non-negative integer")]
    if value > INT32_MAX:
        return [invalid_value(where, value, f"should be less than or equal to {INT32_MAX}")]
    return []


def _selector(obj: Json, path: tuple[str, ...]) -> list[FieldError]:
    if not path:
        return []
    try:
        nested(obj, path, str)
    except NestedError as e:
        return [invalid_value("." + ".".join(path), "", str(e))]
    return []
