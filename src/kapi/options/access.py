"""Checks of the flags about who may come and what they may do, and of the files behind them.

Called by `parser.py`. The files are read again by `assembly/`; here what is wrong costs one line at
the start.
"""

from __future__ import annotations

from pathlib import Path

from kapi.options.table import DEFAULTS, Options

_CONFIG = "--authorization-config"
_WEBHOOK = "Webhook"


class AccessProblem(ValueError):
    """The flags do not fit together, or a file of theirs cannot be used; the text is one line."""


def check(options: Options) -> None:
    """Raises AccessProblem."""
    _check_authentication(options)
    if options.authorization_config:
        _check_authorization_file(options)
        return
    modes = options.authorization_mode
    if not modes:
        raise AccessProblem("at least one authorization-mode must be passed")
    if len(set(modes)) < len(modes):
        listed = " ".join(f'"{m}"' for m in modes)
        raise AccessProblem(f"authorization-mode [{listed}] has mode specified more than once")
    policies = options.authorization_policy_file
    if "ABAC" in modes and not policies:
        raise AccessProblem("authorization-mode ABAC's authorization policy file not passed")
    if policies and "ABAC" not in modes:
        raise AccessProblem("cannot specify --authorization-policy-file without mode ABAC")
    if policies:
        _check_policies(policies)
    file = options.authorization_webhook_config_file
    if _WEBHOOK in modes and not file:
        raise AccessProblem("authorization-mode Webhook's authorization config file not passed")
    if file and _WEBHOOK not in modes:
        words = "cannot specify --authorization-webhook-config-file without mode Webhook"
        raise AccessProblem(words)
    if file:
        _check_kubeconfig("--authorization-webhook-config-file", file)


def _check_authorization_file(options: Options) -> None:
    from kapi.authorization import configuration

    other = [
        name
        for name in DEFAULTS
        if name == "authorization_mode" or name.startswith("authorization_webhook_")
    ]
    if not options.given.isdisjoint(other):
        raise AccessProblem(
            f"{_CONFIG} can not be specified when --authorization-mode or "
            "--authorization-webhook-* flags are defined"
        )
    try:
        entries = configuration.parse(Path(options.authorization_config).read_bytes())
    except (configuration.ConfigurationError, OSError) as error:
        raise AccessProblem(f"{_CONFIG}: {error}") from error
    if any(entry.type == "ABAC" for entry in entries):
        if not options.authorization_policy_file:
            raise AccessProblem(f"{_CONFIG}: ABAC needs --authorization-policy-file, too")
        _check_policies(options.authorization_policy_file)
    for entry in entries:
        if entry.webhook is not None:
            _check_kubeconfig(f"{_CONFIG}: {entry.name}", entry.webhook.kubeconfig)


def _check_authentication(options: Options) -> None:
    oidc = {name for name in DEFAULTS if name.startswith("oidc_")}
    from_flags = not options.given.isdisjoint(oidc)
    if options.authentication_config and from_flags:
        raise AccessProblem("authentication-config file and oidc-* flags are mutually exclusive")
    if from_flags and not (options.oidc_issuer_url and options.oidc_client_id):
        raise AccessProblem(
            "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags "
            "are set"
        )
    if options.authentication_config or from_flags:
        _check_issuers(options)
    if file := options.authentication_token_webhook_config_file:
        _check_kubeconfig("--authentication-token-webhook-config-file", file)


def _check_issuers(options: Options) -> None:
    from kapi.authentication.jwt_configuration import ConfigurationError
    from kapi.options.issuers import configured

    flag = "--authentication-config: " if options.authentication_config else ""
    try:
        found = configured(options)
    except (ConfigurationError, OSError) as error:
        raise AccessProblem(f"{flag}{error}") from error
    if found.anonymous is not None and "anonymous_auth" in options.given:
        raise AccessProblem(
            "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is "
            "configured in authentication configuration file"
        )


def _check_policies(path: str) -> None:
    from kapi.authorization import abac

    try:
        abac.parse(Path(path).read_bytes(), path)
    except (abac.PolicyFileError, OSError) as error:
        raise AccessProblem(f"--authorization-policy-file: {error}") from error


def _check_kubeconfig(flag: str, path: str) -> None:
    from kapi.admission import kubeconfig

    try:
        kubeconfig.load(path)
    except kubeconfig.KubeconfigError as error:
        raise AccessProblem(f"{flag}: {error}") from error
