"""How objects of a definition are converted: the strategy, the webhook, its CA bundle. Called by
`spec.py`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from kapi.errors import (
    FieldError,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)
from kapi.kinds.shared import checks, pem, webhook_rules
from kapi.registry import names

Json = dict[str, Any]
REVIEWS = ("v1", "v1beta1")


def bundle_problem(text: str) -> str:
    """What is wrong with a CA bundle, in base64 as objects have it; empty if nothing is."""
    try:
        problem = pem.bundle_problem(base64.b64decode(text))
    except binascii.Error:
        problem = "unable to parse bytes as PEM block"
    return problem and f"unable to load root certificates: {problem}"


def has_bad_bundle(spec: Json) -> bool:
    """Whether the webhook of a definition has a bundle that is none: it may stay, but a definition
    is not served with it that was not before.
    """
    webhook = (spec.get("conversion") or {}).get("webhook") or {}
    bundle = (webhook.get("clientConfig") or {}).get("caBundle")
    return bool(bundle and bundle_problem(bundle))


def findings(
    conversion: Json | None, *, reviews_known: bool, bundle_checked: bool
) -> list[FieldError]:
    """`reviews_known`: one form of review must be ours. `bundle_checked`: whether a CA bundle must
    be one.
    """
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
        bundle = client.get("caBundle")
        if bundle_checked and bundle and (words := bundle_problem(bundle)):
            found.append(invalid_value(f"{where}.caBundle", bundle, words))
    return found + _reviews(reviews, f"{path}.conversionReviewVersions", known=reviews_known)


def _reviews(versions: list[str], path: str, *, known: bool) -> list[FieldError]:
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
    if known and not seen & set(REVIEWS):
        text = f"must include at least one of {', '.join(REVIEWS)}"
        found.append(invalid_value(path, versions, text))
    return found
