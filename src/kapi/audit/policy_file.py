"""The file of an audit policy becomes a `Policy`, or a `PolicyError` in the words of the real
server's start.

Called when the command line is checked, and when a server is put together. Unknown and repeated
fields are told of in the log, as there; everything else that is wrong refuses the file.
https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Policy
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kapi import errors, log
from kapi.audit.policy import LEVELS, GroupResources, Policy, Rule, Stage, Verdict
from kapi.codec import json_format, yaml_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.codec.yaml_format import YamlError
from kapi.errors import FieldError, invalid_value
from kapi.registry import names
from kapi.schema.complaints import strict_errors, type_error
from kapi.schema.decoding import Decoders
from kapi.schema.scalars import Mismatch
from kapi.schema.structural import Property, Schema, SchemaType

Json = dict[str, Any]
VERSION = "audit.k8s.io/v1"
KIND = "Policy"
FILE_BYTES_MAX = 1024 * 1024  # a policy has some hundred rules at most
_STAGES = tuple(stage.value for stage in Stage)

_log = log.get("audit")


class PolicyError(ValueError):
    """Why a policy cannot be used, in one line."""


def load(path: str) -> Policy:
    """Raises PolicyError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        words = f"failed to read file path {errors.quote(path)}: open {path}: {why}"
        raise PolicyError(f"loading audit policy file: {words}") from error
    try:
        if len(data) > FILE_BYTES_MAX:
            raise PolicyError(f"failed decoding: larger than {FILE_BYTES_MAX} bytes")
        return parse(data)
    except PolicyError as error:
        raise PolicyError(f"loading audit policy file: {error}: from file {path}") from error


def parse(data: bytes) -> Policy:
    """Raises PolicyError."""
    document = _decoded(data)
    found = _findings(document)
    if found:
        texts = [str(finding) for finding in found]
        raise PolicyError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    rules = document.get("rules") or []
    if not rules:
        raise PolicyError("loaded illegal policy with 0 rules")
    stages = document.get("omitStages") or []
    fields = bool(document.get("omitManagedFields"))
    return Policy([_rule(rule, stages, fields) for rule in rules])


def _rule(rule: Json, stages: list[str], fields: bool) -> Rule:
    omitted = frozenset(Stage(s) for s in (*stages, *(rule.get("omitStages") or ())))
    own = rule.get("omitManagedFields")
    verdict = Verdict(LEVELS[rule["level"]], omitted, fields if own is None else own)
    return Rule(
        verdict=verdict,
        users=frozenset(rule.get("users") or ()),
        groups=frozenset(rule.get("userGroups") or ()),
        verbs=frozenset(rule.get("verbs") or ()),
        resources=tuple(_group_resources(r) for r in rule.get("resources") or ()),
        namespaces=frozenset(rule.get("namespaces") or ()),
        urls=tuple(rule.get("nonResourceURLs") or ()),
    )


def _group_resources(found: Json) -> GroupResources:
    return GroupResources(
        found.get("group") or "",
        tuple(found.get("resources") or ()),
        frozenset(found.get("resourceNames") or ()),
    )


# -- what may be in it ----------------------------------------------------------------------------


def _findings(document: Json) -> list[FieldError]:
    found: list[FieldError] = []
    for i, stage in enumerate(document.get("omitStages") or ()):
        found += _stage(stage, f"omitStages[{i}]")
    for i, rule in enumerate(document.get("rules") or ()):
        found += _rule_findings(rule, f"rules[{i}]")
    return found


def _rule_findings(rule: Json, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    level = rule.get("level") or ""
    if not level:
        found.append(errors.required(f"{path}.level"))
    elif level not in LEVELS:
        found.append(errors.not_supported(f"{path}.level", level, LEVELS))
    urls = rule.get("nonResourceURLs") or []
    for i, url in enumerate(urls):
        found += _url(url, f"{path}.nonResourceURLs[{i}]")
    for resources in rule.get("resources") or ():
        found += _resources(resources, f"{path}.resources")
    for i, stage in enumerate(rule.get("omitStages") or ()):
        found += _stage(stage, f"{path}.omitStages[{i}]")
    if urls and (rule.get("resources") or rule.get("namespaces")):
        words = "rules cannot apply to both regular resources and non-resource URLs"
        found.append(invalid_value(f"{path}.nonResourceURLs", urls, words))
    return found


def _url(url: str, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if url == "*":
        return found
    if not url.startswith("/"):
        words = "non-resource URL rules must begin with a '/' character"
        found.append(invalid_value(path, url, words))
    if "*" in url[:-1]:
        words = "non-resource URL wildcards '*' must be the final character of the rule"
        found.append(invalid_value(path, url, words))
    return found


def _resources(resources: Json, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    group = resources.get("group") or ""
    if group and group != "*" and (problems := names.dns_subdomain(group)):
        found.append(invalid_value(f"{path}.group", group, ",".join(problems)))
    only = resources.get("resourceNames")
    if only and not resources.get("resources"):
        words = "using resourceNames requires at least one resource"
        found.append(invalid_value(f"{path}.resourceNames", only, words))
    return found


def _stage(stage: str, path: str) -> list[FieldError]:
    if stage in _STAGES:
        return []
    return [invalid_value(path, stage, f"allowed stages are {','.join(_STAGES)}")]


# -- from bytes to a document ---------------------------------------------------------------------


def _decoded(data: bytes) -> Json:
    """Raises PolicyError."""
    try:
        value, complaints = yaml_format.loads(data)
        text = json_format.dumps(value)
        json_format.check_depth(text, value)
    except (YamlError, JsonSyntaxError) as error:
        words = " ".join(str(error).split())
        raise PolicyError(
            f"failed decoding: couldn't get version/kind; json parse error: {words}"
        ) from error
    _check_kind(value, data)
    schema = _schema()
    exact = json_format.loads_exact(text)
    try:
        document, _ = Decoders().decode(schema, value or {})
    except Mismatch:
        words = type_error(schema, exact) or "json: cannot unmarshal"
        raise PolicyError(f"failed decoding: {words}") from None
    strict = [*complaints, *strict_errors(schema, exact)]
    if strict:
        words = f"strict decoding error: {', '.join(strict)}"
        _log.warning("audit policy contains errors, read leniently", error=words)
    found: Json = document
    return found


def _check_kind(value: Any, data: bytes) -> None:
    """Raises PolicyError."""
    if value is not None and not isinstance(value, dict):
        what = "array" if isinstance(value, list) else "string"
        raise PolicyError(
            "failed decoding: couldn't get version/kind; json parse error: json: cannot unmarshal "
            f"{what} into Go value of type struct"
        )
    head = value or {}
    version, kind = str(head.get("apiVersion") or ""), str(head.get("kind") or KIND)
    if not version:
        raise PolicyError(
            f"unknown group version field audit.k8s.io/__internal, Kind={kind} in policy"
        )
    if (version, kind) != (VERSION, KIND):
        raise PolicyError(
            f"failed decoding: no kind {errors.quote(kind)} is registered for version "
            f'{errors.quote(version)} in scheme "k8s.io/apiserver/pkg/audit/scheme.go:30"'
        )


def _scalar(kind: SchemaType, go_type: str) -> Schema:
    return Schema(type=kind, go_type=go_type)


def _array(items: Schema) -> Schema:
    return Schema(type="array", items=items, go_type=f"[]{items.go_type}")


def _struct(go_type: str, **fields: Schema) -> Schema:
    properties = {
        name: Property(name, schema, pointer=schema.type == "boolean", go_type=schema.go_type)
        for name, schema in fields.items()
    }
    return Schema(type="object", go_type=go_type, properties=properties)


def _schema() -> Schema:
    texts, stages = _array(_scalar("string", "string")), _array(_scalar("string", "v1.Stage"))
    text, switch = _scalar("string", "string"), _scalar("boolean", "bool")
    resources = _struct("v1.GroupResources", group=text, resources=texts, resourceNames=texts)
    rule = _struct(
        "v1.PolicyRule",
        level=_scalar("string", "v1.Level"),
        users=texts,
        userGroups=texts,
        verbs=texts,
        resources=_array(resources),
        namespaces=texts,
        nonResourceURLs=texts,
        omitStages=stages,
        omitManagedFields=switch,
    )
    return _struct(
        "v1.Policy",
        kind=text,
        apiVersion=text,
        metadata=Schema(type="any"),
        rules=_array(rule),
        omitStages=stages,
        omitManagedFields=switch,
    )
