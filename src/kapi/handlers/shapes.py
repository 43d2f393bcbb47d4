"""What an answer can be other than the object itself: a Table, or metadata only; and in which steps
long ones are made.

For `respond.py`, `watch.py` and the modules that do the same in CBOR.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kapi.cacher.event import Item
from kapi.codec.negotiate import Accepted
from kapi.errors import ApiError
from kapi.messages import Request
from kapi.registry import table
from kapi.registry.resource import ResourceType, Version

Json = dict[str, Any]

TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
DECODED_PER_STEP = 100  # elements of a list made in one step: some 2 ms


def parts(items: Sequence[Item], size: int) -> Iterator[tuple[int, Sequence[Item]]]:
    for at in range(0, len(items), size):
        yield at, items[at : at + size]


def table_head(
    resource: ResourceType, version: Version, meta: Json, accepted: Accepted, *, columns: bool
) -> Json:
    """A Table without its rows."""
    return {
        "kind": TABLE,
        "apiVersion": f"meta.k8s.io/{accepted.as_version}",
        "metadata": meta,
        "columnDefinitions": table.definitions(resource, version) if columns else None,
    }


def checked_include(request: Request) -> str:
    """The parameter `includeObject`. Raises ApiError 400."""
    include = request.query.get("includeObject") if request.query else ""
    error = table.check_include(include)
    if error is not None:
        raise error
    return include


def _go_type(resource: ResourceType, kind: str, generic: str) -> str:
    if resource.custom:
        return f"*unstructured.{generic}"
    package = resource.stored.group.partition(".")[0] or "core"
    return f"*{package}.{kind}"


def not_a_list(resource: ResourceType) -> ApiError:
    what = _go_type(resource, resource.kind, "Unstructured")
    return _not_acceptable(f"{PARTIAL_LIST}, but the requested object is not a list ({what})")


def a_list(resource: ResourceType) -> ApiError:
    what = _go_type(resource, resource.list_kind, "UnstructuredList")
    return _not_acceptable(f"{PARTIAL}, but the requested object is a list ({what})")


def _not_acceptable(what: str) -> ApiError:
    return ApiError(406, "NotAcceptable", f"you requested {what}")
