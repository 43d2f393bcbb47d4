"""The admission plugins in the real server's order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kapi.admission.plugin import AdmissionChain, MutatingPlugin, ValidatingPlugin
from kapi.clock import Clock, Entropy

Json = dict[str, Any]


class Lister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...
    def list(self, namespace: str = "") -> list[Json]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDependencies:
    lister: Callable[[str, str], Lister]  # by group and plural
    clock: Clock
    entropy: Entropy
    options: Any
    authorizer: Any
    live: Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name
    extra: tuple[MutatingPlugin | ValidatingPlugin, ...] = ()


def default_plugins(d: PluginDependencies) -> AdmissionChain:
    return AdmissionChain(d.extra)
