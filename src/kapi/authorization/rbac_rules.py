"""RBAC rules as values: does a rule allow, do rules cover others, how is a rule written.

Pure. `rule_allows` is the definition; `Ruleset` is the same, compiled for speed (a test compares
them). Covering and writing serve `escalation.py`. A rule is a dict as in the API: verbs,
apiGroups, resources, resourceNames, nonResourceURLs.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kapi.authorization.authorizer import Attributes
from kapi.errors import quote

Rule = Mapping[str, Any]
ALL = "*"


def _list(rule: Rule, key: str) -> Sequence[str]:
    return rule.get(key) or ()


def rule_allows(rule: Rule, attributes: Attributes) -> bool:
    a = attributes
    verbs = _list(rule, "verbs")
    if a.verb not in verbs and ALL not in verbs:
        return False
    if not a.is_resource:
        return any(_url_matches(url, a.path) for url in _list(rule, "nonResourceURLs"))
    groups = _list(rule, "apiGroups")
    if a.group not in groups and ALL not in groups:
        return False
    combined = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    resources = _list(rule, "resources")
    if (
        ALL not in resources
        and combined not in resources
        and not (a.subresource and f"*/{a.subresource}" in resources)
    ):
        return False
    names = _list(rule, "resourceNames")
    return not names or a.name in names


def _url_matches(pattern: str, path: str) -> bool:
    if pattern in (ALL, path):
        return True
    return pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL))


_Names = frozenset[str] | None  # None: any name


class Ruleset:
    """The rules of one role, indexed by verb, group and resource."""

    __slots__ = ("_resources", "_urls", "rules")

    def __init__(self, rules: Iterable[Rule] | None) -> None:
        self.rules: tuple[Rule, ...] = tuple(rules or ())
        self._resources: dict[str, dict[str, dict[str, _Names]]] = {}
        self._urls: dict[str, list[str]] = {}
        for rule in self.rules:
            names = frozenset(_list(rule, "resourceNames")) or None
            for verb in _list(rule, "verbs"):
                self._urls.setdefault(verb, []).extend(_list(rule, "nonResourceURLs"))
                groups = self._resources.setdefault(verb, {})
                for group in _list(rule, "apiGroups"):
                    resources = groups.setdefault(group, {})
                    for resource in _list(rule, "resources"):
                        _add(resources, resource, names)

    def allows(self, attributes: Attributes) -> bool:
        a = attributes
        for verb in (a.verb, ALL):
            if not a.is_resource:
                if any(_url_matches(url, a.path) for url in self._urls.get(verb, ())):
                    return True
                continue
            groups = self._resources.get(verb)
            if not groups:
                continue
            for group in (a.group, ALL):
                resources = groups.get(group)
                if resources and _resource_allowed(resources, a):
                    return True
        return False


def _add(resources: dict[str, _Names], resource: str, names: _Names) -> None:
    if resource not in resources:
        resources[resource] = names
        return
    known = resources[resource]
    resources[resource] = None if names is None or known is None else known | names


def _resource_allowed(resources: dict[str, _Names], a: Attributes) -> bool:
    keys: tuple[str, ...]
    if a.subresource:
        keys = (f"{a.resource}/{a.subresource}", ALL, f"*/{a.subresource}")
    else:
        keys = (a.resource, ALL)
    for key in keys:
        if key in resources:
            names = resources[key]
            if names is None or a.name in names:
                return True
    return False


def covers(owned: Sequence[Rule], wanted: Sequence[Rule]) -> list[Rule]:
    """The parts of `wanted` that `owned` does not cover; empty if it covers all."""
    return [
        part
        for rule in wanted
        for part in break_down(rule)
        if not any(_covers_part(owner, part) for owner in owned)
    ]


def break_down(rule: Rule) -> list[Rule]:
    """A rule as rules of one group, resource, verb and name each."""
    parts: list[Rule] = []
    names = _list(rule, "resourceNames")
    for group in _list(rule, "apiGroups"):
        for resource in _list(rule, "resources"):
            for verb in _list(rule, "verbs"):
                part: dict[str, Any] = {
                    "verbs": [verb], "apiGroups": [group], "resources": [resource],
                }  # fmt: skip
                parts.extend({**part, "resourceNames": [name]} for name in names)
                if not names:
                    parts.append(part)
    for url in _list(rule, "nonResourceURLs"):
        parts.extend({"verbs": [verb], "nonResourceURLs": [url]} for verb in _list(rule, "verbs"))
    return parts


def _covers_part(owner: Rule, part: Rule) -> bool:
    """`part` comes from break_down."""
    if not _has(_list(owner, "verbs"), part["verbs"][0]):
        return False
    urls = part.get("nonResourceURLs")
    if urls:
        return any(_url_matches(pattern, urls[0]) for pattern in _list(owner, "nonResourceURLs"))
    if not _has(_list(owner, "apiGroups"), part["apiGroups"][0]):
        return False
    resource: str = part["resources"][0]
    resources = _list(owner, "resources")
    if not _has(resources, resource):
        _, slash, subresource = resource.partition("/")
        if not slash or f"*/{subresource}" not in resources:
            return False
    names = _list(owner, "resourceNames")
    wanted = _list(part, "resourceNames")
    return not names or (len(wanted) > 0 and wanted[0] in names)


def _has(values: Sequence[str], value: str) -> bool:
    return ALL in values or value in values


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Rules that differ in their verbs only, put together."""
    others: list[Rule] = []
    simple: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for rule in rules:
        names = _list(rule, "resourceNames")
        groups, resources = _list(rule, "apiGroups"), _list(rule, "resources")
        if (
            _list(rule, "nonResourceURLs")
            or len(names) > 1
            or len(groups) != 1
            or len(resources) != 1
        ):
            others.append(rule)
            continue
        key = (groups[0], resources[0], names[0] if names else None)
        known = simple.setdefault(key, {**rule, "verbs": []})
        known["verbs"].extend(v for v in _list(rule, "verbs") if v not in known["verbs"])
    return [*others, *simple.values()]


_PARTS = (
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("nonResourceURLs", "NonResourceURLs"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
)


def describe(rule: Rule) -> str:
    """`{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`."""
    parts = [f"{word}:{quote_list(_list(rule, key))}" for key, word in _PARTS if _list(rule, key)]
    return "{" + ", ".join(parts) + "}"


def quote_list(texts: Iterable[str]) -> str:
    """A list of strings as Go's `%q` prints it."""
    return "[" + " ".join(quote(t) for t in texts) + "]"
