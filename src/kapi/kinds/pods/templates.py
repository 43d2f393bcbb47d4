"""What kinds with a pod template and a selector share: does one match the other, which columns show
them.

Called by the strategies and columns of apps, batch and the core group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import cells, checks
from kapi.registry.resource import Column

Json = dict[str, Any]

MISMATCH = "`selector` does not match template `labels`"
IMMUTABLE = checks.IMMUTABLE
CONTAINERS = "Names of each container in the template."
IMAGES = "Images referenced by each container in the template."


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches; an absent one matches nothing, an empty one everything."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for requirement in selector.get("matchExpressions") or ():
        key, operator = requirement.get("key", ""), requirement.get("operator", "")
        if operator == "In":
            matched = key in labels and labels[key] in (requirement.get("values") or ())
        elif operator == "NotIn":
            matched = key not in labels or labels[key] not in (requirement.get("values") or ())
        elif operator == "Exists":
            matched = key in labels
        else:
            matched = key not in labels
        if not matched:
            return False
    return True


def is_empty(selector: Json) -> bool:
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def template_labels(template: Json) -> Mapping[str, str] | None:
    labels: Mapping[str, str] | None = (template.get("metadata") or {}).get("labels")
    return labels


def mismatch(labels: Mapping[str, str] | None, path: str) -> FieldError:
    """The finding for a selector that its own template does not match."""
    shown = None if labels is None else dict(labels)
    return errors.invalid_value(f"{path}.metadata.labels", shown, MISMATCH)


def always_restarts(template: Json, path: str, kind: str) -> list[FieldError]:
    """Pods of these kinds run until they are deleted."""
    spec = template.get("spec") or {}
    out: list[FieldError] = []
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        where = f"{path}.spec.restartPolicy"
        out.append(errors.not_supported(where, policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        where = f"{path}.spec.activeDeadlineSeconds"
        out.append(
            errors.field_forbidden(where, f"activeDeadlineSeconds in {kind} is not Supported")
        )
    return out


def unchanged_selector(new: Json | None, old: Json | None, path: str) -> list[FieldError]:
    """A LabelSelector that may not change; messages show it as JSON."""
    if new == old:
        return []
    return [errors.invalid_value(path, shown_selector(new), IMMUTABLE)]


def shown_selector(selector: Json | None) -> Any:
    """A LabelSelector in a message: its JSON, absent fields left out."""
    return None if selector is None else checks.go_json(_with_zeros(selector))


def _with_zeros(selector: Json) -> Json:
    out: Json = {}
    if selector.get("matchLabels"):
        out["matchLabels"] = selector["matchLabels"]
    if selector.get("matchExpressions"):
        out["matchExpressions"] = [
            {
                "key": e.get("key", ""),
                "operator": e.get("operator", ""),
                **({"values": e["values"]} if e.get("values") else {}),
            }
            for e in selector["matchExpressions"]
        ]
    return out


def _containers(path: tuple[str, ...]) -> cells.Cell:
    spec = cells.field(*path, default={})
    return lambda obj, now: cells.container_names((spec(obj, now) or {}).get("containers"))


def _images(path: tuple[str, ...]) -> cells.Cell:
    spec = cells.field(*path, default={})
    return lambda obj, now: cells.container_images((spec(obj, now) or {}).get("containers"))


def template_columns(*path: str, wide: bool = True) -> tuple[Column, Column]:
    """The columns Containers and Images of a template at a path."""
    spec = (*path, "spec")
    return (
        cells.column("Containers", "string", _containers(spec), CONTAINERS, wide=wide),
        cells.column("Images", "string", _images(spec), IMAGES, wide=wide),
    )
