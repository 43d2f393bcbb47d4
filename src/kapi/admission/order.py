"""The admission plugins by name, in the real server's order: which there are, which are on unless
switched off, which need a feature gate.

The same names are values of --enable-admission-plugins and --disable-admission-plugins, rows of
`chain.py` and names in metrics. What a plugin does is in its own file; a name without one is of a
plugin that is not there yet, and `without_effect` says so at the start.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A plugin's place in the order."""

    name: str
    on: bool = True  # unless --disable-admission-plugins names it
    gate: str = ""  # it does nothing without this feature gate


# fmt: off
ORDER = (
    Place("AlwaysAdmit", on=False),
    Place("NamespaceAutoProvision", on=False),
    Place("NamespaceLifecycle"),
    Place("NamespaceExists", on=False),
    Place("LimitPodHardAntiAffinityTopology", on=False),
    Place("LimitRanger"),
    Place("ServiceAccount"),
    Place("NodeRestriction", on=False),
    Place("TaintNodesByCondition"),
    Place("AlwaysPullImages", on=False),
    Place("ImagePolicyWebhook", on=False),
    Place("PodSecurity"),
    Place("PodNodeSelector", on=False),
    Place("Priority"),
    Place("DefaultTolerationSeconds"),
    Place("PodTolerationRestriction", on=False),
    Place("EventRateLimit", on=False),
    Place("ExtendedResourceToleration", on=False),
    Place("DefaultStorageClass"),
    Place("StorageObjectInUseProtection"),
    Place("PodGroupProtection", gate="GenericWorkload"),
    Place("OwnerReferencesPermissionEnforcement", on=False),
    Place("PersistentVolumeClaimResize"),
    Place("RuntimeClass"),
    Place("CertificateApproval"),
    Place("CertificateSigning"),
    Place("ClusterTrustBundleAttest"),
    Place("CertificateSubjectRestriction"),
    Place("DefaultIngressClass"),
    Place("DenyServiceExternalIPs", on=False),
    Place("PodTopologyLabels", gate="PodTopologyLabelsAdmission"),
    Place("PodGroupWorkloadExists", gate="GenericWorkload"),
    Place("NodeDeclaredFeatureValidator", gate="NodeDeclaredFeatures"),
    Place("JobValidation", gate="WorkloadWithJob"),
    Place("PodResizeValidator", gate="InPlacePodVerticalScaling"),
    Place("MutatingAdmissionPolicy", gate="MutatingAdmissionPolicy"),
    Place("MutatingAdmissionWebhook"),
    Place("ValidatingAdmissionPolicy"),
    Place("ValidatingAdmissionWebhook"),
    Place("ResourceQuota"),
    Place("AlwaysDeny", on=False),
)
# fmt: on
NAMES = tuple(sorted(place.name for place in ORDER))


def chosen(
    enabled: Collection[str], disabled: Collection[str], gates: Mapping[str, bool]
) -> list[str]:
    """The plugins that are on, in order. A gate that is not there at all is off."""
    return [
        place.name
        for place in ORDER
        if (place.name in enabled or (place.on and place.name not in disabled))
        and (not place.gate or gates.get(place.gate, False))
    ]


def check(enabled: Collection[str], disabled: Collection[str]) -> str:
    """What is wrong with the two flags, in the real server's words; empty: nothing."""
    for flag, names in (("enable", enabled), ("disable", disabled)):
        for name in names:
            if name not in NAMES:
                return f'{flag}-admission-plugins plugin "{name}" is unknown'
    both = sorted(set(enabled) & set(disabled))
    if both:
        text = f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins"
        return f"{text} overlapped"
    return ""
