"""Which flow schema, and so which priority level, a request belongs to.

The first schema by precedence, then by name, one of whose rules fits the user and the request.
`levels.py` makes a `Classifier` of the schemas that are in force, and another when they change;
what was found for a kind of request is kept until then.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from kapi.messages import RequestInfo, UserInfo

Json = dict[str, Any]
Test = Callable[[UserInfo, RequestInfo], bool]
Flow = TypeVar("Flow")

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
REMEMBERED_MAX = 10_000  # kinds of requests; at the bound all are forgotten
PATH_CHARS_MAX = 512  # of what is remembered: a path of a stranger may be a megabyte


class Classifier(Generic[Flow]):
    """Sorts requests into what somebody made of each flow schema."""

    def __init__(self, flows: Sequence[tuple[Json, Flow]], otherwise: Flow) -> None:
        """Flow schemas in any order, and what stands for each. `otherwise`: for requests that none
        takes, which are those of users without a group."""
        self._flows = [
            (_rule_test(rule), flow)
            for schema, flow in sorted(flows, key=lambda pair: _precedence(pair[0]))
            for rule in schema["spec"].get("rules") or ()
        ]
        self._otherwise = otherwise
        self._known: dict[tuple[object, ...], Flow] = {}

    def flow(self, user: UserInfo, info: RequestInfo) -> Flow:
        key = (
            user.name, user.groups, info.verb, info.group, info.resource, info.subresource,
            info.namespace, "" if info.is_resource else info.path,
        )  # fmt: skip
        found = self._known.get(key)
        if found is None:
            tests = (flow for test, flow in self._flows if test(user, info))
            found = next(tests, self._otherwise)
            if len(info.path) + len(user.name) <= PATH_CHARS_MAX:  # all else of it is in the path
                if len(self._known) >= REMEMBERED_MAX:
                    self._known.clear()
                self._known[key] = found
        return found


def _precedence(obj: Json) -> tuple[int, str]:
    return (obj["spec"].get("matchingPrecedence", 0), obj["metadata"]["name"])


def _rule_test(rule: Json) -> Test:
    subjects = [_subject_test(subject) for subject in rule.get("subjects") or ()]
    resources = [_resource_test(r) for r in rule.get("resourceRules") or ()]
    paths = [_path_test(r) for r in rule.get("nonResourceRules") or ()]

    def test(user: UserInfo, info: RequestInfo) -> bool:
        if not any(subject(user) for subject in subjects):
            return False
        return any(fits(info) for fits in (resources if info.is_resource else paths))

    return test


def _subject_test(subject: Json) -> Callable[[UserInfo], bool]:
    kind = subject["kind"]
    if kind == "User":
        name = subject["user"]["name"]
        return lambda user: name in ("*", user.name)
    if kind == "Group":
        group = subject["group"]["name"]
        return lambda user: group == "*" or group in user.groups
    account = subject["serviceAccount"]
    prefix = f"{SERVICE_ACCOUNT_PREFIX}{account['namespace']}:"
    if account["name"] == "*":
        return lambda user: user.name.startswith(prefix)
    return lambda user: user.name == prefix + account["name"]


def _resource_test(rule: Json) -> Callable[[RequestInfo], bool]:
    verbs, groups, resources = (
        frozenset(rule.get(field) or ()) for field in ("verbs", "apiGroups", "resources")
    )
    namespaces = frozenset(rule.get("namespaces") or ())
    cluster_scope = bool(rule.get("clusterScope"))

    def test(info: RequestInfo) -> bool:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        if not (_among(info.verb, verbs) and _among(info.group, groups)):
            return False
        if not _among(resource, resources):
            return False
        return _among(info.namespace, namespaces) if info.namespace else cluster_scope

    return test


def _path_test(rule: Json) -> Callable[[RequestInfo], bool]:
    verbs = frozenset(rule.get("verbs") or ())
    urls = rule.get("nonResourceURLs") or ()
    exact = frozenset(urls)
    prefixes = tuple(url[:-1] for url in urls if url.endswith("*"))

    def test(info: RequestInfo) -> bool:
        return _among(info.verb, verbs) and (info.path in exact or info.path.startswith(prefixes))

    return test


def _among(value: str, allowed: frozenset[str]) -> bool:
    return "*" in allowed or value in allowed
