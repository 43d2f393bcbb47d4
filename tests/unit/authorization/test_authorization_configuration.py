"""The file of --authorization-config: what it means, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from kapi.authorization.configuration import (
    ConfigurationError,
    Entry,
    WebhookSettings,
    of_modes,
    parse,
)

Json = dict[str, Any]
V1 = "apiserver.config.k8s.io/v1"


def document(*authorizers: Json, **more: Any) -> bytes:
    base = {"apiVersion": V1, "kind": "AuthorizationConfiguration"}
    return orjson.dumps({**base, "authorizers": list(authorizers), **more})


@pytest.fixture
def webhook(tmp_path: Path) -> Json:
    """The webhook of a good authorizer."""
    file = tmp_path / "kubeconfig"
    file.write_text("{}")
    return {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(file)},
    }


def hook(webhook: Json, **changed: Any) -> Json:
    changes = {k: v for k, v in changed.items() if v is not None}
    kept = {k: v for k, v in webhook.items() if k not in changed}
    return {"type": "Webhook", "name": "w", "webhook": {**kept, **changes}}


def said(data: bytes) -> str:
    with pytest.raises(ConfigurationError) as raised:
        parse(data)
    return str(raised.value)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_whole_file(webhook: Json, version: str) -> None:
    conditions = [{"expression": "request.user != 'ada'"}]
    full = hook(
        webhook,
        authorizedTTL="10s",
        unauthorizedTTL="1m",
        matchConditionSubjectAccessReviewVersion="v1",
        matchConditions=conditions,
        cacheUnauthorizedRequests=False,
    )
    entries = parse(
        document(
            full,
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
            apiVersion=f"apiserver.config.k8s.io/{version}",
        )
    )
    assert entries == (
        Entry(
            "Webhook",
            "w",
            WebhookSettings(
                kubeconfig=webhook["connectionInfo"]["kubeConfigFile"],
                timeout_s=3.0,
                authorized_s=10.0,
                unauthorized_s=0.0,
                denies_on_failure=True,
                conditions=("request.user != 'ada'",),
            ),
        ),
        Entry("Node", "node"),
        Entry("RBAC", "rbac"),
    )


def test_defaults(webhook: Json) -> None:
    (entry,) = parse(document(hook(webhook, authorizedTTL="0s")))
    assert entry.webhook is not None
    assert (entry.webhook.authorized_s, entry.webhook.unauthorized_s) == (300.0, 30.0)


def test_flags_mean_the_same() -> None:
    settings = WebhookSettings(kubeconfig="/k", version="v1beta1")
    assert of_modes(("Node", "Webhook"), settings) == (
        Entry("Node", "node"),
        Entry("Webhook", "default", settings),
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "failed to load AuthorizationConfiguration from file: "),
        (b"[]", "must be an object"),
        (b"kind: AuthorizationConfiguration", "Object 'apiVersion' is missing"),
        (b"apiVersion: v1", "Object 'Kind' is missing"),
        (b"{apiVersion: v1, kind: Pod}", 'no kind "Pod" is registered for version "v1"'),
        (document(x=1), 'strict decoding error: unknown field "x"'),
        (
            document({"type": "RBAC", "name": "rbac", "webHook": {}}),
            'strict decoding error: unknown field "authorizers[0].webHook"',
        ),
        (document({"type": 1}), "authorizers[0].type: must be a string"),
        (document(authorizers={}), "authorizers: must be a list"),
        (document("RBAC"), "authorizers[0]: must be an object"),  # type: ignore[arg-type]
        (
            document({"type": "Webhook", "name": "w", "webhook": {"timeout": 3}}),
            "authorizers[0].webhook.timeout: must be a duration",
        ),
        (
            document({"type": "Webhook", "name": "w", "webhook": {"timeout": "3"}}),
            'time: missing unit in duration "3"',
        ),
    ],
)
def test_files_that_cannot_be_read(data: bytes, words: str) -> None:
    assert words in said(data)


RBAC: Json = {"type": "RBAC", "name": "rbac"}


@pytest.mark.parametrize(
    ("authorizers", "words"),
    [
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([{"name": "x"}], "authorizers[0].type: Required value"),
        (
            [{"type": "Foo", "name": "foo"}],
            'authorizers[0].type: Unsupported value: "Foo": supported values: "ABAC", '
            '"AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"',
        ),
        ([RBAC, RBAC], 'authorizers[1].type: Duplicate value: "RBAC"'),
        ([{"type": "RBAC"}], "authorizers[0].name: Required value"),
        ([RBAC, {"type": "Node", "name": "rbac"}], 'authorizers[1].name: Duplicate value: "rbac"'),
        (
            [{"type": "RBAC", "name": "Rbac"}],
            'authorizers[0].name: Invalid value: "Rbac": authorizer name is invalid: a lowercase '
            "RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'example.com', regex "
            "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*"
            "[a-z0-9])?)*')",
        ),
        (
            [{"type": "RBAC", "name": "x"}],
            "expected name rbac for authorizer RBAC instead of x",
        ),
        (
            [{"type": "Webhook", "name": "w"}],
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (
            [{**RBAC, "webhook": {}}],
            'authorizers[0].webhook: Invalid value: "non-null": may only be specified when '
            "type=Webhook",
        ),
        (
            [{"type": "Webhook", "name": "w", "webhook": {}}],
            "[authorizers[0].timeout: Required value, "
            "authorizers[0].subjectAccessReviewVersion: Required value, "
            "authorizers[0].failurePolicy: Required value, "
            "authorizers[0].connectionInfo.type: Required value]",
        ),
    ],
)
def test_findings(authorizers: list[Json], words: str) -> None:
    assert said(document(*authorizers)) == words


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"timeout": "31s"}, 'timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        ({"timeout": "-1s"}, 'timeout: Invalid value: "-1s": must be > 0s and <= 30s'),
        ({"authorizedTTL": "-1s"}, 'authorizedTTL: Invalid value: "-1s": must be > 0s'),
        ({"unauthorizedTTL": "-1m"}, 'unauthorizedTTL: Invalid value: "-1m": must be > 0s'),
        (
            {"subjectAccessReviewVersion": "v2"},
            'subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", '
            '"v1beta1"',
        ),
        (
            {"matchConditionSubjectAccessReviewVersion": "v1beta1"},
            'matchConditionSubjectAccessReviewVersion: Unsupported value: "v1beta1": supported '
            'values: "v1"',
        ),
        (
            {"matchConditions": [{"expression": "true"}]},
            "matchConditionSubjectAccessReviewVersion: Required value: required if match "
            "conditions are specified",
        ),
        (
            {"failurePolicy": "Allow"},
            'failurePolicy: Unsupported value: "Allow": supported values: "NoOpinion", "Deny"',
        ),
        ({"connectionInfo": None}, "connectionInfo.type: Required value"),
        (
            {"connectionInfo": {"type": "x"}},
            'connectionInfo.type: Unsupported value: {"KubeConfigFile":null,"Type":"x"}: supported '
            'values: "InClusterConfig", "KubeConfigFile"',
        ),
        (
            {"connectionInfo": {"type": "InClusterConfig"}},
            "connectionInfo.type: Forbidden: not allowed for kube-apiserver",
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile"}},
            "connectionInfo.kubeConfigFile: Required value",
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "a"}},
            'connectionInfo.kubeConfigFile: Invalid value: "a": must be an absolute path',
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/no/such"}},
            'connectionInfo.kubeConfigFile: Invalid value: "/no/such": error loading file: stat '
            "/no/such: no such file or directory",
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/tmp"}},
            'connectionInfo.kubeConfigFile: Invalid value: "/tmp": must be a regular file',
        ),
    ],
)
def test_findings_about_webhooks(webhook: Json, changed: Json, words: str) -> None:
    assert said(document(hook(webhook, **changed))) == f"authorizers[0].{words}"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([" "], "[0].expression: Required value"),
        (["true", "true"], '[1].expression: Duplicate value: "true"'),
        (
            ["1"],
            '[0].expression: Invalid value: "1": must evaluate to bool but got int',
        ),
        (
            ["request.foo == ''"],
            "[0].expression: Invalid value: \"request.foo == ''\": compilation failed: ERROR: "
            "<input>:1:8: undefined field 'foo'\n | request.foo == ''\n | .......^",
        ),
        (
            ["object.x"],
            '[0].expression: Invalid value: "object.x": compilation failed: ERROR: <input>:1:1: '
            "undeclared reference to 'object' (in container '')\n | object.x\n | ^",
        ),
        (["true"] * 65, ": Too many: 65: must have at most 64 items"),
    ],
)
def test_findings_about_conditions(webhook: Json, texts: list[str], words: str) -> None:
    conditions = [{"expression": text} for text in texts]
    version = {"matchConditionSubjectAccessReviewVersion": "v1"}
    data = document(hook(webhook, matchConditions=conditions, **version))
    assert said(data) == f"authorizers[0].matchConditions{words}"
