"""Query and path parameters of OpenAPI operations: names and types, as the real server has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
Types = Mapping[str, str]  # parameter → type


def _types(**by_type: str) -> dict[str, str]:
    found = {name: kind for kind, names in by_type.items() for name in names.split()}
    return {name: found[name] for name in sorted(found)}


LIST: Types = _types(
    string="continue fieldSelector labelSelector resourceVersion resourceVersionMatch "
    "shardSelector",
    integer="limit timeoutSeconds",
    boolean="allowWatchBookmarks sendInitialEvents watch",
)
LIST_ONLY: Types = {k: v for k, v in LIST.items() if k not in ("watch", "allowWatchBookmarks")}
WRITE: Types = _types(string="dryRun fieldManager fieldValidation")
PATCH: Types = {**WRITE, "force": "boolean"}
DELETE: Types = _types(
    string="dryRun propagationPolicy",
    integer="gracePeriodSeconds",
    boolean="ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents",
)
# Subresources that tunnel, with their own.
CONNECT: Mapping[str, Types] = {
    "attach": _types(string="container", boolean="stderr stdin stdout tty"),
    "exec": _types(string="command container", boolean="stderr stdin stdout tty"),
    "portforward": _types(integer="ports"),
    "proxy": _types(string="path"),
}
LOG: Types = _types(
    string="container stream",
    integer="limitBytes sinceSeconds tailLines",
    boolean="follow insecureSkipTLSVerifyBackend previous timestamps",
)


def in_query(types: Types) -> list[Json]:
    return [
        {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
        for name, kind in types.items()
    ]


def in_path(name: str, description: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "description": description,
        "required": True,
        "schema": {"type": "string", "uniqueItems": True},
    }
