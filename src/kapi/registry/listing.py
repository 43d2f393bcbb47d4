"""`Listing`: one list or watch in the terms of keys and items. `Page`: what a list gives.

Used by `read.py`. What a webhook must convert before its fields are known, `legible` has converted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kapi import errors
from kapi.cacher.event import Item
from kapi.cacher.resource_cache import ResourceCache
from kapi.cacher.watcher import Selection
from kapi.errors import ApiError
from kapi.registry import paging
from kapi.registry.list_options import ListOptions
from kapi.registry.resource import ResourceType
from kapi.selector import fields as field_selectors
from kapi.storage import keys

TOO_OLD = "The resourceVersion for the provided list is too old."
TOKEN_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter, or use the continue token in this "
    "response to retrieve the remainder of the results. Continuing with the provided token "
    "results in an inconsistent list - objects that were created, modified, or deleted between "
    "the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a list gives: objects in the order of their keys, all as of one revision."""

    items: Sequence[Item]
    revision: int
    continue_token: str = ""  # where the next page starts; "": this is the last one
    remaining: int | None = None  # how many more; None: none, or not known because of a selector


class Shown(Protocol):
    """How objects look in the version that a request is for."""

    @property
    def selectable(self) -> Collection[str]:
        """The fields that it has for field selectors, if they are not those of the resource."""

    @property
    def asks(self) -> bool:
        """Whether a webhook may have to be asked before `fields`."""

    def fields(self, item: Item) -> Mapping[str, str]: ...

    async def twins(self, items: Sequence[Item]) -> Sequence[Item]:
        """The same objects, of which `fields` gives the fields at once."""


class Listing:
    """One list under way: what is asked for, in the terms of keys."""

    def __init__(
        self, resource: ResourceType, namespace: str, options: ListOptions, shown: Shown | None
    ) -> None:
        fields_of = shown.fields if shown is not None and shown.selectable else None
        self.selection = Selection(resource, namespace, options.labels, options.fields, fields_of)
        asks = shown is not None and shown.asks and self.selection.looks_inside
        self._asked = shown if asks else None
        self.resource = resource
        # What can be selected by before anybody was asked.
        self.outside = self.selection.outside() if asks else self.selection
        self.namespace = namespace
        self.limit = options.limit
        self.start = ""
        self.prefix = keys.prefix(resource, namespace)
        self._name = options.fields.exact(field_selectors.NAME)
        self._narrow = not resource.namespaced or bool(namespace)
        self.match = self._matcher()

    @property
    def asks(self) -> bool:
        """Whether items must be made `legible` before they are matched."""
        return self._asked is not None

    @property
    def start_key(self) -> str:
        return self.prefix + self.start.removeprefix("/")

    def _matcher(self) -> Callable[[Sequence[Item]], list[Item]] | None:
        """Picks the selected ones out of objects of the namespace; None if all are meant."""
        selection = self.selection
        labels, fields = selection.labels.matches, selection.matches_fields
        if selection.trivial:
            return None
        if selection.fields.empty:
            pair = selection.labels.pair
            if pair is not None:  # by far the most frequent kind
                key, value = pair
                return lambda items: [
                    i for i in items if (i.known_labels or i.labels).get(key) == value
                ]
            return lambda items: [i for i in items if labels(i.labels)]
        if selection.labels.empty:
            return lambda items: [i for i in items if fields(i)]
        return lambda items: [i for i in items if labels(i.labels) and fields(i)]

    async def legible(self, items: Sequence[Item]) -> Sequence[Item]:
        """Those that labels and names leave, for `match`. Raises ApiError 500."""
        if self._asked is None:
            return items
        outside = self.outside.matches
        return await self._asked.twins([i for i in items if outside(i)])

    def candidates(self, cache: ResourceCache) -> Sequence[Item]:
        """The objects that come into question, by key."""
        if self._name is not None and self._narrow:
            item = cache.get(self.namespace, self._name)
            return [item] if item is not None else []
        namespace = self.namespace or self.selection.fields.exact(field_selectors.NAMESPACE) or ""
        return cache.list(namespace)

    def page(self, items: Sequence[Item], revision: int, left: int) -> Page:
        """A page that a limit has cut, with `left` more to look at."""
        if not left:
            return Page(items, revision)
        start = items[-1].key[len(self.prefix) :] + "\0"
        remaining = left if self.selection.trivial else None
        return Page(items, revision, paging.encode(revision, start), remaining)

    def too_old(self) -> ApiError:
        if not self.start:
            return errors.expired(TOO_OLD)
        error = errors.expired(TOKEN_TOO_OLD)
        error.metadata = {"continue": paging.encode(paging.LATEST, self.start)}
        return error
