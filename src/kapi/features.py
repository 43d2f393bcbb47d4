"""Feature gates: name, stage and default, as Kubernetes 1.37 has them; only gates that concern an
API server.

`options/table.py` parses `--feature-gates` against this table. A gate without effect here is kept
because the real server reports it (`kubernetes_feature_enabled`) and command lines name it;
`effective` says which do something. Gates of features that are always on here, or of other
components, are names in `data/other-gates.txt`: command lines may set them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Gate:
    """One feature gate. A stable one cannot be switched off."""

    name: str
    stage: str  # ALPHA, BETA or empty: generally available
    default: bool
    effective: bool = False


GATES: Mapping[str, Gate] = MappingProxyType(
    {
        gate.name: gate
        for gate in (
            Gate("AllAlpha", "ALPHA", False, effective=True),
            Gate("AllBeta", "BETA", False, effective=True),
            Gate("APIResponseCompression", "BETA", True, effective=True),
            Gate("APIServerIdentity", "BETA", True, effective=True),
            Gate("APIServerTracing", "", True),
            Gate("AllowParsingUserUIDFromCertAuth", "BETA", True),
            Gate("AllowUnsafeMalformedObjectDeletion", "BETA", True),
            Gate("AnonymousAuthConfigurableEndpoints", "", True),
            Gate("AuthorizeNodeWithSelectors", "", True),
            Gate("AuthorizeWithSelectors", "", True),
            Gate("CBORServingAndStorage", "ALPHA", False, effective=True),
            Gate("ComponentFlagz", "BETA", True, effective=True),
            Gate("ComponentStatusz", "BETA", True, effective=True),
            Gate("ConcurrentWatchObjectDecode", "BETA", False),
            Gate("ConsistentListFromCache", "", True),
            Gate("ConstrainedImpersonation", "BETA", True, effective=True),
            Gate("ContextualLogging", "BETA", True),
            Gate("CoordinatedLeaderElection", "BETA", False),
            Gate("DRAResourceClaimGranularStatusAuthorization", "BETA", True, effective=True),
            Gate("DynamicResourceAllocation", "", True),
            Gate("InPlacePodVerticalScaling", "", True, effective=True),
            Gate("ListFromCacheSnapshot", "BETA", True),
            Gate("MutatingAdmissionPolicy", "", True),
            Gate("NodeDeclaredFeatures", "", True, effective=True),
            Gate("OpenAPIEnums", "BETA", True),
            Gate("OrderedNamespaceDeletion", "", True),
            Gate("PodTopologyLabelsAdmission", "BETA", True, effective=True),
            Gate("RetryGenerateName", "", True),
            Gate("StorageVersionAPI", "ALPHA", False),
            Gate("StorageVersionHash", "BETA", True),
            Gate("StructuredAuthenticationConfiguration", "", True),
            Gate("StructuredAuthorizationConfiguration", "", True),
            Gate("UnauthenticatedHTTP2DOSMitigation", "BETA", True),
            Gate("WatchList", "BETA", True),
        )
    }
)


class GateError(ValueError):
    """A gate that does not exist or cannot be set so."""


@cache
def others() -> frozenset[str]:
    """Names of Kubernetes' gates, of 1.30 to 1.37, that nothing here asks for."""
    text = files("kapi").joinpath("data", "other-gates.txt").read_text()
    return frozenset(text.split())


def without_effect(chosen: Mapping[str, bool]) -> list[str]:
    """The gates that were set and do nothing here, for the warning at the start."""
    return sorted(name for name in chosen if name not in GATES or not GATES[name].effective)


def resolve(chosen: Mapping[str, bool]) -> dict[str, bool]:
    """The state of every gate of GATES. Raises GateError in the real server's words."""
    for name, on in chosen.items():
        gate = GATES.get(name)
        if gate is None:
            if name in others():
                continue
            raise GateError(f"unrecognized feature gate: {name}")
        if not gate.stage and not on:
            raise GateError(f"cannot set feature gate {name} to false, feature is locked to true")
    state = {}
    for gate in GATES.values():
        on = gate.default
        if gate.stage == "ALPHA" and chosen.get("AllAlpha"):
            on = True
        if gate.stage == "BETA" and "AllBeta" in chosen:
            on = chosen["AllBeta"]
        state[gate.name] = chosen.get(gate.name, on)
    return state
