"""Command lines and configuration files: what they become, and what is said of bad ones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kapi import durations, features
from kapi.assembly.shown_options import flag_values
from kapi.credentials import certificates
from kapi.options import flags
from kapi.options.flags import PortRange
from kapi.options.parser import HelpWanted, UsageError, flag_name, parse, usage, without_effect
from kapi.options.table import CONTROLLERS, DEFAULTS, FLAGS, Options

ENV = {"HOME": "/home/me"}


def problem(*argv: str) -> str:
    with pytest.raises(UsageError) as raised:
        parse(argv, ENV)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_defaults() -> None:
    options = parse([], ENV)
    assert options.secure_port == 6443
    assert options.request_timeout == 60
    assert options.service_node_port_range == PortRange(30000, 32767)
    assert options.given == frozenset()


def test_resources_in_another_etcd() -> None:
    main = "--etcd-servers=http://a:1"
    one, two = "/events#http://b:2;http://c:3", "apps/*#http://d:4"
    options = parse([main, f"--etcd-servers-overrides={one},{two}"], ENV)
    assert options.etcd_servers_overrides == (one, two)
    assert problem(f"--etcd-servers-overrides={one}") == "--etcd-servers must be specified"
    assert problem(main, "--etcd-servers-overrides=/events/http://b:2") == (
        "--etcd-servers-overrides invalid, must be of format: group/resource#servers, where "
        "servers are URLs, semicolon separated"
    )


@pytest.mark.parametrize(
    ("env", "platform", "expected"),
    [
        ({"HOME": "/home/me"}, "linux", "/home/me/.local/share/kapi"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "linux", "/data/kapi"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "rel"}, "linux", "/home/me/.local/share/kapi"),
        ({"HOME": "/Users/me"}, "darwin", "/Users/me/Library/Application Support/kapi"),
    ],
)
def test_data_directory(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], platform: str, expected: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert parse([], env).data_dir == expected


@pytest.mark.parametrize(
    ("argv", "name", "want"),
    [
        (["--request-timeout=90s"], "request-timeout", "1m30s"),
        (["--request-timeout=1h"], "request-timeout", "1h0m0s"),
        (["--request-timeout=1.5ms"], "request-timeout", "1.5ms"),
        (["--authorization-mode=Node,RBAC"], "authorization-mode", "[Node,RBAC]"),
        (["--feature-gates=WatchList=true,AllAlpha=false"], "feature-gates",
         "AllAlpha=false,WatchList=true"),
        ([], "profiling", "true"),
        ([], "service-node-port-range", "30000-32767"),
    ],
)  # fmt: skip
def test_flags_are_told_as_pflag_prints_them(argv: list[str], name: str, want: str) -> None:
    assert flag_values(parse(argv, ENV))[name] == want


def test_syntax() -> None:
    argv = [
        "--secure-port", "1", "--secure-port=2", "-v=3", "--profiling=false", "--http2",
        "--allow-privileged", "--authorization-mode", "Node,RBAC",
        "--service-account-issuer=https://a,b", "--service-account-issuer", "c",
        "--runtime-config=api/all=true,apps/v1", "--runtime-config=apps/v1=false",
    ]  # fmt: skip
    options = parse(argv, ENV)
    assert options.secure_port == 2
    assert options.v == 3
    assert options.profiling is False
    assert options.http2 is options.allow_privileged is True
    assert options.authorization_mode == ("Node", "RBAC")
    assert options.service_account_issuer == ("https://a,b", "c")
    assert dict(options.runtime_config) == {"api/all": "true", "apps/v1": "false"}
    assert "profiling" in options.given


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["--secure_port=1"], "unknown flag: --secure_port"),
        (["--given=x"], "unknown flag: --given"),
        (["-x"], "unknown shorthand flag: -x"),
        (["serve"], "unexpected argument: serve"),
        (["--"], "unknown shorthand flag: --"),
        (["--secure-port"], "flag needs an argument: --secure-port"),
        (
            ["--secure-port=x"],
            'invalid argument "x" for "--secure-port" flag: strconv.ParseInt: parsing "x": invalid'
            " syntax",
        ),
        (["--secure-port=65536"], "must be between 0 and 65535"),
        (["--http2=maybe"], 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        (["--request-timeout=1"], 'time: missing unit in duration "1"'),
        (["--bind-address=here"], "failed to parse IP"),
        (["--service-cluster-ip-range=10.0.0.0/33"], "invalid CIDR address: 10.0.0.0/33"),
        (["--service-cluster-ip-range=10.0.0.0/24,10.1.0.0/24"], "of different IP families"),
        (["--service-node-port-range=5-1"], "not within 1-65535"),
        (["--service-node-port-range=x"], "unable to parse port range: x"),
        (["--feature-gates=Nope=true"], "unrecognized feature gate: Nope"),
        (["--feature-gates=SidecarContainer=true"], "unrecognized feature gate: SidecarContainer"),
        (["--feature-gates=WatchList=x"], "invalid value of WatchList=x"),
        (["--feature-gates=WatchList"], "malformed pair"),
        (["--feature-gates=ConsistentListFromCache=false"], "feature is locked to true"),
        (["--authorization-mode=Nope"], "must be of AlwaysAllow"),
        (["--authorization-mode=RBAC,RBAC"], "more than once"),
        (["--authorization-mode=Webhook"], "Webhook's authorization config file not passed"),
        (["--enable-admission-plugins=Nope"], 'enable-admission-plugins plugin "Nope" is unknown'),
        (["--disable-admission-plugins=x"], 'disable-admission-plugins plugin "x" is unknown'),
        (
            ["--enable-admission-plugins=Priority", "--disable-admission-plugins=Priority"],
            "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
        ),
        (
            ["--admission-control-config-file=/nope"],
            "--admission-control-config-file: /nope: no such file or directory",
        ),
        (["--tls-min-version=VersionTLS10"], "must be of VersionTLS12, VersionTLS13"),
        (["--tls-cipher-suites=NOPE"], "must be of TLS_"),
        (["--cors-allowed-origins=("], "invalid regular expression"),
        (["--client-ca-file=/nope"], "--client-ca-file: /nope: no such file or directory"),
        (["--token-auth-file=/"], "--token-auth-file: /: is a directory"),
        (["--config=/nope"], "--config /nope: no such file or directory"),
        (["--goaway-chance=0.5"], "must be between 0 and 0.02"),
    ],
)
def test_what_is_wrong_is_said(argv: list[str], words: str) -> None:
    assert words in problem(*argv)


def test_help_lists_every_flag() -> None:
    with pytest.raises(HelpWanted):
        parse(["--secure-port=1", "--help"], ENV)
    text = usage()
    assert all(f"  {flag_name(name)}" in text for name in FLAGS)


def test_every_field_is_a_flag_with_a_default_that_its_kind_can_show() -> None:
    fields = set(Options.__dataclass_fields__) - {"given"}
    assert set(FLAGS) == fields
    for name, flag in FLAGS.items():
        shown = flag.kind.show(DEFAULTS[name])
        if shown:
            parsed = flag.kind.parse(shown)
            assert flag.rule is None or flag.rule.holds(parsed), name
            assert parsed == DEFAULTS[name] or flag.kind.merge, name


# -- configuration file --------------------------------------------------------------------------


def test_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "secure-port: 7000\n"
        "request-timeout: 30s\n"
        "profiling: false\n"
        "authorization-mode: [Node, RBAC]\n"
        "feature-gates: {WatchList: false}\n"
        "api-audiences: a,b\n"
    )
    options = parse([f"--config={config}", "--secure-port=7001"], ENV)
    assert options.secure_port == 7001
    assert options.request_timeout == 30
    assert options.profiling is False
    assert options.authorization_mode == ("Node", "RBAC")
    assert options.gates["WatchList"] is False
    assert options.api_audiences == ("a", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not YAML"),
        ("- a", "must hold flag names and values"),
        ("nope: 1", "unknown flag: nope"),
        ("secure_port: 1", "unknown flag: secure_port"),
        ("config: x", "unknown flag: config"),
        ("secure-port: x", 'invalid argument "x" for "--secure-port" flag'),
    ],
)
def test_bad_configuration_files(tmp_path: Path, text: str, words: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert words in problem("--config", str(config))


def test_empty_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("")
    assert parse(["--config", str(config)], ENV).given == {"config"}


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    ca = certificates.make_ca("ca", time.time())
    for name in ("a", "b"):
        pair = certificates.make_serving(ca, ["localhost"], time.time())
        (directory / f"{name}.crt").write_bytes(pair.certificate)
        (directory / f"{name}.key").write_bytes(pair.key)
    (directory / "ca.crt").write_bytes(ca.certificate)
    (directory / "sa.key").write_bytes(certificates.make_token_key())
    public = certificates.public_key_of((directory / "sa.key").read_bytes())
    (directory / "sa.pub").write_bytes(public)
    (directory / "junk").write_text("junk")
    (directory / "tokens.csv").write_text('t,admin,admin,"system:masters"\n')
    return directory


def test_the_line_that_everybody_starts_a_server_with(pki: Path) -> None:
    argv = (
        f"--data-dir /d --secure-port 1 --bind-address 127.0.0.1 --tls-cert-file {pki}/a.crt"
        f" --tls-private-key-file {pki}/a.key --client-ca-file {pki}/ca.crt"
        f" --service-account-key-file {pki}/sa.pub"
        f" --service-account-signing-key-file {pki}/sa.key --service-account-issuer https://i"
        f" --token-auth-file {pki}/tokens.csv --authorization-mode Node,RBAC"
        f" --enable-bootstrap-token-auth --service-cluster-ip-range 10.0.0.0/24"
        f" --requestheader-client-ca-file {pki}/ca.crt --requestheader-allowed-names n"
        f" --requestheader-username-headers X-Remote-User"
        f" --requestheader-group-headers X-Remote-Group"
        f" --requestheader-extra-headers-prefix X-Remote-Extra-"
        f" --proxy-client-cert-file {pki}/b.crt --proxy-client-key-file {pki}/b.key"
        f" --enable-aggregator-routing=true --allow-privileged=true"
    )
    options = parse(argv.split(), ENV)
    assert options.enable_bootstrap_token_auth is True
    assert without_effect(options) == ["--allow-privileged"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--tls-cert-file {}/junk --tls-private-key-file {}/a.key", "holds no PEM certificate"),
        ("--tls-cert-file {}/a.crt --tls-private-key-file {}/junk", "--tls-private-key-file: "),
        ("--tls-cert-file {}/a.crt --tls-private-key-file {}/b.key", "key values mismatch"),
        ("--tls-cert-file {}/a.crt", "must be given together"),
        ("--service-account-signing-key-file {}/junk", "--service-account-signing-key-file: "),
        ("--service-account-key-file {}/junk", "--service-account-key-file: "),
        ("--service-account-key-file {}/sa.pub", "needs --service-account-signing-key-file"),
        ("--client-ca-file {}/junk", "holds no PEM certificate"),
        ("--audit-policy-file {}/nope", "no such file"),
    ],
)
def test_files_that_do_not_hold_what_they_should(pki: Path, argv: str, words: str) -> None:
    assert words in problem(*argv.replace("{}", str(pki)).split())


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1s", 1),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("500ms", 0.5),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("-1m", -60),
        ("+1m", 60),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("x", 'time: invalid duration "x"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("1", 'time: missing unit in duration "1"'),
        ("1s2", 'time: missing unit in duration "1s2"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1 s", 'time: unknown unit " s" in duration "1 s"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
    ],
)
def test_bad_durations(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="time: ") as raised:
        durations.parse(text)
    assert str(raised.value) == words


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "1m30s"), (0.25, "250ms")])
def test_spelled_durations(seconds: float, text: str) -> None:
    assert durations.spell(seconds) == text


@pytest.mark.parametrize(
    ("text", "first", "last"), [("1-5", 1, 5), ("30000+100", 30000, 30100), ("80", 80, 80)]
)
def test_port_ranges(text: str, first: int, last: int) -> None:
    assert flags.port_range(text) == PortRange(first, last)


def test_gates_by_stage() -> None:
    assert features.resolve({})["CBORServingAndStorage"] is False
    assert features.resolve({"AllAlpha": True})["CBORServingAndStorage"] is True
    every_beta = features.resolve({"AllBeta": False, "WatchList": True})
    assert every_beta["StorageVersionHash"] is False
    assert every_beta["WatchList"] is True
    assert every_beta["ConsistentListFromCache"] is True


EVERY = tuple(CONTROLLERS)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("", ()),
        ("*", EVERY),
        (
            "*,-resourcequota,-root-ca",
            tuple(c for c in EVERY if c not in ("resourcequota", "root-ca")),
        ),
        ("garbagecollector,namespace", ("namespace", "garbagecollector")),
        ("-namespace", ()),
        ("garbage-collector-controller,namespace-controller", ("namespace", "garbagecollector")),
        ("*,-root-ca-cert-publisher", tuple(c for c in EVERY if c != "root-ca")),
    ],
)
def test_controllers(given: str, chosen: tuple[str, ...]) -> None:
    assert parse([f"--controllers={given}"], {}).housekeeping == chosen


@pytest.mark.parametrize("name", ["deployment", "-deployment", "-*", "**"])
def test_unknown_controllers_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse([f"--controllers=namespace,{name}"], {})
    said = str(caught.value)
    assert said.startswith(f'--controllers: "{name}" is not in the list of known controllers: ')
    assert "\n" not in said


def test_gates_of_other_components_may_be_named() -> None:
    chosen = {"SidecarContainers": True, "KubeletTracing": False, "WatchList": True}
    assert features.resolve(chosen) == features.resolve({})
    assert features.without_effect({**chosen, "AllAlpha": False}) == [
        "KubeletTracing",
        "SidecarContainers",
        "WatchList",
    ]
    assert not features.others() & set(features.GATES)


def test_the_encryption_config_is_checked_at_once(tmp_path: Path) -> None:
    file = tmp_path / "enc.yaml"
    flag = f"--encryption-provider-config={file}"
    reload = "--encryption-provider-config-automatic-reload"
    assert problem(reload) == f"{reload} must be set with --encryption-provider-config"
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
    rule = "- resources: [secrets]\n  providers:\n  - "
    file.write_text(f"{head}resources:\n{rule}identity: {{}}\n")
    options = parse([flag, reload], ENV)
    assert options.encryption_provider_config_automatic_reload
    assert without_effect(options) == []
    key = "aesgcm: {keys: [{name: a, secret: c2VjcmV0}]}"
    file.write_text(f"{head}resources:\n{rule}{key}\n")
    said = problem(flag)
    assert said.startswith("--encryption-provider-config: error while parsing file: resources[0]")
    assert "c2VjcmV0" not in said
    kms = "kms: {name: a, endpoint: 'unix:///a'}"
    file.write_text(f"{head}resources:\n{rule}{kms}\n  - {kms}\n")
    assert parse([flag], ENV).encryption_provider_config == str(file)
    assert "duplicate KMS provider name a" in problem(flag, reload)
