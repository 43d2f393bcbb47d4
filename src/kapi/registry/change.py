"""`Change`: one write as asked for. create, update, patch and apply differ only in `propose`.

Made by `handlers/{create,update,patch}.py`, carried out by `registry/write.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from kapi.messages import UserInfo
from kapi.registry.conversion import Step, at_once
from kapi.registry.options import WriteOptions
from kapi.registry.resource import ResourceType, Version

Json = dict[str, Any]
# From the object as it stands, in the version of the request (None: there is none), to the object
# as it should be, decoded and defaulted, and wholly the pipeline's own. Pure; may be called again
# after a conflict.
Propose = Callable[[Json | None], Json]


@dataclass(slots=True, kw_only=True)
class Change:
    resource: ResourceType
    version: Version
    namespace: str
    name: str  # "" for a create that leaves it to the object
    propose: Propose
    mode: Literal["create", "update", "patch", "apply"]
    options: WriteOptions
    user: UserInfo
    manager: str  # of the fields that this write sets
    subresource: str = ""
    may_create: bool = False  # an update or apply of an absent object makes it
    warn: Callable[[str], None] = lambda text: None
    annotate: Callable[[str, str], None] = lambda key, value: None
    # Called before an update turns into a create: is this user allowed to create it?
    authorize_create: Callable[[], Any] | None = None
    # The server's own doing: nobody's fields, and no new generation.
    unmanaged: bool = False
    # Admission was asked about what the client sent, which is not this object: not again.
    admitted: bool = False
    # What the client sent, as it was before it was decoded; None if nobody may ask.
    body: Callable[[], Any] | None = None
    size: int = 0  # bytes of the body
    # How a piece of work is done that may convert objects, or takes long with a large object; the
    # writer sets both.
    step: Step = at_once
    beside: Step = at_once


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left: the object in the version of the request, and whether it is new."""

    object: Json
    created: bool
    deleted: bool = False
