"""The admission plugins in the real server's order: READ HERE what a write passes.

`default_plugins` is called by `server.py`. A plugin that is switched off is absent, not a branch;
names are those of --enable-admission-plugins and --disable-admission-plugins.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kapi.admission.claim_resize import ClaimResize
from kapi.admission.default_ingress_class import DefaultIngressClass
from kapi.admission.default_storage_class import DefaultStorageClass
from kapi.admission.default_tolerations import DefaultTolerationSeconds
from kapi.admission.limit_ranger import LimitRanger
from kapi.admission.listers import Listers
from kapi.admission.namespace_lifecycle import NamespaceLifecycle
from kapi.admission.plugin import AdmissionChain, MutatingPlugin, ValidatingPlugin
from kapi.admission.pod_security import PodSecurity
from kapi.admission.priority import Priority
from kapi.admission.resource_quota import ResourceQuotaPlugin, WriteStatus
from kapi.admission.runtime_class import RuntimeClassPlugin
from kapi.admission.service_account import ServiceAccountPlugin
from kapi.admission.storage_protection import StorageObjectInUseProtection
from kapi.admission.taint_nodes import TaintNodesByCondition
from kapi.clock import Clock, Entropy

Json = dict[str, Any]
Plugin = MutatingPlugin | ValidatingPlugin


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDependencies:
    lister: Listers  # by group and plural
    clock: Clock
    entropy: Entropy
    options: Any
    authorizer: Any
    live: Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name
    write_quota: WriteStatus
    extra: tuple[Plugin, ...] = ()  # after all others but the quota


def default_plugins(d: PluginDependencies) -> AdmissionChain:
    off = frozenset(d.options.disable_admission_plugins)
    return AdmissionChain(tuple(p for p in _in_order(d) if p.name not in off))


def _in_order(d: PluginDependencies) -> Iterator[Plugin]:
    o = d.options
    yield NamespaceLifecycle(d.lister("", "namespaces"), d.live)
    yield LimitRanger(d.lister("", "limitranges"))
    yield ServiceAccountPlugin(d.lister("", "serviceaccounts"), d.live, d.entropy)
    yield TaintNodesByCondition()
    yield PodSecurity(d.lister("", "namespaces"), d.lister("", "pods"))
    yield Priority(d.lister("scheduling.k8s.io", "priorityclasses"))
    yield DefaultTolerationSeconds(
        o.default_not_ready_toleration_seconds, o.default_unreachable_toleration_seconds
    )
    yield DefaultStorageClass(d.lister("storage.k8s.io", "storageclasses"))
    yield StorageObjectInUseProtection()
    yield ClaimResize(d.lister("storage.k8s.io", "storageclasses"))
    yield RuntimeClassPlugin(d.lister("node.k8s.io", "runtimeclasses"))
    yield DefaultIngressClass(d.lister("networking.k8s.io", "ingressclasses"))
    yield from d.extra
    yield ResourceQuotaPlugin(d.lister("", "resourcequotas"), d.live, d.write_quota)
