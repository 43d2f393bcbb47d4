"""Reviews of access: who may do what. Kinds that are answered, not stored.

`reviews` makes the table that the create handler looks into: (group, resource) -> what answers.
The words of findings are the real server's, with its empty kind: `.authorization.k8s.io "" is
invalid`.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from kapi import errors
from kapi.authorization.authorizer import (
    Attributes,
    Authorizer,
    Decision,
    RuleResolver,
    aggregate,
    decide,
)
from kapi.errors import ApiError, FieldError, GoText
from kapi.messages import Request, UserInfo
from kapi.registry import names
from kapi.selector import fields, labels

Json = dict[str, Any]

GROUP = "authorization.k8s.io"


class Place(Protocol):
    """Where a request goes, as far as reviews need it."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


# (request, place, object, write options) -> the answer
Review = Callable[[Request, Place, Json, object], Awaitable[Json]]


def reviews(authorizer: Authorizer, rules: RuleResolver) -> Mapping[tuple[str, str], Review]:
    handlers = _Reviews(authorizer, rules)
    return {
        (GROUP, "subjectaccessreviews"): handlers.subject,
        (GROUP, "localsubjectaccessreviews"): handlers.local,
        (GROUP, "selfsubjectaccessreviews"): handlers.self_access,
        (GROUP, "selfsubjectrulesreviews"): handlers.self_rules,
    }


class _Reviews:
    def __init__(self, authorizer: Authorizer, rules: RuleResolver) -> None:
        self._authorizer = authorizer
        self._rules = rules

    async def subject(self, request: Request, place: Place, obj: Json, options: object) -> Json:
        spec = obj.get("spec") or {}
        found = [*_check_spec(spec), *_check_user(spec), *_check_selectors(spec)]
        found += _check_metadata(obj, (), "must be empty")
        _refuse(found)
        return await self._answer(obj, _user_of(spec))

    async def local(self, request: Request, place: Place, obj: Json, options: object) -> Json:
        metadata = obj.get("metadata") or {}
        namespace = metadata.get("namespace") or place.namespace
        if namespace != place.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        obj = {**obj, "metadata": {"namespace": namespace, **metadata}}
        spec = obj.get("spec") or {}
        found = [*_check_spec(spec), *_check_user(spec), *_check_selectors(spec)]
        found += _check_metadata(obj, ("namespace",), "must be empty except for namespace")
        resource = spec.get("resourceAttributes")
        if resource is not None and resource.get("namespace", "") != namespace:
            found.append(
                errors.invalid_value(
                    "spec.resourceAttributes.namespace",
                    resource.get("namespace", ""),
                    "must match metadata.namespace",
                )
            )
        if (other := spec.get("nonResourceAttributes")) is not None:
            found.append(
                errors.invalid_value(
                    "spec.nonResourceAttributes", _go(other), "disallowed on this kind of request"
                )
            )
        _refuse(found)
        return await self._answer(obj, _user_of(spec))

    async def self_access(self, request: Request, place: Place, obj: Json, options: object) -> Json:
        spec = obj.get("spec") or {}
        found = [*_check_spec(spec), *_check_selectors(spec)]
        found += _check_metadata(obj, (), "must be empty")
        _refuse(found)
        return await self._answer(obj, user_of(request))

    async def self_rules(self, request: Request, place: Place, obj: Json, options: object) -> Json:
        namespace = (obj.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules = await self._rules.rules_for(user_of(request), namespace)
        status: Json = {
            "resourceRules": rules.resource,
            "nonResourceRules": rules.non_resource,
            "incomplete": rules.incomplete,
        }
        if rules.errors:
            status["evaluationError"] = aggregate(rules.errors)
        return {
            "kind": "SelfSubjectRulesReview",
            "apiVersion": obj["apiVersion"],
            "metadata": {},
            "spec": {},
            "status": status,
        }

    async def _answer(self, obj: Json, user: UserInfo) -> Json:
        attributes, ignored = _attributes(obj["spec"], user)
        decision, reason, failure = await decide(self._authorizer, attributes)
        status: Json = {"allowed": decision is Decision.ALLOW}
        if decision is Decision.DENY:
            status["denied"] = True
        if reason:
            status["reason"] = reason
        if problems := [failure, *ignored] if failure else ignored:
            status["evaluationError"] = "; ".join(problems)
        return {**obj, "status": status}


def user_of(request: Request) -> UserInfo:
    user = request.user
    assert user is not None, "authentication comes before handlers"
    return user


def _user_of(spec: Json) -> UserInfo:
    return UserInfo(
        name=spec.get("user") or "",
        uid=spec.get("uid") or "",
        groups=tuple(spec.get("groups") or ()),
        extra={k: tuple(v or ()) for k, v in (spec.get("extra") or {}).items()},
    )


def _attributes(spec: Json, user: UserInfo) -> tuple[Attributes, list[str]]:
    """What is asked, and complaints about selectors that had to be left out."""
    other = spec.get("nonResourceAttributes")
    if other is not None:
        path, verb = other.get("path", ""), other.get("verb", "")
        return Attributes(user=user, verb=verb, is_resource=False, path=path), []
    resource = spec["resourceAttributes"]
    field_selector, field_problem = _field_selector(resource.get("fieldSelector") or {})
    label_selector, label_problem = _label_selector(resource.get("labelSelector") or {})
    attributes = Attributes(
        user=user,
        verb=resource.get("verb", ""),
        is_resource=True,
        group=resource.get("group", ""),
        version=resource.get("version") or "*",
        namespace=resource.get("namespace", ""),
        resource=resource.get("resource", ""),
        subresource=resource.get("subresource", ""),
        name=resource.get("name", ""),
        field_selector=field_selector,
        label_selector=label_selector,
    )
    problems = ((field_problem, field_selector, "field"), (label_problem, label_selector, "label"))
    return attributes, [
        f"spec.resourceAttributes.{kind}Selector {'partially ' if kept else ''}"
        "ignored due to parse error"
        for problem, kept, kind in problems
        if problem
    ]


def _field_selector(selector: Json) -> tuple[str, bool]:
    """The selector as text, and whether a part of it was left out."""
    if raw := selector.get("rawSelector"):
        return _if_parses(raw, fields.parse)
    kept: list[str] = []
    problem = False
    for requirement in selector.get("requirements") or ():
        values: Sequence[str] = requirement.get("values") or ()
        operator = {"In": "=", "NotIn": "!="}.get(requirement.get("operator", ""))
        if operator is None or len(values) != 1:
            problem = True
            continue
        kept.append(f"{requirement.get('key', '')}{operator}{_escape(values[0])}")
    return ",".join(kept), problem


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _label_selector(selector: Json) -> tuple[str, bool]:
    if raw := selector.get("rawSelector"):
        return _if_parses(raw, labels.parse)
    kept: list[str] = []
    problem = False
    for requirement in selector.get("requirements") or ():
        key = requirement.get("key", "")
        values = ",".join(requirement.get("values") or ())
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(requirement.get("operator", ""), "")
        parsed, broken = _if_parses(text, labels.parse)
        if broken or not text:
            problem = True
        else:
            kept.append(parsed)
    return ",".join(kept), problem


def _if_parses(text: str, parse: Callable[[str], object]) -> tuple[str, bool]:
    try:
        parse(text)
    except ApiError:
        return "", True
    return text, False


# -- findings ----------------------------------------------------------------------------------


def _refuse(found: Sequence[FieldError]) -> None:
    if found:
        raise errors.invalid(GROUP, "", "", found)


def _go(other: Json) -> GoText:
    """Non-resource attributes as the Go struct prints."""
    path, verb = (
        errors.quote_value(other.get("path", "")),
        errors.quote_value(other.get("verb", "")),
    )
    return GoText(f'{{"Path":{path},"Verb":{verb}}}')


def _check_spec(spec: Json) -> list[FieldError]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) != (other is None):
        return []
    return [
        errors.invalid_value(
            "spec",
            None if other is None else _go(other),
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )
    ]


def _check_user(spec: Json) -> list[FieldError]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [
        errors.invalid_value("spec.user", "", "at least one of user or group must be specified")
    ]


def _check_metadata(obj: Json, allowed: tuple[str, ...], words: str) -> list[FieldError]:
    metadata = obj.get("metadata") or {}
    given = {k: v for k, v in metadata.items() if v and k not in ("managedFields", *allowed)}
    if not given:
        return []
    shown = {k: v for k, v in metadata.items() if v and k != "managedFields"}
    return [errors.invalid_value("metadata", shown, words)]


def _check_selectors(spec: Json) -> list[FieldError]:
    resource = spec.get("resourceAttributes") or {}
    found: list[FieldError] = []
    for kind, check in (("fieldSelector", _check_field), ("labelSelector", _check_label)):
        selector = resource.get(kind)
        if selector is None:
            continue
        path = f"spec.resourceAttributes.{kind}"
        raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
        if raw and requirements:
            words = "may not specified at the same time as requirements"
            found.append(errors.invalid_value(f"{path}.rawSelector", raw, words))
        if not raw and not requirements:
            words = f"when {path} is specified, requirements or rawSelector is required"
            found.append(errors.required(f"{path}.requirements", words))
        for i, requirement in enumerate(requirements):
            found += check(f"{path}.requirements[{i}]", requirement)
    return found


def _check_operator(path: str, requirement: Json) -> list[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator in ("In", "NotIn") and not values:
        words = "must be specified when `operator` is 'In' or 'NotIn'"
        return [errors.required(f"{path}.values", words)]
    if operator in ("Exists", "DoesNotExist") and values:
        words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [errors.field_forbidden(f"{path}.values", words)]
    return []


def _check_field(path: str, requirement: Json) -> list[FieldError]:
    found = _check_operator(path, requirement)
    if not requirement.get("key"):
        found.insert(0, errors.required(f"{path}.key", "must be specified"))
    return found


def _check_label(path: str, requirement: Json) -> list[FieldError]:
    found = _check_operator(path, requirement)
    key = requirement.get("key", "")
    found += [errors.invalid_value(f"{path}.key", key, c) for c in names.qualified_name(key)]
    for i, value in enumerate(requirement.get("values") or ()):
        complaints = names.label_value(value)
        found += [errors.invalid_value(f"{path}.values[{i}]", value, c) for c in complaints]
    return found
