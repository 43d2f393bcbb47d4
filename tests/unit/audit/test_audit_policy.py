"""Which rule of a policy a request meets: upstream's table, and what is ours to add."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kapi.audit import policy_file
from kapi.audit.policy import Level, Policy, Stage, url_matches
from kapi.filters.request_info import parse
from kapi.messages import Query, UserInfo

TIM = UserInfo("tim@k8s.io", groups=("humans", "developers"))
Json = dict[str, Any]

REQUESTS = {
    "namespaced": ("GET", "/api/v1/namespaces/default/pods/busybox"),
    "cluster": ("GET", "/apis/rbac.authorization.k8s.io/v1beta1/clusterroles/edit"),
    "nonResource": ("GET", "/logs/kubelet.log"),
    "subresource": ("GET", "/api/v1/namespaces/default/pods/busybox/log"),
    "status": ("PUT", "/apis/apps/v1/namespaces/default/deployments/d/status"),
    "scale": ("PUT", "/apis/apps/v1/namespaces/default/deployments/d/scale"),
}
RULES: dict[str, Json] = {
    "default": {"level": "Metadata"},
    "create": {"level": "Request", "verbs": ["create"]},
    "tims": {"level": "Metadata", "users": ["tim@k8s.io"]},
    "humans": {"level": "Metadata", "userGroups": ["humans"]},
    "serviceAccounts": {"level": "Request", "userGroups": ["system:serviceaccounts"]},
    "getPods": {
        "level": "RequestResponse",
        "verbs": ["get"],
        "resources": [{"resources": ["pods"]}],
    },
    "getPodLogs": {
        "level": "Request",
        "verbs": ["get"],
        "resources": [{"resources": ["pods/log"]}],
    },
    "getPodWildcardMatching": {"level": "Request", "resources": [{"resources": ["*"]}]},
    "getPodResourceWildcardMatching": {"level": "Request", "resources": [{"resources": ["*/log"]}]},
    "getPodSubResourceWildcardMatching": {
        "level": "Request",
        "resources": [{"resources": ["pods/*"]}],
    },
    "getClusterRoles": {
        "level": "RequestResponse",
        "verbs": ["get"],
        "resources": [{"group": "rbac.authorization.k8s.io", "resources": ["clusterroles"]}],
        "namespaces": [""],
    },
    "getLogs": {"level": "RequestResponse", "verbs": ["get"], "nonResourceURLs": ["/logs*"]},
    "getMetrics": {"level": "Request", "verbs": ["get"], "nonResourceURLs": ["/metrics"]},
    "clusterRoleEdit": {
        "level": "Request",
        "resources": [
            {
                "group": "rbac.authorization.k8s.io",
                "resources": ["clusterroles"],
                "resourceNames": ["edit"],
            }
        ],
    },
    "otherName": {
        "level": "Request",
        "resources": [{"resources": ["pods"], "resourceNames": ["x"]}],
    },
    "omit RequestReceived": {"level": "Request", "omitStages": ["RequestReceived"]},
    "core": {"level": "Request", "resources": [{"group": ""}]},
    "every status": {"level": "None", "resources": [{"group": "*", "resources": ["*/status"]}]},
    "default namespace": {"level": "Request", "namespaces": ["default"]},
}


def policy(*names: str, **more: Any) -> Policy:
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **more}
    return policy_file.parse(orjson.dumps({**document, "rules": [RULES[name] for name in names]}))


def level(request: str, *names: str, user: UserInfo | None = TIM) -> str:
    method, path = REQUESTS[request]
    found = policy(*names).verdict(parse(method, path, Query("")), user).level
    return {0: "None", 1: "Metadata", 2: "Request", 3: "RequestResponse"}[found]


@pytest.mark.parametrize(
    ("request_name", "wanted", "names"),
    [
        ("namespaced", "Metadata", ("default",)),
        ("namespaced", "None", ("create",)),
        ("namespaced", "Metadata", ("tims",)),
        ("namespaced", "Metadata", ("humans",)),
        ("namespaced", "None", ("serviceAccounts",)),
        ("namespaced", "RequestResponse", ("getPods",)),
        ("namespaced", "None", ("getClusterRoles",)),
        ("namespaced", "None", ("getLogs",)),
        ("namespaced", "None", ("getPodLogs",)),
        ("namespaced", "Request", ("getPodWildcardMatching",)),
        ("namespaced", "None", ("getPodResourceWildcardMatching",)),
        ("namespaced", "Request", ("getPodSubResourceWildcardMatching",)),
        ("namespaced", "None", ("otherName",)),
        ("namespaced", "Request", ("core",)),
        ("namespaced", "Request", ("default namespace",)),
        ("namespaced", "Metadata", ("create", "tims", "humans", "getPods")),
        ("cluster", "Metadata", ("default",)),
        ("cluster", "None", ("create",)),
        ("cluster", "Metadata", ("tims",)),
        ("cluster", "None", ("getPods",)),
        ("cluster", "RequestResponse", ("getClusterRoles",)),
        ("cluster", "Request", ("clusterRoleEdit",)),
        ("cluster", "None", ("default namespace",)),
        ("cluster", "RequestResponse", ("serviceAccounts", "getClusterRoles", "default")),
        ("nonResource", "Metadata", ("default",)),
        ("nonResource", "None", ("getPods",)),
        ("nonResource", "None", ("getPodWildcardMatching",)),
        ("nonResource", "RequestResponse", ("getLogs",)),
        ("nonResource", "None", ("getMetrics",)),
        ("nonResource", "None", ("default namespace",)),
        ("subresource", "Request", ("getPodLogs",)),
        ("subresource", "None", ("getPods",)),
        ("subresource", "Request", ("getPodWildcardMatching",)),
        ("subresource", "Request", ("getPodResourceWildcardMatching",)),
        ("subresource", "Request", ("getPodSubResourceWildcardMatching",)),
        ("status", "None", ("every status", "default")),
        ("scale", "Metadata", ("every status", "default")),
        ("status", "None", ("core",)),
    ],
)  # fmt: skip
def test_the_first_rule_that_matches_counts(
    request_name: str, wanted: str, names: tuple[str, ...]
) -> None:
    assert level(request_name, *names) == wanted


def test_nobody_matches_no_rule_about_users() -> None:
    assert level("namespaced", "tims", user=None) == "None"
    assert level("namespaced", "humans", user=None) == "None"
    assert level("namespaced", "default", user=None) == "Metadata"


def test_stages_of_the_policy_and_of_the_rule_are_left_out() -> None:
    info = parse("GET", "/api/v1/pods", Query(""))
    found = policy("omit RequestReceived", omitStages=["Panic"]).verdict(info, TIM)
    assert found.omit_stages == {Stage.REQUEST_RECEIVED, Stage.PANIC}
    assert policy("create", omitStages=["Panic"]).verdict(info, TIM).level is Level.NONE


@pytest.mark.parametrize(
    ("of_policy", "of_rule", "wanted"),
    [
        (True, None, True), (False, None, False), (None, None, False),
        (True, False, False), (False, True, True), (None, True, True),
    ],
)  # fmt: skip
def test_a_rule_overrides_the_policy_about_owners(
    of_policy: bool | None, of_rule: bool | None, wanted: bool
) -> None:
    rule: Json = {"level": "Metadata", "omitManagedFields": of_rule}
    document: Json = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule]}
    if of_policy is not None:
        document["omitManagedFields"] = of_policy
    found = policy_file.parse(orjson.dumps(document))
    info = parse("GET", "/api/v1/pods", Query(""))
    assert found.verdict(info, TIM).omit_managed_fields is wanted


@pytest.mark.parametrize(
    ("path", "url", "wanted"),
    [
        ("/a", "*", True), ("/a", "/a", True), ("/a/b", "/a", False), ("/a/b", "/a*", True),
        ("/a/b", "/a/*", True), ("/a", "/a/*", False), ("/a/*", "/a/*", True),
    ],
)  # fmt: skip
def test_urls(path: str, url: str, wanted: bool) -> None:
    assert url_matches(path, url) is wanted
