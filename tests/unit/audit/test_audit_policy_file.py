"""Policy files: what is refused, and how it is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kapi.audit import policy_file
from kapi.audit.policy_file import PolicyError

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEAD}rules: []", "loaded illegal policy with 0 rules"),
        (HEAD, "loaded illegal policy with 0 rules"),
        (
            f"{HEAD}rules: [{{}}]",
            "rules[0].level: Required value",
        ),
        (
            f"{HEAD}rules: [{{level: Everything}}]",
            'rules[0].level: Unsupported value: "Everything": supported values: "None", '
            '"Metadata", "Request", "RequestResponse"',
        ),
        (
            f"{HEAD}rules: [{{level: None, nonResourceURLs: [logs, '/a*b']}}]",
            '[rules[0].nonResourceURLs[0]: Invalid value: "logs": non-resource URL rules must '
            "begin with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: "
            "\"/a*b\": non-resource URL wildcards '*' must be the final character of the rule]",
        ),
        (
            f"{HEAD}rules: [{{level: None, nonResourceURLs: ['/a'], namespaces: [x]}}]",
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular '
            "resources and non-resource URLs",
        ),
        (
            f"{HEAD}rules: [{{level: None, resources: [{{resourceNames: [a]}}]}}]",
            'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires '
            "at least one resource",
        ),
        (
            f"{HEAD}omitStages: [Later]\nrules: [{{level: None}}]",
            'omitStages[0]: Invalid value: "Later": allowed stages are '
            "RequestReceived,ResponseStarted,ResponseComplete,Panic",
        ),
        (
            f"{HEAD}rules: [{{level: 3}}]",
            "failed decoding: json: cannot unmarshal number into Go struct field "
            "PolicyRule.rules.level of type v1.Level",
        ),
        (
            "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]",
            'failed decoding: no kind "Policy" is registered for version "audit.k8s.io/v1beta1" '
            'in scheme "k8s.io/apiserver/pkg/audit/scheme.go:30"',
        ),
        (
            "kind: Policy",
            "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy",
        ),
    ],
)
def test_words(text: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_file.parse(text.encode())
    assert str(caught.value) == words


@pytest.mark.parametrize("text", ["a: [", "[]", "text", "{" * 600, "\x00", "a: &a [*a]"])
def test_what_is_no_policy_is_refused_all_the_same(text: str) -> None:
    with pytest.raises(PolicyError):
        policy_file.parse(text.encode())


def test_groups() -> None:
    rules = "rules: [{level: None, resources: [{group: '%s'}]}]"
    for good in ("", "*", "apps", "rbac.authorization.k8s.io"):
        policy_file.parse(f"{HEAD}{rules % good}".encode())
    with pytest.raises(PolicyError, match=r"rules\[0\].resources.group: Invalid value"):
        policy_file.parse(f"{HEAD}{rules % 'rbac.authorization.k8s.io/v1'}".encode())


def test_unknown_fields_are_told_of_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    text = f"{HEAD}rules:\n- level: Metadata\n  level: None\n  verb: [get]\n"
    with caplog.at_level(logging.WARNING):
        found = policy_file.parse(text.encode())
    assert len(found.rules) == 1
    assert "audit policy contains errors" in caplog.text


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    with pytest.raises(PolicyError) as caught:
        policy_file.load(str(path))
    words = f'failed to read file path "{path}": open {path}: no such file or directory'
    assert str(caught.value) == f"loading audit policy file: {words}"
    path.write_text("rules: []")
    with pytest.raises(PolicyError, match=f": from file {path}$"):
        policy_file.load(str(path))
    path.write_text(f"{HEAD}rules: [{{level: Metadata}}]" + "#" * policy_file.FILE_BYTES_MAX)
    with pytest.raises(PolicyError, match="larger than"):
        policy_file.load(str(path))
    path.write_text(f"{HEAD}rules: [{{level: Metadata}}]")
    assert len(policy_file.load(str(path)).rules) == 1
