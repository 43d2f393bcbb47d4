"""Puts admission into a server: built-in plugins, policies, webhooks, the check of escalation.

Called by `server.py`, by constructor arguments only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kapi.admission import configuration
from kapi.admission.chain import PluginDependencies, default_plugins
from kapi.admission.objects.device_admin_access import DeviceAdminAccess
from kapi.admission.plugin import AdmissionChain
from kapi.assembly.authority import Authority
from kapi.assembly.image_reviews import reviewer
from kapi.assembly.policies import PolicyDependencies, policy_plugins
from kapi.assembly.webhooks import WebhookDependencies, webhook_plugins
from kapi.authorization.claim_status import GATE as CLAIM_STATUS
from kapi.authorization.claim_status import ClaimStatusAccess
from kapi.authorization.escalation import RbacEscalation
from kapi.authorization.param_access import GROUP as POLICIES
from kapi.authorization.param_access import ParamAccess
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.managedfields.manager import FieldManager
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.outgoing.client import Client
from kapi.outgoing.hooks import HookClient
from kapi.registry.in_process import LateObjects
from kapi.registry.policy_objects import PolicyKinds
from kapi.registry.resource import ResourceTable
from kapi.registry.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionDependencies:
    options: Options
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    table: ResourceTable
    versions: Versions
    fields: FieldManager
    lister: Callable[[str, str], Lister]  # by group and plural
    objects: LateObjects
    authority: Authority
    client: HookClient
    outgoing: Client
    started: Callable[[], bool]


def build_admission(d: AdmissionDependencies) -> AdmissionChain:
    """The chain that every write passes. Raises ConfigurationError."""
    kinds = PolicyKinds(d.table, d.versions, d.fields)
    webhooks = webhook_plugins(
        WebhookDependencies(
            lister=d.lister,
            live=d.objects.live,
            kinds=kinds,
            client=d.client,
            authorizer=d.authority.authorizer,
            started=d.started,
            metrics=d.metrics,
            clock=d.clock,
            entropy=d.entropy,
        )
    )
    authorizer = d.authority.authorizer
    policies = policy_plugins(
        PolicyDependencies(
            lister=d.lister,
            live=d.objects.live,
            get=d.objects.get,
            table=d.table,
            authorizer=authorizer,
            started=d.started,
            metrics=d.metrics,
            clock=d.clock,
        ),
        kinds,
    )
    return default_plugins(
        PluginDependencies(
            lister=d.lister,
            clock=d.clock,
            entropy=d.entropy,
            options=d.options,
            authorizer=authorizer,
            live=d.objects.live,
            create=d.objects.create,
            resources_of=lambda group, kind: _resources(d.table, group, kind),
            write_quota=d.objects.write_quota,
            image_review=lambda path: reviewer(d.outgoing, path),
            configuration=configuration.read(d.options.admission_control_config_file),
            extra=(
                RbacEscalation(d.authority.rbac, authorizer),
                ParamAccess(
                    authorizer,
                    lambda group, kind: [plural for plural, _ in _resources(d.table, group, kind)],
                    lambda plural, name: d.lister(POLICIES, plural).get("", name),
                ),
                DeviceAdminAccess(d.objects.live),
                *([ClaimStatusAccess(authorizer)] if d.options.gates[CLAIM_STATUS] else ()),
            ),
            given={**policies, **webhooks},
        )
    )


def _resources(table: ResourceTable, group: str, kind: str) -> list[tuple[str, bool]]:
    """Plural, and whether namespaced, of what a kind is served as."""
    return [(r.plural, r.namespaced) for r in table if r.group == group and r.kind == kind]
