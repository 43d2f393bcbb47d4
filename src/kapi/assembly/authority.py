"""What users may do: the authorizers that flags or a configuration file ask for, in their order.

Called by `server.py` once. With --authorization-config the order, and the webhooks in it, may
change while the server runs; without it nothing stands between a request and its authorizers.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kapi.admission import kubeconfig
from kapi.assembly.reloading import ConfigurationFileError, ReloadedFile, ReloadMetrics, read
from kapi.authorization import authorizer as authorizers
from kapi.authorization import configuration
from kapi.authorization.always import AlwaysAllow, AlwaysDeny, PrivilegedGroups
from kapi.authorization.authorizer import (
    Attributes,
    Authorizer,
    Decision,
    Opinions,
    RuleResolver,
    Rules,
)
from kapi.authorization.configuration import Entry, WebhookSettings
from kapi.authorization.node import NodeAuthorizer
from kapi.authorization.rbac import GROUP as RBAC
from kapi.authorization.rbac import Rbac
from kapi.authorization.rbac_rules import Rule
from kapi.cacher.lister import Lister
from kapi.clock import Clock, Entropy
from kapi.controllers import fixed_objects
from kapi.controllers.identity_lease import server_name
from kapi.messages import UserInfo
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.outgoing.client import Client


@dataclass(frozen=True, slots=True)
class Authority:
    """`file`: the configuration to look at again, where there is one."""

    authorizer: Authorizer
    rules: RuleResolver
    rbac: Rbac
    file: ReloadedFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityDependencies:
    options: Options
    lister: Callable[[str, str], Lister]  # by group and plural
    client: Client
    clock: Clock
    entropy: Entropy
    metrics: Metrics


# What has state of its own is there from the start, or not at all.
_ONCE = ("Node", "RBAC", "ABAC")


class _Reloadable:
    """What is in force now."""

    def __init__(self, authorizer: Authorizer, rules: RuleResolver) -> None:
        self.authorizer = authorizer
        self.rules = rules

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return await self.authorizer.authorize(attributes)

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return await self.rules.rules_for(user, namespace)


def build_authority(d: AuthorityDependencies) -> Authority:
    """Raises ConfigurationFileError, OSError."""
    options = d.options
    builder = _Builder(d)
    if not options.authorization_config:
        try:
            authorizer, rules = builder.build(of_flags(options))
        except ValueError as error:
            raise ConfigurationFileError(str(error)) from error
        return Authority(authorizer, rules, builder.rbac)
    data = read(options.authorization_config)
    try:
        entries = configuration.parse(data)
        reloadable = _Reloadable(*builder.build(entries))
    except ValueError as error:
        raise ConfigurationFileError(f"{options.authorization_config}: {error}") from error
    builder.may_have = frozenset(entry.type for entry in entries)

    async def apply(data: bytes) -> bool:
        nonlocal entries
        new = configuration.parse(data)
        if new == entries:
            return False
        reloadable.authorizer, reloadable.rules = builder.build(new)
        entries = new
        return True

    metrics = ReloadMetrics(d.metrics, "authorization", server_name(socket.gethostname()), d.clock)
    file = ReloadedFile(options.authorization_config, data, apply, metrics, d.clock)
    return Authority(reloadable, reloadable, builder.rbac, file)


def of_flags(options: Options) -> tuple[Entry, ...]:
    webhook = WebhookSettings(
        kubeconfig=options.authorization_webhook_config_file,
        version=options.authorization_webhook_version,
        authorized_s=options.authorization_webhook_cache_authorized_ttl,
        unauthorized_s=options.authorization_webhook_cache_unauthorized_ttl,
    )
    return configuration.of_modes(options.authorization_mode, webhook)


class _Builder:
    """Makes unions. RBAC, Node and ABAC are made once."""

    def __init__(self, d: AuthorityDependencies) -> None:
        self._d = d
        self.may_have: frozenset[str] | None = None  # types, after the start
        lister = d.lister
        self.rbac = Rbac(
            roles=lister(RBAC, "roles"),
            cluster_roles=lister(RBAC, "clusterroles"),
            role_bindings=lister(RBAC, "rolebindings"),
            cluster_role_bindings=lister(RBAC, "clusterrolebindings"),
        )
        self._node: NodeAuthorizer | None = None
        self._policies: _Member | None = None
        self._opinions: dict[tuple[str, str], Opinions] = {}  # by name and type
        d.metrics.on_render(self._count)

    def build(self, entries: Sequence[Entry]) -> tuple[Authorizer, RuleResolver]:
        """Raises ValueError for what cannot be had."""
        members: list[Authorizer] = [PrivilegedGroups()]
        opinions: list[Opinions | None] = [None]
        resolvers: list[RuleResolver] = []
        for entry in entries:
            member = self._member(entry)
            members.append(member)
            resolvers.append(member)
            opinions.append(self._opinions.setdefault((entry.name, entry.type), Opinions()))
        return authorizers.union(members, opinions), authorizers.rules_union(resolvers)

    def _count(self) -> None:
        decisions = self._d.metrics.metric("apiserver_authorization_decisions_total")
        for (name, kind), opinions in self._opinions.items():
            for word, count in (("allowed", opinions.allowed), ("denied", opinions.denied)):
                if count:
                    decisions.cell(word, name, kind).value = count

    def _member(self, entry: Entry) -> _Member:
        may_have = self.may_have
        if may_have is not None and entry.type in _ONCE and entry.type not in may_have:
            raise ValueError(
                f"authorizer type {entry.type} is not allowed if it was not enabled at initial "
                "server startup"
            )
        match entry.type:
            case "RBAC":
                return self.rbac
            case "Node":
                if self._node is None:
                    lister = self._d.lister
                    self._node = NodeAuthorizer(lister("", "pods"), lister, _node_rules())
                return self._node
            case "ABAC":
                return self._abac()
            case "AlwaysAllow":
                return AlwaysAllow()
            case "AlwaysDeny":
                return AlwaysDeny()
            case configuration.WEBHOOK if entry.webhook is not None:
                return self._webhook(entry.name, entry.webhook)
        raise ValueError(f"unknown authorization mode {entry.type} specified")

    def _abac(self) -> _Member:
        from kapi.authorization import abac

        path = self._d.options.authorization_policy_file
        if self._policies is None:
            self._policies = abac.Abac(abac.parse(read(path), path))
        return self._policies

    def _webhook(self, name: str, settings: WebhookSettings) -> _Member:
        from kapi.authorization.webhook import Conditions, WebhookAuthorizer, WebhookMetrics
        from kapi.outgoing.reviews import ReviewClient

        d = self._d
        server = kubeconfig.load(settings.kubeconfig)
        client = ReviewClient(d.client, server, d.clock, d.entropy, settings.timeout_s)
        conditions: Conditions | None = None
        if settings.conditions:
            from kapi.authorization.match_conditions import Matcher

            conditions = Matcher(settings.conditions)
        metrics = WebhookMetrics(d.metrics, name, d.clock)
        return WebhookAuthorizer(settings, client, conditions, metrics, d.clock)


class _Member(Authorizer, RuleResolver, Protocol):
    """Both is what every authorizer of a configuration is."""


def _node_rules() -> list[Rule]:
    """What every node may do: the rules of the role system:node as it comes with the release."""
    roles = fixed_objects.load()["clusterroles"]
    return next(r["rules"] for r in roles if r["metadata"]["name"] == "system:node")
