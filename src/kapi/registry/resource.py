"""`ResourceType`: all that kapi knows of a resource. Built-in kinds and custom ones are both this
record.

Made by `kinds/catalog.py` from the packaged facts, or by whoever serves another one while the
server runs (`Server.serve`); kept in a `ResourceTable` that handlers, discovery and OpenAPI read.
Adding and removing is a swap in the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kapi.schema.structural import Schema, SchemaSource

if TYPE_CHECKING:
    from kapi.registry.conversion import Conversions
    from kapi.registry.strategy import Strategy

Json = dict[str, Any]
Convert = Callable[[Json], Json]  # gives a new object; its argument stays as it is


@dataclass(frozen=True, slots=True)
class GroupVersionKind:
    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a custom kind keeps what its Scale shows; the selector is a text."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] = ()  # empty: it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """`pods/status`: verbs, and the kind that is sent and answered."""

    name: str
    verbs: tuple[str, ...]
    kind: GroupVersionKind  # version "" in discovery means the parent's
    schema: SchemaSource | None = None  # None: the parent's own
    scale: ScalePaths | None = None  # of a scale: which fields of the parent it shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One served version of a resource."""

    name: str
    kind: GroupVersionKind
    schema: SchemaSource
    verbs: tuple[str, ...]
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    to_stored: Convert | None = None  # None: the stored form but for apiVersion and kind
    from_stored: Convert | None = None
    deprecation: str = ""  # the warning sent with every answer
    openapi: Callable[[], Json] | None = None  # v3 schema with its prose; None: made of `schema`
    columns: tuple[Column, ...] = ()  # over this version; empty: those of the resource
    # Of a custom kind, beyond metadata.name and .namespace; over this version.
    field_selectors: Mapping[str, Callable[[Json], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A printer column: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-
    resources-as-tables
    """

    name: str
    type: str
    cell: Callable[[Json, float], Any]  # (object in the column's version, now) -> cell
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    group: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    versions: Mapping[str, Version]  # served ones, in order of preference
    stored: GroupVersionKind  # the form in the store, as this server works with it
    stored_schema: SchemaSource
    storage_prefix: str  # under the storage root: "pods", "apps/deployments", "services/specs"
    strategy: Strategy
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()  # empty: Name and Created At
    # Annotations that are fields inside the server: metadata alone goes out without them.
    hidden_annotations: frozenset[str] = frozenset()
    # What a row of a Table says beside its cells; over the stored form.
    row_conditions: Callable[[Json], list[Json]] | None = None
    # Beyond metadata.name and .namespace; over the stored form. Custom kinds have them by version.
    field_selectors: Mapping[str, Callable[[Json], str]] = field(default_factory=dict)
    unknown_field: str = "field label not supported: {}"  # how another field selector is refused
    generation: bool = True  # metadata.generation counts changes outside metadata and status
    returns_deleted: bool = (
        False  # DELETE answers with the object where others answer with a Status
    )
    stored_in_store: bool = True  # False: a kind that is only answered, such as a review
    custom: bool = False  # of a CRD: JSON keys sorted, unknown fields by pruning
    # Objects stored up to revision `renewed_after` may be of an older schema or version: reading
    # them goes through `renew`, from any stored form to the present one.
    renew: Convert | None = None
    terminating: bool = False  # of a CRD that is deleted: nothing new is made
    renewed_after: int = 0
    conversions: Conversions | None = None  # of a CRD whose versions a webhook converts
    # The form in a store that real servers share; None: as `stored`.
    shared: GroupVersionKind | None = None

    @property
    def in_shared_store(self) -> GroupVersionKind:
        """The version that the real server stores, which discovery's hash is of."""
        return self.shared or self.stored

    @property
    def qualified(self) -> str:
        """`deployments.apps`: how messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def schema(self, version: str) -> Schema:
        return self.versions[version].schema()


class ResourceTable:
    """The live set of served resources. One event loop, so no locks; every change bumps
    `generation`, which keys what is derived from it (discovery, OpenAPI).
    """

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], ResourceType] = {}
        self.generation = 0

    def add(self, resource: ResourceType) -> None:
        """Serve a resource, or replace it under the same (group, plural)."""
        self._types[(resource.group, resource.plural)] = resource
        self.generation += 1

    def remove(self, group: str, plural: str) -> None:
        if self._types.pop((group, plural), None) is not None:
            self.generation += 1

    def get(self, group: str, plural: str) -> ResourceType | None:
        return self._types.get((group, plural))

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(tuple(self._types.values()))

    def by_kind(self, group: str, kind: str) -> ResourceType | None:
        return next((t for t in self._types.values() if t.group == group and t.kind == kind), None)


_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?\Z")
_MATURITY = {None: 2, "beta": 1, "alpha": 0}


def version_order(name: str) -> tuple[Any, ...]:
    """Sorts versions, best first: v2, v1, v1beta2, v1alpha1, then other names by the alphabet."""
    match = _VERSION.match(name)
    if match is None:
        return (1, name)
    major, stage, minor = match.groups()
    return (0, -_MATURITY[stage], -int(major), -int(minor or 0))
