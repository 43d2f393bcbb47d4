"""Every flag in one table: the fields of `Options`, with default, sort of value, bound and help.

Names and meanings are kube-apiserver's
(https://kubernetes.io/docs/reference/command-line-tools-reference/ kube-apiserver/); those of
kapi alone say so. `parser.py` makes an `Options` of a command line, the docs are made of
this table. A flag marked `later` is parsed and checked, and has no effect yet: a start-up warning
names those that were given. Durations are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from kapi import features
from kapi.edge.tls import CIPHERS, CIPHERS_13, VERSIONS
from kapi.options import flags
from kapi.options.flags import Kind, PortRange, Rule, at_least, between, one_of

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"  # of service-account tokens
MEMORY = ":memory:"  # as --data-dir: keep nothing
JWT_ALGORITHMS = (
    "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
)  # fmt: skip
AUTHORIZATION_MODES = ("AlwaysAllow", "AlwaysDeny", "RBAC", "Node", "ABAC", "Webhook")

# Those of --controllers, in the order they are started, with the names that
# kube-controller-manager has for them.
CONTROLLERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "namespace": ("namespace-controller",),
        "garbagecollector": ("garbage-collector-controller",),
        "serviceaccount": ("serviceaccount-controller",),
        "root-ca": ("root-ca-cert-publisher", "root-ca-certificate-publisher-controller"),
        "resourcequota": ("resourcequota-controller",),
        "clusterrole-aggregation": ("clusterrole-aggregation-controller",),
        "validatingadmissionpolicy-status": ("validatingadmissionpolicy-status-controller",),
    }
)


@dataclass(frozen=True, slots=True)
class Flag:
    """What a field of `Options` is on the command line."""

    kind: Kind
    help: str
    rule: Rule | None = None
    effective: bool = True


def _flag(
    default: Any, kind: Kind, text: str, rule: Rule | None = None, *, later: bool = False
) -> Any:
    metadata = {"flag": Flag(kind, text, rule, not later)}
    if isinstance(default, Mapping):  # unhashable, though it cannot change
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _string(default: str, text: str, rule: Rule | None = None, *, later: bool = False) -> Any:
    return _flag(default, flags.STRING, text, rule, later=later)


def _bool(default: bool, text: str, *, later: bool = False) -> Any:
    return _flag(default, flags.BOOL, text, later=later)


def _int(default: int, text: str, rule: Rule | None = None, *, later: bool = False) -> Any:
    return _flag(default, flags.INT, text, rule, later=later)


def _duration(default: float, text: str, rule: Rule | None = None, *, later: bool = False) -> Any:
    return _flag(default, flags.DURATION, text, rule or at_least(0), later=later)


def _list(
    default: tuple[str, ...], text: str, rule: Rule | None = None, *, later: bool = False
) -> Any:
    return _flag(default, flags.LIST, text, rule, later=later)


def _file(kind: Kind, text: str, *, later: bool = False) -> Any:
    return _flag(() if kind.merge else "", kind, text, later=later)


_NONE: Mapping[str, Any] = MappingProxyType({})
_NODE_PORTS = PortRange(30000, 32767)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a server runs with. `given` names the flags that were set, not defaulted."""

    # fmt: off
    # -- kapi's own --
    data_dir: str = _flag("", flags.DIRECTORY,
        "Where kapi keeps its store, keys and kubeconfig. Default: kapi's folder among the "
        "user's data. `:memory:` keeps nothing. (kapi only)")
    config: str = _flag("", flags.YAML,
        "YAML file with flags' names and values; the command line wins. (kapi only)")
    kubeconfig: str = _string("",
        "Where the admin's kubeconfig is written. Default: in the data directory. (kapi only)")
    http2: bool = _bool(False, "Serve HTTP/2, too; needs the package zttp. (kapi only)")

    # -- serving --
    bind_address: str = _flag("", flags.IP,
        "Address to listen on. Default: 127.0.0.1 with a self-made certificate, else 0.0.0.0.")
    secure_port: int = _int(6443, "Port to listen on; 0 takes a free one.", between(0, 65535))
    advertise_address: str = _flag("", flags.IP,
        "Address that the `kubernetes` service points to. Default: the bind address, or the host's"
        " own if that is loopback or every address.")
    external_hostname: str = _string("",
        "Host name in URLs that lead here, such as OpenID discovery.")
    tls_cert_file: str = _file(flags.CERTIFICATE,
        "Serving certificate, chain included. Default: self-made, in the data directory.")
    tls_private_key_file: str = _file(flags.PRIVATE_KEY, "Private key of --tls-cert-file.")
    tls_min_version: str = _string("VersionTLS12", "Lowest TLS version.", one_of(*VERSIONS))
    tls_cipher_suites: tuple[str, ...] = _list((),
        "Cipher suites of TLS 1.2, by Go's names.", one_of(*CIPHERS, *CIPHERS_13))
    tls_sni_cert_key: tuple[str, ...] = _flag((), flags.REPEATED,
        "Further certificate and key, and the names they are for.", later=True)
    http2_max_streams_per_connection: int = _int(0,
        "Streams of an HTTP/2 connection; 0: the library's default.", at_least(0), later=True)
    strict_transport_security_directives: tuple[str, ...] = _list((),
        "Directives of the Strict-Transport-Security header; none: no header.")
    cors_allowed_origins: tuple[str, ...] = _list((),
        "Regular expressions of origins that browsers may call from.")
    goaway_chance: float = _flag(0.0, flags.FLOAT,
        "Share of HTTP/2 requests after which to close.", between(0, 0.02), later=True)
    shutdown_delay_duration: float = _duration(0,
        "How long to serve on after a stop signal, with /readyz failing.")
    shutdown_send_retry_after: bool = _bool(False,
        "While draining, refuse new requests with 429 and Retry-After.")

    # -- requests --
    request_timeout: float = _duration(60,
        "How long a request may take, unless it is long-running.", at_least(0.001))
    min_request_timeout: int = _int(1800,
        "Seconds that a watch lasts at least, without a timeout of its own.", at_least(0))
    max_requests_inflight: int = _int(400, "Reading requests at a time; 0: no bound.", at_least(0))
    max_mutating_requests_inflight: int = _int(200,
        "Writing requests at a time; 0: no bound.", at_least(0))
    enable_priority_and_fairness: bool = _bool(True,
        "Queue requests by flow schema and priority level; the seats are the sum of both above.")

    # -- storage --
    etcd_servers: tuple[str, ...] = _list((),
        "Keep objects in this etcd (scheme://host:port, several with commas; unix:///path for a "
        "socket) instead of SQLite. "
        "Other servers may share it.")
    etcd_servers_overrides: tuple[str, ...] = _list((),
        "Keep these resources in another etcd: group/resource#servers, the servers with "
        "semicolons, as /events#http://10.0.0.9:2379. Several with commas; built-in kinds only.")
    etcd_cafile: str = _file(flags.CA_BUNDLE, "CA of etcd.")
    etcd_certfile: str = _file(flags.CERTIFICATE, "Client certificate for etcd.")
    etcd_keyfile: str = _file(flags.PRIVATE_KEY, "Key of --etcd-certfile.")
    etcd_prefix: str = _string("/registry", "Root of the keys in etcd.")
    etcd_compaction_interval: float = _duration(300,
        "How much history the store keeps; 0: all of it.")
    etcd_count_metric_poll_period: float = _duration(60,
        "0: apiserver_resource_objects is not shown. Objects are counted in the cache at any time.")
    etcd_healthcheck_timeout: float = _duration(2,
        "How long etcd may take to answer before /livez and /healthz fail.", at_least(0.001))
    etcd_readycheck_timeout: float = _duration(2,
        "How long etcd may take to answer before /readyz fails.", at_least(0.001))
    storage_media_type: str = _string("application/vnd.kubernetes.protobuf",
        "Form of built-in objects in etcd; both are read. SQLite keeps JSON.",
        one_of("application/json", "application/vnd.kubernetes.protobuf"))
    encryption_provider_config: str = _file(flags.YAML,
        "EncryptionConfiguration: how stored objects are encrypted.")
    encryption_provider_config_automatic_reload: bool = _bool(False,
        "Take over changes of --encryption-provider-config without a restart.")
    watch_cache: bool = _bool(True, "Serve lists and watches from memory.", later=True)
    default_watch_cache_size: int = _int(100,
        "Kept for command lines: the cache sizes itself.", at_least(0), later=True)
    delete_collection_workers: int = _int(1,
        "Kept for command lines: collections are deleted in one go.", at_least(1), later=True)
    enable_garbage_collector: bool = _bool(True,
        "Answer deletions as a cluster with a garbage collector does.")
    event_ttl: float = _duration(3600, "How long events are kept.", at_least(1))

    # -- authentication --
    anonymous_auth: bool = _bool(True, "Let requests without credentials in as system:anonymous.")
    client_ca_file: str = _file(flags.CA_BUNDLE,
        "CA of client certificates. Default: self-made, if the serving certificate is.")
    token_auth_file: str = _file(flags.CSV, "Static bearer tokens: token,user,uid,\"groups\".")
    enable_bootstrap_token_auth: bool = _bool(False,
        "Accept bootstrap tokens kept as secrets in kube-system.")
    service_account_issuer: tuple[str, ...] = _flag((), flags.REPEATED,
        "Issuer of service-account tokens; the first issues, all are accepted.")
    service_account_key_file: tuple[str, ...] = _file(flags.PUBLIC_KEYS,
        "Keys that service-account tokens may be signed with.")
    service_account_signing_key_file: str = _file(flags.PRIVATE_KEY,
        "Key that signs service-account tokens. Default: self-made.")
    service_account_max_token_expiration: float = _duration(0,
        "Longest life of a service-account token; 0: no bound.")
    service_account_extend_token_expiration: bool = _bool(True,
        "Let injected tokens live a year for clients that do not reload them.")
    service_account_lookup: bool = _bool(True,
        "Check that the service account of a token still exists.", later=True)
    service_account_jwks_uri: str = _string("", "URI of the keys in the OpenID discovery document.")
    api_audiences: tuple[str, ...] = _list((),
        "Audiences that a token must be for one of. Default: the issuer.")
    requestheader_client_ca_file: str = _file(flags.CA_BUNDLE, "CA of front proxies.")
    requestheader_allowed_names: tuple[str, ...] = _list((),
        "Common names of front proxies; none: any.")
    requestheader_username_headers: tuple[str, ...] = _list((), "Headers with the user name.")
    requestheader_uid_headers: tuple[str, ...] = _list((), "Headers with the user's uid.")
    requestheader_group_headers: tuple[str, ...] = _list((), "Headers with groups.")
    requestheader_extra_headers_prefix: tuple[str, ...] = _list((),
        "Prefixes of headers with further attributes.")
    authentication_config: str = _file(flags.YAML,
        "AuthenticationConfiguration: issuers of JSON Web Tokens, and who comes without "
        "credentials; read again when it changes. Instead of --oidc-*.")
    authentication_token_webhook_config_file: str = _file(flags.YAML,
        "kubeconfig of the server that is asked whose bearer token it is.")
    authentication_token_webhook_version: str = _string("v1beta1",
        "Version of TokenReview that the token webhook is sent.", one_of("v1", "v1beta1"))
    authentication_token_webhook_cache_ttl: float = _duration(120,
        "How long the token webhook's answers are remembered.")
    oidc_issuer_url: str = _string("", "Issuer of OpenID tokens, https only.")
    oidc_client_id: str = _string("", "Client that OpenID tokens are for.")
    oidc_ca_file: str = _file(flags.CA_BUNDLE, "CA of the issuer. Default: those of the system.")
    oidc_username_claim: str = _string("sub", "Claim with the user name.")
    oidc_username_prefix: str = _string("",
        "Before all user names; -: nothing. Default: the issuer, unless the claim is email.")
    oidc_groups_claim: str = _string("", "Claim with groups: a text, or a list of texts.")
    oidc_groups_prefix: str = _string("", "Before all groups of OpenID tokens.")
    oidc_signing_algs: tuple[str, ...] = _list(("RS256",),
        "Algorithms that OpenID tokens may be signed with.", one_of(*JWT_ALGORITHMS))
    oidc_required_claim: Mapping[str, str] = _flag(_NONE, flags.PAIR,
        "A claim that OpenID tokens must have, and its value.")

    # -- authorization and admission --
    authorization_mode: tuple[str, ...] = _list(("RBAC",),
        "Who is asked whether a request may be, in order. The real server's default is "
        "AlwaysAllow.", one_of(*AUTHORIZATION_MODES))
    authorization_config: str = _file(flags.YAML,
        "AuthorizationConfiguration: who is asked, in order; read again when it changes. Instead "
        "of --authorization-mode and --authorization-webhook-*.")
    authorization_policy_file: str = _file(flags.FILE,
        "Policies of the mode ABAC, a JSON object in each line.")
    authorization_webhook_config_file: str = _file(flags.YAML,
        "kubeconfig of the server that the mode Webhook asks.")
    authorization_webhook_version: str = _string("v1beta1",
        "Version of SubjectAccessReview that the webhook is sent.", one_of("v1", "v1beta1"))
    authorization_webhook_cache_authorized_ttl: float = _duration(300,
        "How long the webhook's permissions are remembered.")
    authorization_webhook_cache_unauthorized_ttl: float = _duration(30,
        "How long the webhook's other answers are remembered.")
    enable_admission_plugins: tuple[str, ...] = _list((),
        "Admission plugins beside those that are on by default.")
    disable_admission_plugins: tuple[str, ...] = _list((),
        "Admission plugins to leave out of those that are on by default.")
    admission_control_config_file: str = _file(flags.YAML,
        "Configuration of admission plugins.")
    default_not_ready_toleration_seconds: int = _int(300,
        "Added to pods without such a toleration.")
    default_unreachable_toleration_seconds: int = _int(300,
        "Added to pods without such a toleration.")
    allow_privileged: bool = _bool(False, "Let pods run privileged containers.", later=True)

    # -- the API --
    runtime_config: Mapping[str, str] = _flag(_NONE, flags.SWITCHES,
        "What is served: api/all, api/ga, api/beta, api/alpha, group/version, "
        "group/version/resource.")
    feature_gates: Mapping[str, bool] = _flag(_NONE, flags.BOOL_MAP, "Feature gates.")
    service_cluster_ip_range: tuple[str, ...] = _flag(("10.0.0.0/24",), flags.CIDRS,
        "Where service addresses are taken from; two for dual stack.")
    service_node_port_range: PortRange = _flag(_NODE_PORTS, flags.PORTS,  # noqa: RUF009
        "Where node ports are taken from.")
    kubernetes_service_node_port: int = _int(0,
        "Node port of the `kubernetes` service; 0: none.", between(0, 65535), later=True)
    endpoint_reconciler_type: str = _string("lease",
        "Who keeps the endpoints of the `kubernetes` service: servers by leases, or nobody.",
        one_of("lease", "none"))

    # -- controllers --
    controllers: tuple[str, ...] = _list((),
        "Housekeeping controllers to run in this process: namespace, garbagecollector, "
        "serviceaccount, root-ca, resourcequota, clusterrole-aggregation, "
        "validatingadmissionpolicy-status; `*` for all, `-name` for "
        "all but one. Default: none. (A flag of kube-controller-manager)")
    root_ca_file: str = _file(flags.CA_BUNDLE,
        "CA that the controller root-ca publishes. Default: the self-made one, or the serving "
        "certificate's file. (A flag of kube-controller-manager)")

    # -- other servers --
    enable_aggregator_routing: bool = _bool(False,
        "Call aggregated servers and webhooks by endpoint, not by service address.")
    aggregator_reject_forwarding_redirect: bool = _bool(True,
        "Answer 502 where an aggregated server redirects.")
    proxy_client_cert_file: str = _file(flags.CERTIFICATE,
        "Certificate for calls to aggregated servers and webhooks.")
    proxy_client_key_file: str = _file(flags.PRIVATE_KEY, "Key of --proxy-client-cert-file.")
    kubelet_client_certificate: str = _file(flags.CERTIFICATE, "Certificate for calls to kubelets.")
    kubelet_client_key: str = _file(flags.PRIVATE_KEY, "Key of --kubelet-client-certificate.")
    kubelet_certificate_authority: str = _file(flags.CA_BUNDLE,
        "CA of kubelets. Default: none, and what a kubelet shows is not verified.")
    kubelet_preferred_address_types: tuple[str, ...] = _list(
        ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"),
        "Which address of a node to call.")
    proxy_allowed_cidrs: tuple[str, ...] = _flag((), flags.NETWORKS,
        "Loopback, link-local and metadata addresses that pods and nodes may be called at all the "
        "same. (kapi only)")
    egress_selector_config_file: str = _file(flags.YAML,
        "Refused: calls to nodes and services go out directly.")

    # -- audit, logs and debugging --
    audit_policy_file: str = _string("", "What is audited; without it nothing is.")
    audit_log_path: str = _string("", "File of audit events; -: stdout.")
    audit_log_format: str = _string("json", "Form of audit events: json or legacy, one line each.")
    audit_log_version: str = _string("audit.k8s.io/v1", "Version of audit events in the file.")
    audit_log_maxsize: int = _int(100, "Megabytes of the file before it is rotated; 0: never.")
    audit_log_maxage: int = _int(366, "Days that rotated files are kept; 0: for ever.")
    audit_log_maxbackup: int = _int(100, "Rotated files that are kept; 0: all.")
    audit_log_compress: bool = _bool(False, "Whether rotated files are compressed by gzip.")
    audit_log_mode: str = _string("blocking",
        "blocking: answers wait for their event; blocking-strict: and a request whose event cannot "
        "be written is refused; batch: nobody waits.")
    audit_log_batch_buffer_size: int = _int(10000, "Events that may wait, in mode batch.")
    audit_log_batch_max_size: int = _int(1, "Events written at once, in mode batch.")
    audit_log_batch_max_wait: float = _flag(0.0, flags.DURATION,
        "How long a batch is waited for, in mode batch.")
    audit_log_batch_throttle_enable: bool = _bool(False, "Bound the batches per second.")
    audit_log_batch_throttle_qps: float = _flag(0.0, flags.FLOAT, "Batches per second.")
    audit_log_batch_throttle_burst: int = _int(0, "Batches at once after a pause.")
    audit_log_truncate_enabled: bool = _bool(False, "Cut events that are too large.")
    audit_log_truncate_max_batch_size: int = _int(10485760, "Bytes of a batch.")
    audit_log_truncate_max_event_size: int = _int(102400,
        "Bytes of an event; larger ones lose their objects, those that still are too large go.")
    audit_webhook_config_file: str = _string("",
        "Kubeconfig of the server that audit events are sent to.")
    audit_webhook_version: str = _string("audit.k8s.io/v1", "Version of audit events sent.")
    audit_webhook_initial_backoff: float = _flag(10.0, flags.DURATION,
        "Pause before what failed is sent again; later ones are longer.")
    audit_webhook_batch_initial_backoff: float = _flag(10.0, flags.DURATION,
        "The old name of --audit-webhook-initial-backoff.")
    audit_webhook_mode: str = _string("batch", "As --audit-log-mode.")
    audit_webhook_batch_buffer_size: int = _int(10000, "Events that may wait, in mode batch.")
    audit_webhook_batch_max_size: int = _int(400, "Events sent at once, in mode batch.")
    audit_webhook_batch_max_wait: float = _flag(30.0, flags.DURATION,
        "How long a batch is waited for, in mode batch.")
    audit_webhook_batch_throttle_enable: bool = _bool(True, "Bound the batches per second.")
    audit_webhook_batch_throttle_qps: float = _flag(10.0, flags.FLOAT, "Batches per second.")
    audit_webhook_batch_throttle_burst: int = _int(15, "Batches at once after a pause.")
    audit_webhook_truncate_enabled: bool = _bool(False, "Cut events that are too large.")
    audit_webhook_truncate_max_batch_size: int = _int(10485760,
        "Bytes of a batch; larger ones are split.")
    audit_webhook_truncate_max_event_size: int = _int(102400,
        "As --audit-log-truncate-max-event-size.")
    v: int = _int(0, "Log verbosity; from 4 on, debug messages.", at_least(0))
    logging_format: str = _string("text", "Form of logs.", one_of("text", "json"))
    profiling: bool = _bool(True, "Serve /debug/pprof and /debug/flags.")
    contention_profiling: bool = _bool(False,
        "No effect: nobody here waits for locks, the profile of them is empty.", later=True)
    debug_socket_path: str = _flag("", flags.DIRECTORY,
        "Unix socket that serves /debug/pprof and /debug/flags to whoever may open it.")

    # fmt: on
    given: frozenset[str] = frozenset()

    @property
    def housekeeping(self) -> tuple[str, ...]:
        """The controllers that are switched on, by their short names."""
        aliases = {alias: name for name, known in CONTROLLERS.items() for alias in known}
        said = {c.removeprefix("-"): not c.startswith("-") for c in self.controllers}
        chosen = {aliases.get(name, name): on for name, on in said.items()}
        every = chosen.get("*", False)
        return tuple(name for name in CONTROLLERS if chosen.get(name, every))

    @property
    def audited(self) -> bool:
        """Whether a flag asks for audit."""
        return bool(self.audit_policy_file or self.audit_log_path or self.audit_webhook_config_file)

    @property
    def reached_at(self) -> str:
        """The address that others are told: what is advertised, else where the server listens."""
        return self.advertise_address or self.bind_address

    @property
    def gates(self) -> dict[str, bool]:
        """The state of every feature gate."""
        return features.resolve(self.feature_gates)


# Field name → flag; the name on the command line has dashes.
FLAGS: Mapping[str, Flag] = MappingProxyType(
    {f.name: f.metadata["flag"] for f in fields(Options) if "flag" in f.metadata}
)
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {f.name: getattr(Options(), f.name) for f in fields(Options)}
)
