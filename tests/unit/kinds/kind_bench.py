"""What the tests of kinds share: an object as the write pipeline sees it, and what is found in it.

`made` decodes, defaults, converts and prepares; `findings` says what validation finds, as text.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, Literal

from kapi.kinds.catalog import Catalog
from kapi.messages import UserInfo
from kapi.registry.resource import ResourceType, Version
from kapi.registry.strategy import Context
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters

Json = dict[str, Any]
NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z


@cache
def _resources() -> dict[str, ResourceType]:
    return {r.qualified: r for r in Catalog().resources({"api/all": True})}


@cache
def _engines() -> tuple[Decoders, Defaulters]:
    return Decoders(), Defaulters()


def kind(name: str) -> ResourceType:
    """By the name in messages: `pods`, `deployments.apps`."""
    return _resources()[name]


def context(
    operation: Literal["CREATE", "UPDATE"], version: Version, subresource: str = ""
) -> Context:
    user = UserInfo(name="jane", groups=("developers",))
    return Context(
        operation=operation, subresource=subresource, version=version.name, user=user, now=NOW
    )


def _version(resource: ResourceType, name: str) -> Version:
    return resource.versions[name] if name else resource.versions[resource.stored.version]


def defaulted(name: str, obj: Json, version: str = "") -> Json:
    """Decoded and defaulted, in the version of the client."""
    of = _version(kind(name), version)
    decoders, defaulters = _engines()
    head = {"kind": of.kind.kind, "apiVersion": of.kind.api_version}
    out, _ = decoders.decode(of.schema(), copy.deepcopy({"metadata": {"name": "a"}, **obj}))
    out["metadata"].setdefault("uid", "2b1e6f6c-0000-4000-8000-000000000000")
    out["metadata"].setdefault("creationTimestamp", "2026-09-21T14:13:20Z")
    defaulters.default(of.schema(), out)
    return {**head, **out, **head}


def made(
    name: str, obj: Json, *, old: Json | None = None, subresource: str = "", version: str = ""
) -> Json:
    """In the stored form, prepared by the strategy."""
    resource = kind(name)
    of = _version(resource, version)
    out = defaulted(name, obj, version)
    if of.to_stored is not None:
        out = of.to_stored(out)
    about = context("CREATE" if old is None else "UPDATE", of, subresource)
    resource.strategy.prepare(out, old, about)
    return out


def found(
    name: str, obj: Json, *, old: Json | None = None, subresource: str = "", version: str = ""
) -> list[str]:
    """What the strategy finds in a prepared object."""
    resource = kind(name)
    of = _version(resource, version)
    about = context("CREATE" if old is None else "UPDATE", of, subresource)
    return [str(f) for f in resource.strategy.validate(obj, old, about)]


def findings(name: str, obj: Json, *, version: str = "") -> list[str]:
    """What is found in a new object."""
    return found(name, made(name, obj, version=version), version=version)


def places(seen: list[str]) -> list[str]:
    """Where something is found, and what kind of thing."""
    return [": ".join(text.split(": ")[:2]) for text in seen]


def warnings(name: str, obj: Json, *, old: Json | None = None, subresource: str = "") -> list[str]:
    """What is said of a prepared object that was taken."""
    resource = kind(name)
    of = _version(resource, "")
    about = context("CREATE" if old is None else "UPDATE", of, subresource)
    return resource.strategy.warnings({"metadata": {"name": "a"}, **obj}, old, about)


def changed(name: str, before: Json, after: Json, subresource: str = "") -> list[str]:
    """What is found in a change from one object to another."""
    old = made(name, before)
    new = made(name, after, old=old, subresource=subresource)
    return found(name, new, old=old, subresource=subresource)


def cells(name: str, obj: Json, now: float = NOW) -> dict[str, Any]:
    """The cells of a stored object, by the name of their column."""
    return {c.name: c.cell(obj, now) for c in kind(name).columns}


CONTAINER: Json = {"name": "main", "image": "registry.example.com/web:1"}


def pod(container: Json | None = None, **spec: Any) -> Json:
    """A pod of one container, with more fields of the container and of the spec."""
    return {"spec": {"containers": [{**CONTAINER, **(container or {})}], **spec}}


LABELS: Json = {"app": "web"}


def template(container: Json | None = None, **spec: Any) -> Json:
    """A pod template with the labels that `SELECTOR` selects."""
    return {"metadata": {"labels": LABELS}, **pod(container, **spec)}


SELECTOR: Json = {"matchLabels": LABELS}
