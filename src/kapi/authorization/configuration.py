"""`--authorization-config`: who is asked, in which order, and how webhooks are asked.

`options/access.py` reads the file to complain early, `assembly/authority.py` to use it, at the
start and whenever it changes. The words of findings are the real server's, and so is that the
fields of a webhook are named without `webhook` in them.
https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/#apiserver-config-k8s-io-v1-AuthorizationConfiguration
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kapi import durations, errors
from kapi.authorization.authorizer import aggregate
from kapi.codec.typed_documents import DURATION, DocumentError, load
from kapi.errors import FieldError, GoText
from kapi.selector.syntax import subdomain_complaints

Json = dict[str, Any]
KIND = "AuthorizationConfiguration"
VERSIONS = tuple(f"apiserver.config.k8s.io/{v}" for v in ("v1", "v1beta1", "v1alpha1"))
WEBHOOK = "Webhook"
TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", WEBHOOK)
REVIEW_VERSIONS = ("v1", "v1beta1")
CONDITIONS_MAX = 64
TIMEOUT_MAX_S = 30.0
DENY, NO_OPINION = "Deny", "NoOpinion"
IN_CLUSTER, FILE = "InClusterConfig", "KubeConfigFile"
FLAGS_NAME = "default"  # of the webhook that flags describe
_SHAPE: Json = {
    "authorizers": [
        {
            "type": str,
            "name": str,
            "webhook": {
                "authorizedTTL": DURATION,
                "cacheAuthorizedRequests": bool,
                "unauthorizedTTL": DURATION,
                "cacheUnauthorizedRequests": bool,
                "timeout": DURATION,
                "subjectAccessReviewVersion": str,
                "matchConditionSubjectAccessReviewVersion": str,
                "failurePolicy": str,
                "connectionInfo": {"type": str, "kubeConfigFile": str},
                "matchConditions": [{"expression": str}],
            },
        }
    ]
}


class ConfigurationError(ValueError):
    """What is wrong with the file, in one line."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """A time to live of 0: such answers are not remembered."""

    kubeconfig: str
    version: str = "v1"
    timeout_s: float = TIMEOUT_MAX_S
    authorized_s: float = 300.0
    unauthorized_s: float = 30.0
    denies_on_failure: bool = False
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    type: str
    name: str
    webhook: WebhookSettings | None = None


def of_modes(modes: Iterable[str], webhook: WebhookSettings) -> tuple[Entry, ...]:
    """What --authorization-mode and the flags of a webhook mean."""
    return tuple(
        Entry(m, FLAGS_NAME, webhook) if m == WEBHOOK else Entry(m, m.lower()) for m in modes
    )


def parse(data: bytes) -> tuple[Entry, ...]:
    """The authorizers in order. Raises ConfigurationError."""
    try:
        document = load(data, KIND, VERSIONS, _SHAPE)
    except DocumentError as error:
        text = f"failed to load {KIND} from file: {error}"
        raise ConfigurationError(text) from error
    listed: list[Json] = document.get("authorizers") or []
    for entry in listed:
        if "webhook" in entry:
            _default(entry["webhook"])
    problems = [str(finding) for finding in findings(listed)] or _wrong_names(listed)
    if problems:
        raise ConfigurationError(aggregate(problems))
    return tuple(_entry(entry) for entry in listed)


def _default(webhook: Json) -> None:
    webhook["authorizedTTL"] = webhook.get("authorizedTTL") or 300.0
    webhook["unauthorizedTTL"] = webhook.get("unauthorizedTTL") or 30.0


def _wrong_names(listed: Sequence[Json]) -> list[str]:
    return [
        f"expected name {e['type'].lower()} for authorizer {e['type']} instead of {e['name']}"
        for e in listed
        if e["type"] != WEBHOOK and e["name"] != e["type"].lower()
    ]


def _entry(entry: Json) -> Entry:
    found = entry.get("webhook")
    if found is None:
        return Entry(entry["type"], entry["name"])
    webhook = WebhookSettings(
        kubeconfig=found["connectionInfo"]["kubeConfigFile"],
        version=found["subjectAccessReviewVersion"],
        timeout_s=found["timeout"],
        authorized_s=found["authorizedTTL"] if found.get("cacheAuthorizedRequests", True) else 0.0,
        unauthorized_s=(
            found["unauthorizedTTL"] if found.get("cacheUnauthorizedRequests", True) else 0.0
        ),
        denies_on_failure=found["failurePolicy"] == DENY,
        conditions=tuple(c["expression"] for c in found.get("matchConditions") or ()),
    )
    return Entry(entry["type"], entry["name"], webhook)


# -- findings -------------------------------------------------------------------------------------


def findings(listed: Sequence[Json]) -> list[FieldError]:
    """What is wrong with the `authorizers` of a configuration that has its defaults."""
    out: list[FieldError] = []
    if not listed:
        words = "at least one authorization mode must be defined"
        out.append(errors.required("authorizers", words))
    types: set[str] = set()
    names: set[str] = set()
    for i, entry in enumerate(listed):
        path, kind = f"authorizers[{i}]", entry.get("type", "")
        if not kind:
            out.append(errors.required(f"{path}.type"))
            continue
        if kind not in TYPES:
            out.append(errors.not_supported(f"{path}.type", kind, TYPES))
            continue
        if kind in types and kind != WEBHOOK:
            out.append(errors.duplicate(f"{path}.type", kind))
            continue
        types.add(kind)
        out += _name(f"{path}.name", entry.get("name", ""), names)
        webhook = entry.get("webhook")
        if kind != WEBHOOK:
            if webhook is not None:
                words = "may only be specified when type=Webhook"
                out.append(errors.invalid_value(f"{path}.webhook", "non-null", words))
        elif webhook is None:
            out.append(errors.required(f"{path}.webhook", "required when type=Webhook"))
        else:
            out += _webhook(path, webhook)
    return out


def _name(path: str, name: str, seen: set[str]) -> list[FieldError]:
    if not name:
        return [errors.required(path)]
    if name in seen:
        return [errors.duplicate(path, name)]
    seen.add(name)
    if complaints := subdomain_complaints(name):
        words = f"authorizer name is invalid: {', '.join(complaints)}"
        return [errors.invalid_value(path, name, words)]
    return []


def _webhook(path: str, c: Json) -> list[FieldError]:
    out: list[FieldError] = []
    timeout = c.get("timeout") or 0.0
    if not timeout:
        out.append(errors.required(f"{path}.timeout"))
    elif not 0 < timeout <= TIMEOUT_MAX_S:
        words = "must be > 0s and <= 30s"
        out.append(errors.invalid_value(f"{path}.timeout", _spelled(timeout), words))
    for field in ("authorizedTTL", "unauthorizedTTL"):
        if c[field] < 0:
            spelled = _spelled(c[field])
            out.append(errors.invalid_value(f"{path}.{field}", spelled, "must be > 0s"))
    out += _one_of(f"{path}.subjectAccessReviewVersion", c, REVIEW_VERSIONS)
    out += _condition_version(f"{path}.matchConditionSubjectAccessReviewVersion", c)
    out += _one_of(f"{path}.failurePolicy", c, (NO_OPINION, DENY))
    out += _connection(f"{path}.connectionInfo", c.get("connectionInfo") or {})
    out += _conditions(f"{path}.matchConditions", c.get("matchConditions") or ())
    return out


def _spelled(seconds: float) -> str:
    return f"-{durations.spell(-seconds)}" if seconds < 0 else durations.spell(seconds)


def _one_of(path: str, c: Json, allowed: Sequence[str]) -> list[FieldError]:
    value = c.get(path.rpartition(".")[2], "")
    if not value:
        return [errors.required(path)]
    return [] if value in allowed else [errors.not_supported(path, value, allowed)]


def _condition_version(path: str, c: Json) -> list[FieldError]:
    value = c.get("matchConditionSubjectAccessReviewVersion", "")
    if value:
        return [] if value == "v1" else [errors.not_supported(path, value, ("v1",))]
    if not c.get("matchConditions"):
        return []
    return [errors.required(path, "required if match conditions are specified")]


def _connection(path: str, c: Json) -> list[FieldError]:
    kind, file = c.get("type", ""), c.get("kubeConfigFile")
    if not kind:
        return [errors.required(f"{path}.type")]
    if kind == IN_CLUSTER:
        out = []
        if file is not None:
            words = "can only be set when type=KubeConfigFile"
            out.append(errors.invalid_value(f"{path}.kubeConfigFile", file, words))
        # This server is the one that a pod's own configuration leads to.
        out.append(errors.field_forbidden(f"{path}.type", "not allowed for kube-apiserver"))
        return out
    if kind != FILE:
        value = {"Type": kind, "KubeConfigFile": file}
        shown = GoText(errors.quote_value(value))
        return [errors.not_supported(f"{path}.type", shown, (IN_CLUSTER, FILE))]
    path = f"{path}.kubeConfigFile"
    if not file:
        return [errors.required(path)]
    if not os.path.isabs(file):
        return [errors.invalid_value(path, file, "must be an absolute path")]
    try:
        regular = stat.S_ISREG(os.stat(file).st_mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or str(error)
        words = f"error loading file: stat {file}: {reason.lower()}"
        return [errors.invalid_value(path, file, words)]
    return [] if regular else [errors.invalid_value(path, file, "must be a regular file")]


def _conditions(path: str, conditions: Sequence[Json]) -> list[FieldError]:
    if len(conditions) > CONDITIONS_MAX:
        return [errors.too_many(path, len(conditions), CONDITIONS_MAX)]
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        text, where = condition.get("expression", ""), f"{path}[{i}].expression"
        if not text.strip():
            out.append(errors.required(where))
        elif text in seen:
            out.append(errors.duplicate(where, text))
        else:
            from kapi.authorization.match_conditions import complaint

            seen.add(text)
            if words := complaint(text):
                out.append(errors.invalid_value(where, text, words))
    return out
