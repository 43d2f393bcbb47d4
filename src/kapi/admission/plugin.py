"""The admission protocols and the ordered chain: first everyone may change, then everyone may
refuse.

Called by `registry/write.py` and `registry/delete.py` only. Plugins are listed, in the real
server's order, in `admission/chain.py`; one file each.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kapi.errors import ApiError, forbidden
from kapi.messages import UserInfo

Json = dict[str, Any]
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
# Combinations of operation and resource for which the plugins are remembered.
KNOWN_MAX = 4096


class Options(Protocol):
    """The options of the request."""

    def as_object(self, operation: Operation) -> Json:
        """CreateOptions, UpdateOptions or DeleteOptions, as webhooks and policies see them."""


@dataclass(slots=True)
class Reinvocation:
    """Whether those who may change an object are asked a second time, because somebody changed it
    after them. What a plugin has to remember from one round to the next is in `notes`.
    """

    needed: bool = False
    again: bool = False  # this is the second round; there is no third
    notes: dict[str, Any] = field(default_factory=dict)  # by plugin name


@dataclass(slots=True, kw_only=True)
class Attributes:
    """A write under way. `object` may be changed in place by `admit`, is read-only in `validate`;
    `old` is always read-only.

    Both are in the version of the request while changing; while validating, and in a deletion, in
    the stored form, but for custom kinds. Each says itself (apiVersion) in which.
    """

    operation: Operation
    group: str
    version: str
    kind: str
    resource: str
    subresource: str
    namespace: str
    name: str
    object: Json | None  # None for DELETE
    old: Json | None
    user: UserInfo
    dry_run: bool
    patched: bool = False  # the request is a patch or an apply: its verb is patch
    options: Options | None = None  # None: a CONNECT, or the server's own doing
    warn: Callable[[str], None] = lambda text: None
    annotate: Callable[[str, str], None] = lambda key, value: None  # audit annotations
    # Somebody from outside changed the object: what a client may not set is put back once more.
    mutated: bool = False
    reinvocation: Reinvocation | None = None  # made by the first plugin that needs it

    def rounds(self) -> Reinvocation:
        """The `reinvocation`, made if need be."""
        if self.reinvocation is None:
            self.reinvocation = Reinvocation()
        return self.reinvocation


def refused(a: Attributes, text: str) -> ApiError:
    """The 403 of a plugin that does not want it, with the name of what was sent: also one that is
    still to be completed.
    """
    meta = (a.object or {}).get("metadata") or {}
    name = a.name or meta.get("name") or meta.get("generateName") or "Unknown"
    return forbidden(a.group, a.resource, name, text)


class MutatingPlugin(Protocol):
    name: str

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        """Always the same for the same request; unless the plugin says `live = True`, as those do
        for which it depends on objects that come and go."""

    async def admit(self, attributes: Attributes) -> None:
        """May change `attributes.object`. Raises ApiError to refuse."""


class ValidatingPlugin(Protocol):
    name: str

    def handles(
        self, operation: Operation, group: str, resource: str, subresource: str
    ) -> bool: ...

    async def validate(self, attributes: Attributes) -> None:
        """Raises ApiError to refuse."""


class _Handled:
    """Which of some plugins see a request, remembered by what it is about."""

    def __init__(self, plugins: Iterable[Any]) -> None:
        self.plugins = tuple((p, getattr(p, "live", False)) for p in plugins)
        self._known: dict[tuple[str, ...], tuple[tuple[Any, bool], ...]] = {}

    def by(self, a: Attributes) -> Iterator[Any]:
        about = (a.operation, a.group, a.resource, a.subresource)
        found = self._known.get(about)
        if found is None:
            found = tuple((p, live) for p, live in self.plugins if live or p.handles(*about))
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[about] = found
        for plugin, live in found:
            if not live or plugin.handles(*about):
                yield plugin


class AdmissionChain:
    """The plugins in their order. A plugin may be mutating, validating or both."""

    def __init__(self, plugins: tuple[MutatingPlugin | ValidatingPlugin, ...] = ()) -> None:
        self._mutating = _Handled(p for p in plugins if hasattr(p, "admit"))
        self._validating = _Handled(p for p in plugins if hasattr(p, "validate"))

    @property
    def names(self) -> list[str]:
        """Those that may change, then those that may only refuse."""
        plugins = (*self._mutating.plugins, *self._validating.plugins)
        return list(dict.fromkeys(plugin.name for plugin, _ in plugins))

    async def admit(self, attributes: Attributes) -> None:
        """Everyone in turn; and again, if a change of one could matter to one before."""
        await self._admit(attributes)
        rounds = attributes.reinvocation
        if rounds is not None and rounds.needed:
            rounds.again = True
            await self._admit(attributes)

    async def _admit(self, attributes: Attributes) -> None:
        for plugin in self._mutating.by(attributes):
            await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        for plugin in self._validating.by(attributes):
            await plugin.validate(attributes)
