"""The checks behind `/livez`, `/readyz` and `/healthz`: kube-apiserver's names in its order.

Called by `routing/front.py` once. What the real server does in hooks after its start is done here
before the first request is answered, so whoever can ask is told that it is done; the names are
there for probes that ask for one, leave one out or want to see them all. What can fail later has a
probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kapi.handlers.documents.health import Check, always_well
from kapi.options.table import Options

_BEFORE_THE_STORE = ("ping", "log")
_LOOPBACK = "loopback-serving-certificate"
_HOOK = "poststarthook/"
_FAIR = ("priority-and-fairness-config-consumer", "priority-and-fairness-filter")
_UNFAIR = ("max-in-flight-filter",)
_STARTED = ("start-apiserver-admission-initializer", "generic-apiserver-start-informers")
_SERVING = (
    *("storage-object-count-tracker-hook", "start-apiextensions-informers"),
    *("start-apiextensions-controllers", "crd-informer-synced"),
    *("start-system-namespaces-controller", "peer-endpoint-reconciler-controller"),
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    *("storage-readiness", "start-legacy-token-tracking-controller"),
    *("start-service-ip-repair-controllers", "rbac/bootstrap-roles"),
    *("scheduling/bootstrap-system-priority-classes", "priority-and-fairness-config-producer"),
    *("bootstrap-controller", "start-kubernetes-service-cidr-controller"),
)
_PROXYING = "aggregator-reload-proxy-client-cert"
_AGGREGATING = (
    *("start-kube-aggregator-informers", "apiservice-status-local-available-controller"),
    *("apiservice-status-remote-available-controller", "apiservice-registration-controller"),
    *("apiservice-discovery-controller", "kube-apiserver-autoregistration"),
)
_REGISTERED = "autoregister-completion"
_DOCUMENTS = ("apiservice-openapi-controller", "apiservice-openapiv3-controller")


def health_checks(
    options: Options,
    store_checks: Sequence[Check],
    encryption_checks: Sequence[Check] = (),
    *,
    cache_ready: Callable[[], bool],
    stopping: Callable[[], bool],
) -> list[Check]:
    """`store_checks`: of a store that is another process; without any the cache says it all."""
    return [
        *(Check(name, always_well) for name in _BEFORE_THE_STORE),
        Check(_LOOPBACK, always_well, ready=False),
        *(store_checks or _own_store(cache_ready)),
        *encryption_checks,
        Check(
            "informer-sync",
            lambda: "" if cache_ready() else "the cache is not complete",
            live=False,
        ),
        *(Check(name, always_well) for name in _hooks(options)),
        Check("shutdown", lambda: "process is shutting down" if stopping() else "", live=False),
    ]


def _own_store(cache_ready: Callable[[], bool]) -> list[Check]:
    """A store in this process is there for as long as the cache can follow it."""

    def probe() -> str:
        return "" if cache_ready() else "the store does not answer"

    return [Check("etcd", probe), Check("etcd-readiness", probe, live=False)]


def _hooks(options: Options) -> Iterator[str]:
    fair = options.enable_priority_and_fairness
    for name in (*_STARTED, *(_FAIR if fair else _UNFAIR), *_SERVING):
        yield _HOOK + name
    if options.proxy_client_cert_file:
        yield _HOOK + _PROXYING
    for name in _AGGREGATING:
        yield _HOOK + name
    yield _REGISTERED
    for name in _DOCUMENTS:
        yield _HOOK + name
