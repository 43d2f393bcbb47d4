"""How the admission plugins are made that are off unless asked for. They are imported only then.

Called by `chain.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from kapi.admission.listers import Listers
from kapi.admission.plugin import MutatingPlugin, ValidatingPlugin
from kapi.clock import Clock

Plugin = MutatingPlugin | ValidatingPlugin


class Dependencies(Protocol):
    """The part of PluginDependencies that is needed here."""

    @property
    def lister(self) -> Listers: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def authorizer(self) -> Any: ...
    @property
    def live(self) -> Any: ...
    @property
    def create(self) -> Any: ...
    @property
    def resources_of(self) -> Any: ...
    @property
    def image_review(self) -> Any: ...
    @property
    def configuration(self) -> Mapping[str, Any]: ...


def make(name: str, d: Dependencies) -> Plugin:
    """One of `NAMES`. Raises ConfigurationError."""
    return _MAKERS[name](d)


def _always_admit(d: Dependencies) -> Plugin:
    from kapi.admission.objects.always import AlwaysAdmit

    return AlwaysAdmit()


def _always_deny(d: Dependencies) -> Plugin:
    from kapi.admission.objects.always import AlwaysDeny

    return AlwaysDeny()


def _autoprovision(d: Dependencies) -> Plugin:
    from kapi.admission.objects.namespace_autoprovision import NamespaceAutoProvision

    return NamespaceAutoProvision(d.lister("", "namespaces"), d.create)


def _exists(d: Dependencies) -> Plugin:
    from kapi.admission.objects.namespace_exists import NamespaceExists

    return NamespaceExists(d.lister("", "namespaces"), d.live)


def _anti_affinity(d: Dependencies) -> Plugin:
    from kapi.admission.pods.anti_affinity import LimitPodHardAntiAffinityTopology

    return LimitPodHardAntiAffinityTopology()


def _node_restriction(d: Dependencies) -> Plugin:
    from kapi.admission.nodes.credentials import NodeCredentials
    from kapi.admission.nodes.node_restriction import NodeRestriction

    credentials = NodeCredentials(d.lister, d.authorizer)
    return NodeRestriction(d.lister("", "pods"), d.lister("", "nodes"), credentials)


def _always_pull(d: Dependencies) -> Plugin:
    from kapi.admission.pods.always_pull_images import AlwaysPullImages

    return AlwaysPullImages()


def _image_policy(d: Dependencies) -> Plugin:
    from kapi.admission.pods.image_policy import ImagePolicyWebhook, configure

    settings = configure(d.configuration.get("ImagePolicyWebhook"))
    return ImagePolicyWebhook(settings, d.image_review(settings.kubeconfig), d.clock)


def _node_selector(d: Dependencies) -> Plugin:
    from kapi.admission.pods.node_selector import PodNodeSelector, configure

    configured = configure(d.configuration.get("PodNodeSelector"))
    return PodNodeSelector(d.lister("", "namespaces"), d.live, configured)


def _tolerations(d: Dependencies) -> Plugin:
    from kapi.admission.pods.toleration_restriction import PodTolerationRestriction, configure

    settings = configure(d.configuration.get("PodTolerationRestriction"))
    return PodTolerationRestriction(d.lister("", "namespaces"), d.live, settings)


def _event_rate(d: Dependencies) -> Plugin:
    from kapi.admission.objects.event_rate_limit import EventRateLimit, configure

    return EventRateLimit(configure(d.configuration.get("EventRateLimit")), d.clock)


def _extended_resources(d: Dependencies) -> Plugin:
    from kapi.admission.pods.extended_resources import ExtendedResourceToleration

    return ExtendedResourceToleration()


def _owner_references(d: Dependencies) -> Plugin:
    from kapi.admission.objects.owner_references import OwnerReferencesPermissionEnforcement

    return OwnerReferencesPermissionEnforcement(d.authorizer, d.resources_of)


def _external_ips(d: Dependencies) -> Plugin:
    from kapi.admission.objects.external_ips import DenyServiceExternalIPs

    return DenyServiceExternalIPs()


_MAKERS: Mapping[str, Callable[[Dependencies], Plugin]] = MappingProxyType(
    {
        "AlwaysAdmit": _always_admit,
        "NamespaceAutoProvision": _autoprovision,
        "NamespaceExists": _exists,
        "LimitPodHardAntiAffinityTopology": _anti_affinity,
        "NodeRestriction": _node_restriction,
        "AlwaysPullImages": _always_pull,
        "ImagePolicyWebhook": _image_policy,
        "PodNodeSelector": _node_selector,
        "PodTolerationRestriction": _tolerations,
        "EventRateLimit": _event_rate,
        "ExtendedResourceToleration": _extended_resources,
        "OwnerReferencesPermissionEnforcement": _owner_references,
        "DenyServiceExternalIPs": _external_ips,
        "AlwaysDeny": _always_deny,
    }
)
NAMES = frozenset(_MAKERS)


def _check_node_selector(part: Any) -> object:
    from kapi.admission.pods.node_selector import configure

    return configure(part)


def _check_image_policy(part: Any) -> object:
    from kapi.admission import kubeconfig
    from kapi.admission.configuration import ConfigurationError
    from kapi.admission.pods.image_policy import configure

    settings = configure(part)
    try:
        return kubeconfig.load(settings.kubeconfig)
    except kubeconfig.KubeconfigError as error:
        raise ConfigurationError(str(error)) from error


def _check_tolerations(part: Any) -> object:
    from kapi.admission.pods.toleration_restriction import configure

    return configure(part)


def _check_event_rate(part: Any) -> object:
    from kapi.admission.objects.event_rate_limit import configure

    return configure(part)


PARSERS: Mapping[str, Callable[[Any], object]] = MappingProxyType(
    {
        "ImagePolicyWebhook": _check_image_policy,
        "PodNodeSelector": _check_node_selector,
        "PodTolerationRestriction": _check_tolerations,
        "EventRateLimit": _check_event_rate,
    }
)
