"""What kinds that run pods from a template share: the base of their strategies, and how they show
themselves in findings.

Called by the strategies of apps. A subclass says what its spec and status must obey.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.templates import (
    always_restarts,
    is_empty,
    mismatch,
    selects,
    shown_selector,
    template_labels,
    unchanged_selector,
)
from kapi.kinds.pods.validation import validate_pod_template_spec
from kapi.kinds.pods.warnings import name_warnings, template_warnings
from kapi.kinds.shared import checks
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]
Findings = list[FieldError]
MORE_THAN_ALL = "cannot be greater than status.replicas"


class PodController(Strategy):
    """What kinds that run pods from a template share."""

    word = ""  # as findings name the kind
    warns_of_name = False  # whether a name that no host may have is warned of
    new_status: Mapping[str, Any] = MappingProxyType({})

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = dict(self.new_status)

    def validate(self, obj: Json, old: Json | None, context: Context) -> Findings:
        if context.subresource == "status":
            return self.validate_status(obj.get("status") or {}, (old or {}).get("status") or {})
        spec = obj.get("spec") or {}
        if old is None:
            return self.validate_spec(spec)
        return self.validate_change(spec, old.get("spec") or {})

    def validate_spec(self, spec: Json) -> Findings:
        raise NotImplementedError

    def validate_change(self, spec: Json, old: Json) -> Findings:
        out = self.validate_spec(spec)
        return out + unchanged_selector(spec.get("selector"), old.get("selector"), "spec.selector")

    def validate_status(self, status: Json, old: Json) -> Findings:
        raise NotImplementedError

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource:
            return []
        template = (obj.get("spec") or {}).get("template") or {}
        out = name_warnings(obj, old) if self.warns_of_name else []
        return out + template_warnings(obj, old, template, "spec.template")

    def selector_and_template(self, spec: Json, word: str, bad: str) -> Findings:
        """The selector, then the template if the selector is one."""
        selector, template = spec.get("selector"), spec.get("template") or {}
        where, at = "spec.selector", "spec.template"
        if selector is None:
            labels = template_labels(template)
            out = [errors.required(where), mismatch(labels, at)]
            return out + self.template(spec, template, at)
        out = checks.label_selector(selector, where)
        wrong = bool(out)
        if is_empty(selector):
            text = f"empty selector is invalid for {word}"
            out.append(errors.invalid_value(where, shown_selector(selector), text))
        if wrong:
            out.append(errors.invalid_value(where, shown_selector(selector), bad))
            return out
        labels = template_labels(template)
        if not selects(selector, labels or {}):
            out.append(mismatch(labels, at))
        return out + self.template(spec, template, at)

    def template(self, spec: Json, template: Json, path: str) -> Findings:
        out = validate_pod_template_spec(template, path)
        return out + always_restarts(template, path, self.word)


def negative(spec: Json, *fields: str) -> Findings:
    return [
        errors.invalid_value(f"spec.{field}", spec[field], checks.NEGATIVE)
        for field in fields
        if (spec.get(field) or 0) < 0
    ]


def collisions(status: Json, old: Json) -> Findings:
    before, after = old.get("collisionCount"), status.get("collisionCount")
    if before is not None and (after is None or after < before):
        where = "status.collisionCount"
        return [errors.invalid_value(where, after or 0, "cannot be decremented")]
    return []


def _rolling(update: Json) -> Json:
    return {
        "MaxUnavailable": update.get("maxUnavailable", 0),
        "MaxSurge": update.get("maxSurge", 0),
    }


def shown_strategy(strategy: Json) -> Any:
    update = strategy.get("rollingUpdate")
    rolling = None if update is None else _rolling(update)
    return checks.go_json({"Type": strategy.get("type", ""), "RollingUpdate": rolling})
