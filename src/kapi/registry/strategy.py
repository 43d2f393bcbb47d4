"""`Strategy`: the hooks a kind may override. All work on the stored form, as plain dicts, and never
block.

The write pipeline calls them in this order: `prepare` (reset what a client may not set, fill what
only the server knows), then `validate` (every finding at once), then `warnings`. A kind says here
only what its schema cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from kapi.errors import FieldError
from kapi.messages import UserInfo
from kapi.registry import names

Json = dict[str, Any]
Path = tuple[str, ...]
NameRule = Callable[[str, bool], list[str]]


UNCOUNTED = frozenset({"kind", "apiVersion", "metadata", "status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a hook may know of the write under way."""

    operation: Literal["CREATE", "UPDATE"]
    subresource: str  # "" for the object itself
    version: str  # the version the client wrote in
    user: UserInfo
    now: float  # seconds since the epoch
    warned: list[str] = field(default_factory=list)  # what `prepare` has to warn of


class Strategy:
    """The defaults, right for a kind that has nothing special. One instance per kind; stateless."""

    # Checks a name, or a generateName prefix (second argument True); returns complaints.
    name_rule: NameRule = staticmethod(names.dns_subdomain)
    generates_names = True  # generateName gets a suffix; False: it is the name itself
    standard_finalizers = True  # finalizers without a domain are ones that Kubernetes knows
    create_on_update = False  # PUT of an absent object makes it
    unconditional_update = True  # an update without resourceVersion is accepted
    # Top-level fields (or longer paths) that a write of the object itself may not change ...
    reset_main: Sequence[Path] = (("status",),)
    # ... and those that a write of the status subresource may not change.
    reset_status: Sequence[Path] = (("spec",),)
    # Subresources of the same kind that may change these paths and nothing else.
    sets: Mapping[str, Sequence[Path]] = MappingProxyType({})
    # What nobody owns in metadata.managedFields: the server's own from the moment it is written.
    unowned: Sequence[Path] = ()
    propagates = True  # a propagation policy turns into finalizers for the garbage collector
    # A deletion by name goes a way of its own (`mark_deleted`); one of a collection does not.
    own_deletion = False
    orphans_by_default = False  # a deletion without propagation policy leaves dependents alone
    # Objects that cannot be deleted by name, and why not.
    undeletable: Mapping[str, str] = MappingProxyType({})
    metadata_checks = 1  # how often an update is told what is wrong with its metadata
    deletion_warning = ""  # said when a deletion names no propagation policy

    def name_rule_of(self, obj: Json) -> NameRule:
        """For kinds whose names depend on what else they say."""
        return self.name_rule

    def resets(self, subresource: str, version: str) -> Sequence[Path]:
        """What a write leaves as it was."""
        return self.reset_status if subresource == "status" else self.reset_main

    def uncounted(self, version: str) -> frozenset[str]:
        """Top-level fields whose changes do not make a new generation."""
        return UNCOUNTED

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        """Change `obj` in place, after the resets above. `old` is None on create."""

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        """Findings about everything but what every object's metadata obeys."""
        return []

    def complete(self, obj: Json, old: Json | None, context: Context) -> None:
        """Change an object that was found right: what reading it back from the store would fill."""

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        """Texts for the Warning header."""
        return []

    def grace_period(self, obj: Json, requested: int | None) -> int | None:
        """Seconds until the object may go, for a kind that is deleted gracefully; None: it is
        not.
        """
        return None

    def mark_deleted(self, obj: Json, now: str) -> bool:
        """Mark an object that something of its own kind holds (a namespace with finalizers in its
        spec). True if it was marked and must stay."""
        return False

    def held(self, obj: Json) -> bool:
        """Whether something of its own kind, beyond metadata.finalizers, holds a deleted object."""
        return False
