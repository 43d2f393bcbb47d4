"""Puts admission policies into a server: their two plugins.

Called by `admission.py`, by constructor arguments only. What compiles and evaluates
expressions is loaded when it is needed for the first time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kapi.admission.plugin import MutatingPlugin, ValidatingPlugin
from kapi.admission.policies.metrics import PolicyMeter
from kapi.admission.policies.plugins import (
    MUTATING,
    VALIDATING,
    Admits,
    MutatingAdmissionPolicy,
    Validates,
    ValidatingAdmissionPolicy,
)
from kapi.admission.policies.source import PolicySource
from kapi.admission.requests.matching import Matcher
from kapi.admission.requests.rules import GROUP
from kapi.authorization.authorizer import Authorizer
from kapi.cacher.lister import Lister
from kapi.clock import Clock
from kapi.metrics import Metrics
from kapi.registry.policy_objects import Live, Params, PolicyKinds
from kapi.registry.resource import ResourceTable

if TYPE_CHECKING:
    from kapi.admission.policies.calls import Rooms
    from kapi.admission.policies.compiled import MutatingPolicy, ValidatingPolicy

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDependencies:
    lister: Callable[[str, str], Lister]  # by group and plural
    live: Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name
    get: Live
    table: ResourceTable
    authorizer: Authorizer
    started: Callable[[], bool]
    metrics: Metrics
    clock: Clock


def policy_plugins(
    d: PolicyDependencies, kinds: PolicyKinds
) -> dict[str, MutatingPlugin | ValidatingPlugin]:
    """By name."""
    mutating: PolicySource[MutatingPolicy] = PolicySource(
        d.lister(GROUP, "mutatingadmissionpolicies"),
        d.lister(GROUP, "mutatingadmissionpolicybindings"),
        kinds,
        _mutating_policy,
        d.started,
    )
    validating: PolicySource[ValidatingPolicy] = PolicySource(
        d.lister(GROUP, "validatingadmissionpolicies"),
        d.lister(GROUP, "validatingadmissionpolicybindings"),
        kinds,
        _validating_policy,
        d.started,
    )

    def mutating_run() -> Admits:
        from kapi.admission.policies.mutating import MutatingRun

        return MutatingRun(mutating, _rooms(d, kinds), kinds, _meter(d, "mutating"))

    def validating_run() -> Validates:
        from kapi.admission.policies.validating import ValidatingRun

        return ValidatingRun(validating, _rooms(d, kinds), _meter(d, "validating"))

    return {
        MUTATING: MutatingAdmissionPolicy(mutating, mutating_run),
        VALIDATING: ValidatingAdmissionPolicy(validating, validating_run),
    }


def _rooms(d: PolicyDependencies, kinds: PolicyKinds) -> Rooms:
    from kapi.admission.policies.calls import Rooms

    return Rooms(
        matcher=Matcher(d.lister("", "namespaces"), d.live, kinds),
        kinds=kinds,
        params=Params(d.table, d.lister, d.get, kinds),
        access=d.authorizer,
    )


def _meter(d: PolicyDependencies, kind: str) -> PolicyMeter:
    return PolicyMeter(d.metrics, d.clock, f"{kind}_admission_policy")


def _mutating_policy(policy: Json) -> MutatingPolicy:
    from kapi.admission.policies.compiled import mutating_policy

    return mutating_policy(policy)


def _validating_policy(policy: Json) -> ValidatingPolicy:
    from kapi.admission.policies.compiled import validating_policy

    return validating_policy(policy)
