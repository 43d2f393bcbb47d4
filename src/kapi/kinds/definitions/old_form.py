"""CustomResourceDefinitions of apiextensions.k8s.io/v1beta1, which is served no more but still
stored: the real server writes definitions in this version, since it can be shorter.

There, what all versions share stands once, beside them; here it is given to each. Called by
`stored_forms.py`.
https://github.com/kubernetes/apiextensions-apiserver/blob/master/pkg/apis/apiextensions/v1beta1/types.go
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def from_v1beta1(obj: Json) -> Json:
    """The same definition in v1. The argument stays as it is."""
    old: Json = obj.get("spec") or {}
    shared = {
        "schema": old.get("validation"),
        "subresources": old.get("subresources"),
        "additionalPrinterColumns": _columns(old.get("additionalPrinterColumns")),
        "selectableFields": old.get("selectableFields"),
    }
    listed = old.get("versions") or [{"name": old.get("version"), "served": True, "storage": True}]
    versions = []
    for version in listed:
        made = dict(version)
        if "additionalPrinterColumns" in made:
            made["additionalPrinterColumns"] = _columns(made["additionalPrinterColumns"])
        for name, value in shared.items():
            if value and not made.get(name):
                made[name] = value
        versions.append(made)
    spec = {k: v for k, v in old.items() if k not in _GONE}
    spec["versions"] = versions
    spec["preserveUnknownFields"] = old.get("preserveUnknownFields", True)
    if old.get("conversion"):
        spec["conversion"] = _conversion(old["conversion"])
    return {**obj, "apiVersion": "apiextensions.k8s.io/v1", "spec": spec}


_GONE = frozenset(
    (
        "version",
        "validation",
        "subresources",
        "additionalPrinterColumns",
        "selectableFields",
    )
)


def _columns(columns: Any) -> Any:
    if not columns:
        return columns
    return [{("jsonPath" if k == "JSONPath" else k): v for k, v in c.items()} for c in columns]


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
