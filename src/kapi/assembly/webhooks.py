"""Puts webhooks into a server: the plugins of admission, and who asks conversion webhooks.

Called by `server.py`, by constructor arguments only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kapi.admission.plugin import MutatingPlugin, ValidatingPlugin
from kapi.admission.requests.rules import GROUP, Kinds
from kapi.admission.webhooks.calls import Caller
from kapi.admission.webhooks.hooks import HookSource
from kapi.admission.webhooks.match_conditions import MatchConditions
from kapi.admission.webhooks.mutating import MutatingAdmissionWebhook
from kapi.admission.webhooks.validating import ValidatingAdmissionWebhook
from kapi.authorization.authorizer import Authorizer
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.metrics import Metrics
from kapi.outgoing.hooks import HookClient

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDependencies:
    lister: Callable[[str, str], Lister]  # by group and plural
    live: Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name
    kinds: Kinds
    client: HookClient
    authorizer: Authorizer  # asked by match conditions
    started: Callable[[], bool]
    metrics: Metrics
    clock: Clock
    entropy: Entropy


def webhook_plugins(d: WebhookDependencies) -> dict[str, MutatingPlugin | ValidatingPlugin]:
    """By name."""
    mutating = _caller(d, "mutatingwebhookconfigurations", "admit")
    validating = _caller(d, "validatingwebhookconfigurations", "validating")
    return {
        MutatingAdmissionWebhook.name: MutatingAdmissionWebhook(mutating),
        ValidatingAdmissionWebhook.name: ValidatingAdmissionWebhook(validating),
    }


def _caller(d: WebhookDependencies, plural: str, step: str) -> Caller:
    source = HookSource(
        d.lister(GROUP, plural),
        d.lister("", "namespaces"),
        d.live,
        d.kinds,
        lambda hook: MatchConditions(hook, d.kinds, d.authorizer),
        d.started,
    )
    return Caller(step, source, d.client, d.metrics, d.clock, d.entropy)
