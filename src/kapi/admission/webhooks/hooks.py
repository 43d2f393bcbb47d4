"""The admission webhooks that are configured, compiled: parsed once per change of a configuration.

`HookSource` is one per kind of configuration (mutating, validating). What a request could concern
is found by one lookup of operation, group, resource and subresource, so a server without webhooks
pays a comparison, and one with a hundred looks at those that name the resource.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kapi import errors
from kapi.admission.plugin import Attributes
from kapi.admission.requests.matching import Live, Matcher, NamespaceLister
from kapi.admission.requests.rules import Kinds, Place, Rule, called, exempt
from kapi.errors import ApiError
from kapi.selector.label_selector import from_selector
from kapi.selector.labels import Selector

Json = dict[str, Any]
FOUND_MAX = 4096  # lookups remembered; a server has fewer resources times operations in use
DEFAULT_TIMEOUT_S = 10


class ConfigurationLister(Protocol):
    def list(self, namespace: str = "") -> list[Json]: ...

    @property
    def changed(self) -> int: ...


class ConditionError(Exception):
    """Match conditions that could not be evaluated, where that refuses the request."""


class Conditions(Protocol):
    """Match conditions of one webhook, compiled."""

    async def hold(self, a: Attributes, place: Place, obj: Json | None, old: Json | None) -> bool:
        """Whether the webhook is to be asked. Raises ConditionError."""


CompileConditions = Callable[[Json], Conditions]  # of a webhook


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of one configuration."""

    index: int  # among all of its kind
    configuration: str
    id: str
    name: str
    rules: tuple[Rule, ...]
    equivalent: bool
    namespaces: Selector
    objects: Selector
    conditions: Conditions | None
    client: Json  # its clientConfig
    timeout_s: int
    ignores_failure: bool
    side_effects: str
    review_versions: tuple[str, ...]
    reinvoked: bool

    @classmethod
    def parse(
        cls, index: int, configuration: str, at: int, hook: Json, conditions: Conditions | None
    ) -> Hook:
        """`at`: its place in its configuration."""
        name = hook.get("name", "")
        everything = Selector()
        return cls(
            index=index,
            configuration=configuration,
            id=f"{configuration}/{name}/{at}",
            name=name,
            rules=tuple(Rule.parse(rule) for rule in hook.get("rules") or ()),
            equivalent=hook.get("matchPolicy") == "Equivalent",
            namespaces=from_selector(hook.get("namespaceSelector") or {}) or everything,
            objects=from_selector(hook.get("objectSelector") or {}) or everything,
            conditions=conditions,
            client=hook.get("clientConfig") or {},
            timeout_s=hook.get("timeoutSeconds") or DEFAULT_TIMEOUT_S,
            ignores_failure=hook.get("failurePolicy") == "Ignore",
            side_effects=hook.get("sideEffects") or "",
            review_versions=tuple(hook.get("admissionReviewVersions") or ()),
            reinvoked=hook.get("reinvocationPolicy") == "IfNeeded",
        )


class HookSource:
    """The webhooks of one kind of configuration. One mutating, one validating per server."""

    def __init__(
        self,
        configurations: ConfigurationLister,
        namespaces: NamespaceLister,
        live: Live,
        kinds: Kinds,
        compile_conditions: CompileConditions,
        started: Callable[[], bool],
    ) -> None:
        """`live` reads past the cache. `started`: the server serves. What it writes before, no
        webhook is asked about: those who could answer may be waiting for it.
        """
        self._started = started
        self._configurations = configurations
        self._matcher = Matcher(namespaces, live, kinds)
        self.kinds = kinds
        self._compile = compile_conditions
        self._hooks: list[Hook] = []
        self._seen: tuple[int, int] = (-1, -1)
        self._found: dict[tuple[str, str, str, str], tuple[Hook, ...]] = {}

    def hooks(
        self, operation: str, group: str, resource: str, subresource: str
    ) -> tuple[Hook, ...]:
        """Those whose rules name such a request, in the order in which they are asked."""
        changed = self._configurations.changed
        if changed != self._seen[0]:
            self._read()
        if not self._hooks or not self._started():
            return ()
        if self._seen != (changed, self.kinds.generation):
            self._seen = (changed, self.kinds.generation)
            self._found.clear()
        key = (operation, group, resource, subresource)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            found = self._found[key] = self._concerned(operation, group, resource, subresource)
        return found

    def _concerned(
        self, operation: str, group: str, resource: str, subresource: str
    ) -> tuple[Hook, ...]:
        if exempt(group, resource):
            return ()
        places = self.kinds.places(group, resource, subresource)
        return tuple(
            hook
            for hook in self._hooks
            if any(rule.concerns(operation, place) for rule in hook.rules for place in places)
        )

    def _read(self) -> None:
        hooks: list[Hook] = []
        for configuration in self._configurations.list():
            name = configuration["metadata"]["name"]
            for at, hook in enumerate(configuration.get("webhooks") or ()):
                conditions = None
                if hook.get("matchConditions"):
                    conditions = self._compile(hook)
                hooks.append(Hook.parse(len(hooks), name, at, hook, conditions))
        self._hooks = hooks
        self._seen = (self._configurations.changed, -1)
        self._found.clear()

    # -- one request ------------------------------------------------------------------------------

    async def place(self, hook: Hook, a: Attributes, own: Place) -> Place | None:
        """Where a webhook wants to see the request; None if it does not. Match conditions are
        the caller's to ask. Raises ApiError 404 if the namespace is gone.
        """
        return await self._matcher.wanted(hook, a, own)


def condition_refused(a: Attributes, error: ConditionError) -> ApiError:
    return errors.forbidden(a.group, a.resource, called(a), str(error))
