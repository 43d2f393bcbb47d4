"""Flags about who may come and what they may do: what goes together, and the files behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kapi.options.issuers import configured
from kapi.options.parser import UsageError, parse

KUBECONFIG = "clusters: [{name: c, cluster: {server: 'https://hook'}}]"
HOOK = """\
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: w
  webhook:
    timeout: 1s
    subjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: FILE}
"""


def problem(*argv: str) -> str:
    with pytest.raises(UsageError) as raised:
        parse(argv, {"HOME": "/home/x"})
    return str(raised.value)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    (tmp_path / "k").write_text(KUBECONFIG)
    return str(tmp_path / "k")


def test_the_mode_and_its_file(kubeconfig: str) -> None:
    flag = f"--authorization-webhook-config-file={kubeconfig}"
    options = parse(["--authorization-mode=Webhook,RBAC", flag], {"HOME": "/"})
    assert options.authorization_webhook_version == "v1beta1"
    assert problem(flag) == (
        "cannot specify --authorization-webhook-config-file without mode Webhook"
    )
    assert problem("--authorization-mode=RBAC,RBAC") == (
        'authorization-mode ["RBAC" "RBAC"] has mode specified more than once'
    )
    assert problem("--authorization-mode=") == "at least one authorization-mode must be passed"


def test_a_kubeconfig_without_a_server(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("{}")
    flag = f"--authorization-webhook-config-file={tmp_path / 'k'}"
    assert problem("--authorization-mode=Webhook", flag).endswith("server: must be a URL")


def test_a_configuration_file(tmp_path: Path, kubeconfig: str) -> None:
    file = tmp_path / "c"
    flag = f"--authorization-config={file}"
    file.write_text(HOOK.replace("FILE", kubeconfig))
    parse([flag], {"HOME": "/"})
    for other in ("--authorization-mode=RBAC", "--authorization-webhook-version=v1"):
        assert problem(flag, other).startswith(
            "--authorization-config can not be specified when --authorization-mode or "
        )
    file.write_text(HOOK.replace("1s", "1m"))
    assert problem(flag).startswith("--authorization-config: [authorizers[0].timeout: Invalid")
    (tmp_path / "k").write_text("{}")
    file.write_text(HOOK.replace("FILE", kubeconfig))
    assert problem(flag).startswith(f"--authorization-config: w: {kubeconfig}: clusters: server")


ISSUER = "--oidc-issuer-url=https://issuer.example"
CLIENT = "--oidc-client-id=me"


def test_flags_of_an_issuer() -> None:
    pairs = ["--oidc-required-claim=a=b,c=d", "--oidc-required-claim=hd=x"]
    options = parse([ISSUER, CLIENT, *pairs], {"HOME": "/"})
    assert dict(options.oidc_required_claim) == {"a": "b,c=d", "hd": "x"}
    (settings,) = configured(options).jwt
    assert settings.algorithms == ("RS256",)
    assert settings.required == (("a", "b,c=d"), ("hd", "x"))
    together = "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* "
    assert problem(ISSUER).startswith(together)
    assert problem("--oidc-groups-claim=g").startswith(together)
    assert problem("--oidc-issuer-url=http://x", CLIENT) == (
        'invalid authentication configuration: jwt[0].issuer.url: Invalid value: "http://x": URL '
        "scheme must be https"
    )
    assert "must be of ES256" in problem(ISSUER, CLIENT, "--oidc-signing-algs=HS256")


def test_nobody_else_has_the_name_of_our_own_tokens() -> None:
    ours = "https://kubernetes.default.svc.cluster.local"
    assert "URL must not overlap with disallowed issuers" in problem(
        f"--oidc-issuer-url={ours}", CLIENT
    )


def test_a_file_of_issuers(tmp_path: Path) -> None:
    file = tmp_path / "c"
    flag = f"--authentication-config={file}"
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
    file.write_text(head)
    parse([flag, "--anonymous-auth=false"], {"HOME": "/"})
    assert problem(flag, ISSUER, CLIENT) == (
        "authentication-config file and oidc-* flags are mutually exclusive"
    )
    file.write_text(f"{head}anonymous: {{enabled: true}}\n")
    parse([flag], {"HOME": "/"})
    assert problem(flag, "--anonymous-auth=false").startswith("anonymous: Forbidden: ")
    file.write_text(f"{head}jwt: [{{}}]\n")
    text = problem(flag)
    assert text.startswith("--authentication-config: invalid authentication configuration: [jwt[0]")


def test_a_token_webhook(tmp_path: Path, kubeconfig: str) -> None:
    flag = "--authentication-token-webhook-config-file"
    options = parse([f"{flag}={kubeconfig}"], {"HOME": "/"})
    assert options.authentication_token_webhook_cache_ttl == 120
    (tmp_path / "k").write_text("{}")
    assert problem(f"{flag}={kubeconfig}").startswith(f"{flag}: {kubeconfig}: clusters: server")


def test_policies(tmp_path: Path) -> None:
    file = tmp_path / "p"
    file.write_text('{"user": "ada"}\n')
    flag = f"--authorization-policy-file={file}"
    parse(["--authorization-mode=ABAC", flag], {"HOME": "/"})
    assert problem("--authorization-mode=ABAC") == (
        "authorization-mode ABAC's authorization policy file not passed"
    )
    assert problem(flag) == "cannot specify --authorization-policy-file without mode ABAC"
    file.write_text("x")
    text = problem("--authorization-mode=ABAC", flag)
    assert text.startswith("--authorization-policy-file: error reading policy file ")


def test_the_examples_of_the_document(tmp_path: Path, kubeconfig: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "access.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        kind = "authorization" if "AuthorizationConfiguration" in block else "authentication"
        (tmp_path / kind).write_text(block.replace("/etc/kapi/secrets.kubeconfig", kubeconfig))
        parse([f"--{kind}-config={tmp_path / kind}"], {"HOME": "/"})
