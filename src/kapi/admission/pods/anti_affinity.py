"""LimitPodHardAntiAffinityTopology: a pod may keep others away from its node, not from more.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#limitpodhardantiaffinitytopology
"""

from __future__ import annotations

from kapi.admission.plugin import Attributes, refused
from kapi.admission.pods.written_pods import OfWrittenPods

HOSTNAME = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(OfWrittenPods):
    name = "LimitPodHardAntiAffinityTopology"

    async def validate(self, attributes: Attributes) -> None:
        spec = (attributes.object or {}).get("spec") or {}
        apart = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
        for term in apart.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            key = term.get("topologyKey", "")
            if key != HOSTNAME:
                text = (
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} "
                    f"but only key {HOSTNAME} is allowed"
                )
                raise refused(attributes, text)
