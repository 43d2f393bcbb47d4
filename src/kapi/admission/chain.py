"""How each admission plugin is made. READ `order.py` for what a write passes, in which order.

`default_plugins` is called by `server.py`. A plugin that is switched off is absent, not a branch.
To add one: its file, a row in `_MAKERS`; its place is in `order.py` already.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kapi.admission import configuration, optional, order
from kapi.admission.certificates.approval import CertificateApproval
from kapi.admission.certificates.signing import CertificateSigning
from kapi.admission.certificates.subject import CertificateSubjectRestriction
from kapi.admission.certificates.trust_bundle_attest import ClusterTrustBundleAttest
from kapi.admission.listers import Listers
from kapi.admission.nodes.features import NodeDeclaredFeatureValidator
from kapi.admission.nodes.taint_nodes import TaintNodesByCondition
from kapi.admission.objects.claim_resize import ClaimResize
from kapi.admission.objects.default_ingress_class import DefaultIngressClass
from kapi.admission.objects.default_storage_class import DefaultStorageClass
from kapi.admission.objects.namespace_lifecycle import NamespaceLifecycle
from kapi.admission.objects.storage_protection import StorageObjectInUseProtection
from kapi.admission.plugin import AdmissionChain, MutatingPlugin, ValidatingPlugin
from kapi.admission.pod_security import policy as pod_security_policy
from kapi.admission.pod_security.pod_security import PodSecurity
from kapi.admission.pods.default_tolerations import DefaultTolerationSeconds
from kapi.admission.pods.priority import Priority
from kapi.admission.pods.resize import PodResizeValidator
from kapi.admission.pods.runtime_class import RuntimeClassPlugin
from kapi.admission.pods.service_account import ServiceAccountPlugin
from kapi.admission.pods.topology_labels import PodTopologyLabels
from kapi.admission.quotas.limit_ranger import LimitRanger
from kapi.admission.quotas.resource_quota import ResourceQuotaPlugin, WriteStatus
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
    create: Callable[[str, str, Json], Awaitable[None]]  # group, plural, cluster-scoped object
    # Plural, and whether namespaced, of what a kind (by its group) is served as.
    resources_of: Callable[[str, str], list[tuple[str, bool]]]
    write_quota: WriteStatus
    image_review: Callable[[str], Any]  # kubeconfig file → who asks the server that it names
    extra: tuple[Plugin, ...] = ()  # after all that change, before those that refuse
    configuration: Mapping[str, Any] = field(default_factory=dict)  # by plugin name
    given: Mapping[str, Plugin] = field(default_factory=dict)  # plugins made elsewhere, by name


def default_plugins(d: PluginDependencies) -> AdmissionChain:
    o = d.options
    names = order.chosen(o.enable_admission_plugins, o.disable_admission_plugins, o.gates)
    return AdmissionChain(tuple(_made(d, names)))


def without_effect(options: Any) -> list[str]:
    """The plugins that --enable-admission-plugins names and that do nothing here."""
    asked = frozenset(options.enable_admission_plugins)
    active = order.chosen(asked, (), options.gates)
    return sorted(name for name in asked if name not in active or not is_there(name))


def is_there(name: str) -> bool:
    """Whether a plugin of this name does something here."""
    return name in _MAKERS or name in _GIVEN or name in optional.NAMES


def check_configuration(options: Any) -> None:
    """That the files of plugins that are on can be used. Raises ConfigurationError."""
    o = options
    names = order.chosen(o.enable_admission_plugins, o.disable_admission_plugins, o.gates)
    configuration.check(o.admission_control_config_file, names, _PARSERS)


def _made(d: PluginDependencies, names: list[str]) -> Iterator[Plugin]:
    waiting = d.extra
    for name in names:
        if name in _REFUSING:
            yield from waiting
            waiting = ()
        if name in d.given:
            yield d.given[name]
        elif name in _MAKERS:
            yield _MAKERS[name](d)
        elif name in optional.NAMES:
            yield optional.make(name, d)
    yield from waiting


# Made by who puts the server together, since they need more than the others.
_GIVEN = frozenset(
    (
        "MutatingAdmissionPolicy",
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
    )
)

_REFUSING = (
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
)


def _namespace_lifecycle(d: PluginDependencies) -> Plugin:
    return NamespaceLifecycle(d.lister("", "namespaces"), d.live)


def _limit_ranger(d: PluginDependencies) -> Plugin:
    return LimitRanger(d.lister("", "limitranges"))


def _service_account(d: PluginDependencies) -> Plugin:
    return ServiceAccountPlugin(
        d.lister("", "serviceaccounts"),
        d.live,
        d.entropy,
        d.clock,
        expected="serviceaccount" in d.options.housekeeping,
    )


def _taint_nodes(d: PluginDependencies) -> Plugin:
    return TaintNodesByCondition()


def _pod_security(d: PluginDependencies) -> Plugin:
    settings = pod_security_policy.configure(d.configuration.get("PodSecurity"))
    return PodSecurity(d.lister("", "namespaces"), d.lister("", "pods"), settings)


def _priority(d: PluginDependencies) -> Plugin:
    return Priority(d.lister("scheduling.k8s.io", "priorityclasses"))


def _default_tolerations(d: PluginDependencies) -> Plugin:
    return DefaultTolerationSeconds(
        d.options.default_not_ready_toleration_seconds,
        d.options.default_unreachable_toleration_seconds,
    )


def _default_storage_class(d: PluginDependencies) -> Plugin:
    return DefaultStorageClass(d.lister("storage.k8s.io", "storageclasses"))


def _storage_protection(d: PluginDependencies) -> Plugin:
    return StorageObjectInUseProtection()


def _claim_resize(d: PluginDependencies) -> Plugin:
    return ClaimResize(d.lister("storage.k8s.io", "storageclasses"))


def _runtime_class(d: PluginDependencies) -> Plugin:
    return RuntimeClassPlugin(d.lister("node.k8s.io", "runtimeclasses"))


def _default_ingress_class(d: PluginDependencies) -> Plugin:
    return DefaultIngressClass(d.lister("networking.k8s.io", "ingressclasses"))


def _certificate_approval(d: PluginDependencies) -> Plugin:
    return CertificateApproval(d.authorizer)


def _certificate_signing(d: PluginDependencies) -> Plugin:
    return CertificateSigning(d.authorizer)


def _trust_bundle_attest(d: PluginDependencies) -> Plugin:
    return ClusterTrustBundleAttest(d.authorizer)


def _certificate_subject(d: PluginDependencies) -> Plugin:
    return CertificateSubjectRestriction()


def _topology_labels(d: PluginDependencies) -> Plugin:
    return PodTopologyLabels(d.lister("", "nodes"))


def _node_features(d: PluginDependencies) -> Plugin:
    return NodeDeclaredFeatureValidator(d.lister("", "nodes"))


def _pod_resize(d: PluginDependencies) -> Plugin:
    return PodResizeValidator(d.lister("", "nodes"))


def _resource_quota(d: PluginDependencies) -> Plugin:
    return ResourceQuotaPlugin(d.lister("", "resourcequotas"), d.live, d.write_quota)


_MAKERS: Mapping[str, Callable[[PluginDependencies], Plugin]] = MappingProxyType(
    {
        "NamespaceLifecycle": _namespace_lifecycle,
        "LimitRanger": _limit_ranger,
        "ServiceAccount": _service_account,
        "TaintNodesByCondition": _taint_nodes,
        "PodSecurity": _pod_security,
        "Priority": _priority,
        "DefaultTolerationSeconds": _default_tolerations,
        "DefaultStorageClass": _default_storage_class,
        "StorageObjectInUseProtection": _storage_protection,
        "PersistentVolumeClaimResize": _claim_resize,
        "RuntimeClass": _runtime_class,
        "CertificateApproval": _certificate_approval,
        "CertificateSigning": _certificate_signing,
        "ClusterTrustBundleAttest": _trust_bundle_attest,
        "CertificateSubjectRestriction": _certificate_subject,
        "DefaultIngressClass": _default_ingress_class,
        "PodTopologyLabels": _topology_labels,
        "NodeDeclaredFeatureValidator": _node_features,
        "PodResizeValidator": _pod_resize,
        "ResourceQuota": _resource_quota,
    }
)

# What makes settings of a plugin's part of the configuration, None where it has none.
_PARSERS: Mapping[str, Callable[[Any], object]] = MappingProxyType(
    {"PodSecurity": pod_security_policy.configure, **optional.PARSERS}
)
