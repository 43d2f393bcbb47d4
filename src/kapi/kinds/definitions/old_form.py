"""CustomResourceDefinitions of apiextensions.k8s.io/v1beta1, which is served no more but still
stored: the real server writes definitions in this version, since it can be shorter.

There, what all versions share stands once, beside them; in v1 it is given to each. Fields come in
the order of the Go types, both ways, so that no other step has to arrange them. Called by
`assembly/stored_forms.py`.
https://github.com/kubernetes/apiextensions-apiserver/blob/master/pkg/apis/apiextensions/v1beta1/types.go
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kapi.kinds.definitions.spec import alike
from kapi.registry.resource import GroupVersionKind

Json = dict[str, Any]

KIND: Final = GroupVersionKind("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition")
# What may stand beside the versions, by its name in each of them.
_SHARED: Final = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
_VERSION: Final = (
    "name", "served", "storage", "deprecated", "deprecationWarning", "schema", "subresources",
    "additionalPrinterColumns", "selectableFields",
)  # fmt: skip
_OLD_SPEC: Final = (
    "group", "version", "names", "scope", "validation", "subresources", "versions",
    "additionalPrinterColumns", "selectableFields", "conversion", "preserveUnknownFields",
)  # fmt: skip
_SPEC: Final = ("group", "names", "scope", "versions", "conversion", "preserveUnknownFields")


def from_v1beta1(obj: Json) -> Json:
    """The same definition in v1. The argument stays as it is."""
    old: Json = obj.get("spec") or {}
    shared = {here: old.get(there) for here, there in _SHARED.items()}
    shared["additionalPrinterColumns"] = _columns(old.get("additionalPrinterColumns"), "jsonPath")
    listed = old.get("versions") or ()
    if not listed and old.get("version"):
        listed = [{"name": old["version"], "served": True, "storage": True}]
    versions = []
    for version in listed:
        made = dict(version)
        if "additionalPrinterColumns" in made:
            made["additionalPrinterColumns"] = _columns(
                made["additionalPrinterColumns"], "jsonPath"
            )
        for name, value in shared.items():
            if value is not None and not made.get(name):
                made[name] = value
        versions.append(_in_order(_VERSION, made))
    spec = {**old, "versions": versions or None}
    if old.get("conversion"):
        spec["conversion"] = _conversion(old["conversion"])
    if not old.get("preserveUnknownFields", True):
        spec.pop("preserveUnknownFields")  # v1 leaves out a false one
    else:
        spec["preserveUnknownFields"] = True
    return {**obj, "apiVersion": "apiextensions.k8s.io/v1", "spec": _in_order(_SPEC, spec)}


def to_v1beta1(obj: Json) -> Json:
    """The same definition in v1beta1. The argument stays as it is."""
    spec: Json = obj.get("spec") or {}
    versions: list[Json] = [dict(version) for version in spec.get("versions") or ()]
    old: Json = {**spec, "preserveUnknownFields": spec.get("preserveUnknownFields", False)}
    for here, there in _SHARED.items():
        values = [version.get(here) for version in versions]
        if versions and all(alike(value, values[0]) for value in values):
            for version in versions:
                version.pop(here, None)
            if values[0] is not None:
                old[there] = values[0]
    for holder in (old, *versions):
        if holder.get("additionalPrinterColumns"):
            holder["additionalPrinterColumns"] = _columns(
                holder["additionalPrinterColumns"], "JSONPath"
            )
    if versions:
        old["version"], old["versions"] = versions[0]["name"], versions
    if spec.get("conversion"):
        old["conversion"] = _old_conversion(spec["conversion"])
    return {**obj, "apiVersion": KIND.api_version, "spec": _in_order(_OLD_SPEC, old)}


def _in_order(names: tuple[str, ...], obj: Json) -> Json:
    return {name: obj[name] for name in names if name in obj}


def _columns(columns: Any, path: str) -> Any:
    if not columns:
        return columns
    return [
        {(path if k in ("JSONPath", "jsonPath") else k): v for k, v in c.items()} for c in columns
    ]


def _conversion(old: Json) -> Json:
    out = {"strategy": old.get("strategy", "None")}
    client, reviews = old.get("webhookClientConfig"), old.get("conversionReviewVersions")
    if client or reviews:
        webhook: Json = {}
        if client:
            webhook["clientConfig"] = client
        webhook["conversionReviewVersions"] = reviews or []
        out["webhook"] = webhook
    return out


def _old_conversion(new: Json) -> Json:
    out: Json = {"strategy": new.get("strategy", "None")}
    webhook: Json = new.get("webhook") or {}
    if webhook.get("clientConfig"):
        out["webhookClientConfig"] = webhook["clientConfig"]
    if webhook.get("conversionReviewVersions"):
        out["conversionReviewVersions"] = webhook["conversionReviewVersions"]
    return out


# Conversions of forms that are stored and not served: (from it, to it).
CONVERSIONS: Final[
    Mapping[GroupVersionKind, tuple[Callable[[Json], Json], Callable[[Json], Json]]]
] = {KIND: (from_v1beta1, to_v1beta1)}
