"""What webhook configurations and admission policies share: rules, client configurations, match
conditions.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from kapi.gonet.urls import UrlError, parse
from kapi.kinds.shared import checks
from kapi.registry import names

Json = dict[str, Any]

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
REVIEW_VERSIONS = ("v1", "v1beta1")
MATCH_CONDITIONS_MAX = 64
_SCOPES = ("*", "Cluster", "Namespaced")
_URL_FORM = "; desired format: https://host[/path]"


def full_name(name: str, path: str) -> list[FieldError]:
    """A name with at least three parts: of a webhook."""
    if not name:
        return [required(path)]
    found = names.dns_subdomain(name)
    if found:
        return [invalid_value(path, name, ",".join(found))]
    if len(name.split(".")) < 3:
        text = "should be a domain with at least three segments separated by dots"
        return [invalid_value(path, name, text)]
    return []


# -- rules --------------------------------------------------------------------------------------


def rule(item: Json, path: str) -> list[FieldError]:
    """A rule with operations."""
    out: list[FieldError] = []
    operations = item.get("operations") or []
    if not operations:
        out.append(required(f"{path}.operations"))
    out += _lone_star(operations, f"{path}.operations", "operations")
    for i, operation in enumerate(operations):
        if operation not in OPERATIONS:
            out.append(not_supported(f"{path}.operations[{i}]", operation, OPERATIONS))
    groups, versions = item.get("apiGroups") or [], item.get("apiVersions") or []
    if not groups:
        out.append(required(f"{path}.apiGroups"))
    out += _lone_star(groups, f"{path}.apiGroups", "API groups")
    if not versions:
        out.append(required(f"{path}.apiVersions"))
    out += _lone_star(versions, f"{path}.apiVersions", "API versions")
    for i, version in enumerate(versions):
        if not version:
            out.append(required(f"{path}.apiVersions[{i}]"))
    out += _resources(item.get("resources") or [], f"{path}.resources")
    scope = item.get("scope")
    if scope is not None and scope not in _SCOPES:
        out.append(not_supported(f"{path}.scope", scope, _SCOPES))
    return out


def _lone_star(values: Sequence[str], path: str, what: str) -> list[FieldError]:
    if len(values) > 1 and "*" in values:
        return [invalid_value(path, values, f"if '*' is present, must not specify other {what}")]
    return []


def _resources(resources: list[str], path: str) -> list[FieldError]:
    if not resources:
        return [required(path)]
    out: list[FieldError] = []
    every_sub: set[str] = set()  # x of x/*
    every_resource: set[str] = set()  # y of */y
    plain = False
    for i, text in enumerate(resources):
        where = f"{path}[{i}]"
        if not text:
            out.append(required(where))
            continue
        resource, slash, sub = text.partition("/")
        if not slash:
            plain = text != "*"  # the last one counts, in the real server, too
            continue
        if resource in every_sub:
            words = f"if '{resource}/*' is present, must not specify {text}"
            out.append(invalid_value(where, text, words))
        if sub in every_resource:
            words = f"if '*/{sub}' is present, must not specify {text}"
            out.append(invalid_value(where, text, words))
        if sub == "*":
            every_sub.add(resource)
        if resource == "*":
            every_resource.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        words = "if '*/*' is present, must not specify other resources"
        out.append(invalid_value(path, resources, words))
    if "*" in resources and plain:
        words = "if '*' is present, must not specify other resources without subresources"
        out.append(invalid_value(path, resources, words))
    return out


# -- clients ------------------------------------------------------------------------------------


def client_config(config: Json, path: str) -> list[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return webhook_url(url, f"{path}.url")
    return service_reference(service or {}, f"{path}.service")


def webhook_url(url: str, path: str) -> list[FieldError]:
    try:
        parts = parse(url)
    except UrlError as e:
        return [required(path, f"url must be a valid URL: {e}{_URL_FORM}")]
    out: list[FieldError] = []
    if parts.scheme != "https":
        words = f"'https' is the only allowed URL scheme{_URL_FORM}"
        out.append(invalid_value(path, parts.scheme, words))
    if not parts.host:
        out.append(invalid_value(path, "", f"host must be specified{_URL_FORM}"))
    if parts.user is not None:
        words = "user information is not permitted in the URL"
        out.append(invalid_value(path, parts.user, words))
    if parts.fragment:
        words = "fragments are not permitted in the URL"
        out.append(invalid_value(path, parts.fragment, words))
    if parts.query:
        words = "query parameters are not permitted in the URL"
        out.append(invalid_value(path, parts.query, words))
    return out


def service_reference(service: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    # The real server takes one for the other.
    if not service.get("namespace"):
        out.append(required(f"{path}.name"))
    if not service.get("name"):
        out.append(required(f"{path}.namespace"))
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        out.append(invalid_value(f"{path}.port", port, f"port is not valid: {checks.PORT}"))
    return out + _url_path(service.get("path"), f"{path}.path")


def _url_path(text: str | None, path: str) -> list[FieldError]:
    if not text or text == "/":
        return []
    if text == "//":
        return [invalid_value(path, text, "segment[0] may not be empty")]
    out: list[FieldError] = []
    if not text.startswith("/"):
        out.append(invalid_value(path, text, "must start with a '/'"))
    for i, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            out.append(invalid_value(path, text, f"segment[{i}] may not be empty"))
            continue
        for words in names.dns_subdomain(step):
            out.append(invalid_value(path, text, f"segment[{i}]: {words}"))
    return out


def review_versions(versions: list[str], path: str, *, known: bool = True) -> list[FieldError]:
    """Which forms of AdmissionReview (or ConversionReview) a webhook understands. `known`: one of
    them must be a form that this server writes.
    """
    ours = ", ".join(REVIEW_VERSIONS)
    if not versions:
        return [required(path, f"must specify one of {ours}")]
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, version in enumerate(versions):
        if version in seen:
            out.append(invalid_value(f"{path}[{i}]", version, "duplicate version"))
            continue
        seen.add(version)
        out += checks.each(f"{path}[{i}]", version, names.dns_1035_label(version))
    if known and not seen & set(REVIEW_VERSIONS):
        words = f"must include at least one of {ours}"
        out.append(invalid_value(path, versions, words))
    return out


def match_conditions(
    conditions: list[Json], path: str, *, params: bool = False
) -> list[FieldError]:
    """`params`: whether expressions may speak of `params`, as those of policies with a kind of
    them.
    """
    out: list[FieldError] = []
    if len(conditions) > MATCH_CONDITIONS_MAX:
        out.append(too_many(path, len(conditions), MATCH_CONDITIONS_MAX))
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        where, name = f"{path}[{i}]", condition.get("name", "")
        text = condition.get("expression", "").strip()
        if text:
            out += _condition(text, f"{where}.expression", params=params)
        else:
            out.append(required(f"{where}.expression"))
        if name:
            out += checks.qualified_name(name, f"{where}.name")
            if name in seen:
                out.append(duplicate(f"{where}.name", name))
            seen.add(name)
        else:
            out.append(required(f"{where}.name"))
    return out


def _condition(text: str, path: str, *, params: bool) -> list[FieldError]:
    from kapi.admission.requests import expressions

    where = expressions.environment(params=params, authorizer=True)
    out = expressions.compiled(text, where, expressions.CONDITION)
    return [invalid_value(path, text, out.problem)] if out.program is None else []
