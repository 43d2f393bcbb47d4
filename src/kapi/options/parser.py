"""A command line, and perhaps a configuration file, become `Options`.

Syntax as pflag's: `--flag=value`, `--flag value`, `--bool`, `--bool=false`, `-v=4`; lists by
comma or by repetition. What is wrong is one `UsageError` with one line of text, in pflag's words
where it has some."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kapi import features
from kapi.admission import order
from kapi.options import access
from kapi.options import files as flag_files
from kapi.options.table import CONTROLLERS, DEFAULTS, FLAGS, Flag, Options
from kapi.storage import overrides

_SHORT = {"-v": "v"}
_PAIRS = (
    ("tls_cert_file", "tls_private_key_file"),
    ("proxy_client_cert_file", "proxy_client_key_file"),
    ("kubelet_client_certificate", "kubelet_client_key"),
    ("etcd_certfile", "etcd_keyfile"),
)


class UsageError(ValueError):
    """The command line or the configuration file is wrong; the text is one line."""


class HelpWanted(Exception):
    """`--help` was given."""


def parse(argv: Sequence[str], env: Mapping[str, str]) -> Options:
    """Options of `kapi serve`. Raises UsageError or HelpWanted."""
    given = _command_line(argv)
    config = given.get("config")
    if config:
        given = {**_config_file(config), **given}
    options = replace(Options(), **given, given=frozenset(given))
    if not options.data_dir:
        path = flag_files.default_data_dir(dict(env), sys.platform)
        options = replace(options, data_dir=str(path))
    _check(options)
    return options


def _command_line(argv: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, flag, text in _pairs(argv):
        _add(values, name, flag, text)
    return values


def _pairs(argv: Sequence[str]) -> Iterator[tuple[str, Flag, str]]:
    words = iter(argv)
    for word in words:
        if word in ("--help", "-h"):
            raise HelpWanted
        text, equals, value = word.partition("=")
        if text in _SHORT:
            name = _SHORT[text]
        elif text.startswith("--") and len(text) > 2:
            name = text[2:].replace("-", "_")
        else:
            kind = "unknown shorthand flag" if word.startswith("-") else "unexpected argument"
            raise UsageError(f"{kind}: {word}")
        flag = FLAGS.get(name)
        if flag is None or "_" in text:
            raise UsageError(f"unknown flag: {text}")
        if not equals:
            if flag.kind.is_bool:
                value = "true"
            else:
                following = next(words, None)
                if following is None:
                    raise UsageError(f"flag needs an argument: {text}")
                value = following
        yield name, flag, value


def _add(values: dict[str, Any], name: str, flag: Flag, text: str) -> None:
    shown = flag_name(name)
    try:
        value = flag.kind.parse(text)
    except ValueError as error:
        raise UsageError(f'invalid argument "{text}" for "{shown}" flag: {error}') from error
    if flag.rule is not None and not flag.rule.holds(value):
        raise UsageError(f'invalid argument "{text}" for "{shown}" flag: {flag.rule.words}')
    if flag.kind.merge is not None and name in values:
        value = flag.kind.merge(values[name], value)
    values[name] = value


def flag_name(name: str) -> str:
    """A field's name on the command line."""
    return "--" + name.replace("_", "-")


def _config_file(path: str) -> dict[str, Any]:
    import yaml

    data = _read(path)
    try:
        document = yaml.load(data, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"--config {path}: not YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError(f"--config {path}: must hold flag names and values")
    values: dict[str, Any] = {}
    for key, value in document.items():
        name = str(key).replace("-", "_")
        flag = FLAGS.get(name)
        if flag is None or name == "config" or "_" in str(key):
            raise UsageError(f"--config {path}: unknown flag: {key}")
        for text in _texts(value):
            try:
                _add(values, name, flag, text)
            except UsageError as error:
                raise UsageError(f"--config {path}: {error}") from error
    return values


def _texts(value: Any) -> list[str]:
    """The occurrences that a YAML value stands for."""
    if isinstance(value, dict):
        return [f"{k}={_scalar(v)}" for k, v in value.items()]
    if isinstance(value, list):
        return [_scalar(v) for v in value]
    return [_scalar(value)]


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _read(path: str) -> bytes:
    try:
        return flag_files.read(path)
    except flag_files.FileProblem as error:
        raise UsageError(f"--config {error}") from error


def _check(options: Options) -> None:
    """What one flag alone does not show, and the files. Raises UsageError."""
    _check_files(options)
    try:
        features.resolve(options.feature_gates)
    except features.GateError as error:
        raise UsageError(
            f'invalid argument "{_spelled(options, "feature_gates")}" for "--feature-gates" flag:'
            f" {error}"
        ) from error
    problem = order.check(options.enable_admission_plugins, options.disable_admission_plugins)
    if problem:
        raise UsageError(problem)
    try:
        access.check(options)
    except access.AccessProblem as error:
        raise UsageError(str(error)) from error
    _check_overrides(options)
    _check_fairness(options)
    if options.egress_selector_config_file:
        raise UsageError("--egress-selector-config-file: calls cannot be sent through a proxy")
    if options.service_account_issuer and "" in options.service_account_issuer:
        raise UsageError("--service-account-issuer: must not be empty")
    if options.service_account_key_file and not options.service_account_signing_key_file:
        raise UsageError("--service-account-key-file needs --service-account-signing-key-file, too")
    if options.admission_control_config_file or options.enable_admission_plugins:
        _check_admission(options)
    _check_controllers(options.controllers)
    if options.audited:
        _check_audit(options)
    _check_encryption(options)
    if options.http2:
        _check_http2()
    _check_origins(options.cors_allowed_origins)


def _check_overrides(options: Options) -> None:
    if not options.etcd_servers_overrides:
        return
    if not options.etcd_servers:
        raise UsageError("--etcd-servers must be specified")
    try:
        overrides.parse(options.etcd_servers_overrides)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _check_fairness(options: Options) -> None:
    if not options.enable_priority_and_fairness:
        return
    for served in ("flowcontrol.apiserver.k8s.io/v1", "api/ga", "api/all"):
        if options.runtime_config.get(served) in ("false", "0"):
            raise UsageError(
                f"--runtime-config={served}=false conflicts with --enable-priority-and-fairness="
                "true"
            )
    reading, writing = options.max_requests_inflight, options.max_mutating_requests_inflight
    if reading + writing <= 0:
        raise UsageError(
            f"invalid configuration: MaxRequestsInFlight={reading} and "
            f"MaxMutatingRequestsInFlight={writing}; they must add up to something positive"
        )


def _spelled(options: Options, name: str) -> str:
    return FLAGS[name].kind.show(getattr(options, name))


def _check_files(options: Options) -> None:
    for name in sorted(options.given):
        reads = FLAGS[name].kind.reads
        value = getattr(options, name)
        if not reads or value == DEFAULTS[name]:
            continue
        for path in value if isinstance(value, tuple) else (value,):
            try:
                flag_files.check(reads, path)
            except flag_files.FileProblem as error:
                raise UsageError(f"{flag_name(name)}: {error}") from error
    for certificate, key in _PAIRS:
        have = [bool(getattr(options, name)) for name in (certificate, key)]
        if all(have):
            try:
                flag_files.check_pair(getattr(options, certificate), getattr(options, key))
            except flag_files.FileProblem as error:
                raise UsageError(f"{flag_name(certificate)}: {error}") from error
        elif any(have):
            names = f"{flag_name(certificate)} and {flag_name(key)}"
            raise UsageError(f"{names} must be given together")


def _check_admission(options: Options) -> None:
    from kapi.admission import chain, configuration

    try:
        chain.check_configuration(options)
    except configuration.ConfigurationError as error:
        raise UsageError(f"--admission-control-config-file: {error}") from error


def _check_audit(options: Options) -> None:
    from kapi.audit import settings

    found = settings.problems(options)
    if found:
        raise UsageError(found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _check_encryption(options: Options) -> None:
    reload = options.encryption_provider_config_automatic_reload
    path = options.encryption_provider_config
    if not path:
        if reload:
            raise UsageError(
                "--encryption-provider-config-automatic-reload must be set with "
                "--encryption-provider-config"
            )
        return
    from kapi.encryption import configuration, validation

    try:
        validation.check(configuration.decode(path, *configuration.read(path)), reload=reload)
    except configuration.ConfigurationError as error:
        raise UsageError(
            f"--encryption-provider-config: error while parsing file: {error}"
        ) from error


def _check_controllers(names: Sequence[str]) -> None:
    known = {"*", *CONTROLLERS, *(alias for more in CONTROLLERS.values() for alias in more)}
    for name in names:
        if name.removeprefix("-") not in known or name == "-*":
            listed = ", ".join(CONTROLLERS)
            raise UsageError(
                f'--controllers: "{name}" is not in the list of known controllers: *, {listed}'
            )


def _check_http2() -> None:
    from importlib.util import find_spec

    if find_spec("zttp") is None:
        raise UsageError("--http2 needs the package zttp: pip install 'kapi[http2]'")


def _check_origins(patterns: Sequence[str]) -> None:
    import re

    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f'--cors-allowed-origins: invalid regular expression "{pattern}": {error}'
            ) from error


def without_effect(options: Options) -> list[str]:
    """The flags that were given and do nothing yet, for the start-up warning."""
    return [
        flag_name(name)
        for name in sorted(options.given)
        if not FLAGS[name].effective and getattr(options, name) != DEFAULTS[name]
    ]


def usage() -> str:
    """Every flag with its sort, default and help."""
    lines = ["Usage: kapi serve [flags]", "", "Flags:"]
    for name, flag in FLAGS.items():
        shown = flag.kind.show(DEFAULTS[name])
        default = f" (default {shown})" if shown not in ("", "false", "0", "0s") else ""
        later = "" if flag.effective else " Has no effect yet."
        lines.append(f"  {flag_name(name)} {flag.kind.word}".rstrip())
        lines.append(f"        {flag.help}{later}{default}")
    return "\n".join(lines)
