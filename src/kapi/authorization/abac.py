"""ABAC: policies in a file, one JSON object in a line, read once at the start.

Older lines have neither kind nor version (v0); where they leave a field out it matches all. No
policy refuses anything: the first that matches allows, else the next authorizer is asked.
https://kubernetes.io/docs/reference/access-authn-authz/abac/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.authorization.authorizer import Attributes, Decision, Rules
from kapi.messages import UserInfo

Json = dict[str, Any]
VERSION = "abac.authorization.kubernetes.io/v1beta1"
AUTHENTICATED = "system:authenticated"
_READING = ("get", "list", "watch")
_TEXTS = ("user", "group", "namespace", "resource", "apiGroup", "nonResourcePath")
_ALLOWED = (Decision.ALLOW, "")
_NO_MATCH = (Decision.NO_OPINION, "No policy matched.")


class PolicyFileError(ValueError):
    """A line that is no policy; the text is one line."""


@dataclass(frozen=True, slots=True)
class Policy:
    user: str = ""
    group: str = ""
    namespace: str = ""
    resource: str = ""
    api_group: str = ""
    path: str = ""  # of non-resource requests; a star at its end stands for what follows
    readonly: bool = False

    def is_about(self, user: UserInfo) -> bool:
        if self.user and self.user != "*" and self.user != user.name:
            return False
        if self.group and self.group != "*" and self.group not in user.groups:
            return False
        return bool(self.user or self.group)

    def matches(self, a: Attributes) -> bool:
        if not self.is_about(a.user) or (self.readonly and a.verb not in _READING):
            return False
        if a.is_resource:
            return (
                self.namespace in ("*", a.namespace)
                and self.resource in ("*", a.resource)
                and self.api_group in ("*", a.group)
            )
        begins = self.path.endswith("*") and a.path.startswith(self.path.rstrip("*"))
        return begins or self.path == a.path


def parse(data: bytes, path: str) -> tuple[Policy, ...]:
    """The policies of a file. Raises PolicyFileError."""
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            found.append(_policy(orjson.loads(text)))
        except ValueError as error:
            shown = text.decode("utf-8", "replace")
            words = f"error reading policy file {path}, line {number}: {shown}: {error}"
            raise PolicyFileError(words) from error
    return tuple(found)


def _policy(line: Any) -> Policy:
    """Raises ValueError."""
    if not isinstance(line, dict):
        raise ValueError("must be an object")
    kind, version = line.get("kind"), line.get("apiVersion")
    if not kind and not version:
        return _old(line)
    if (kind, version) != ("Policy", VERSION):
        raise ValueError(f'no kind "{kind}" is registered for version "{version}"')
    found = _typed(line.get("spec") or {})
    if "*" in (found.user, found.group):
        return _of_all(found)
    return found


def _old(line: Json) -> Policy:
    found = _typed(line)
    everywhere = not found.namespace and not found.resource
    policy = Policy(
        user=found.user,
        group=found.group,
        namespace=found.namespace or "*",
        resource=found.resource or "*",
        api_group="*",
        path="*" if everywhere else "",
        readonly=found.readonly,
    )
    whoever = not found.user and not found.group
    return _of_all(policy) if whoever or "*" in (found.user, found.group) else policy


def _of_all(p: Policy) -> Policy:
    """A star means everybody who has shown who he is."""
    return Policy("", AUTHENTICATED, p.namespace, p.resource, p.api_group, p.path, p.readonly)


def _typed(spec: Any) -> Policy:
    if not isinstance(spec, dict):
        raise ValueError("spec: must be an object")
    texts = [spec.get(name) or "" for name in _TEXTS]
    readonly = spec.get("readonly") or False
    for name, value in zip(_TEXTS, texts, strict=True):
        if not isinstance(value, str):
            raise ValueError(f"{name}: must be a string")
    if not isinstance(readonly, bool):
        raise ValueError("readonly: must be a boolean")
    user, group, namespace, resource, api_group, path = texts
    return Policy(user, group, namespace, resource, api_group, path, readonly)


class Abac:
    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies: Sequence[Policy] = tuple(policies)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        if any(policy.matches(attributes) for policy in self._policies):
            return _ALLOWED
        return _NO_MATCH

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        rules = Rules()
        for p in self._policies:
            if not p.is_about(user) or p.namespace not in ("*", namespace):
                continue
            verbs = list(_READING) if p.readonly else ["*"]
            if p.resource:
                rules.resource.append(
                    {"verbs": verbs, "apiGroups": [p.api_group], "resources": [p.resource]}
                )
            if p.path:
                rules.non_resource.append({"verbs": verbs, "nonResourceURLs": [p.path]})
        return rules
