"""What the URL and the method mean: sets `request.info`; nothing after this parses the path.

`parse` is pure. Its oddities are the real server's: the retired prefixes `watch/` and `proxy/`
still count, a list whose field selector wants one metadata.name has that name, an unknown method
on a resource has an empty verb.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import re

from kapi.errors import ApiError
from kapi.messages import Handler, Query, Request, RequestInfo, Response
from kapi.selector import fields, labels

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_PATH_VERBS = ("proxy", "watch")
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_WITH_SELECTORS = ("list", "watch", "deletecollection")
_INT64 = re.compile(r"[+-]?[0-9]+")


class UnclearPath(Exception):
    """`/api/v1/watch`: a verb in the path, and nothing after it."""


def with_request_info(handler: Handler) -> Handler:
    async def filtered(request: Request) -> Response:
        try:
            request.info = parse(request.method, request.path, request.query)
        except UnclearPath:
            uri = _uri(request)
            problem = f"unable to determine kind and namespace from url, {uri}"
            return internal_server_error(request, f"failed to create RequestInfo: {problem}")
        return await handler(request)

    return filtered


def parse(method: str, path: str, query: Query) -> RequestInfo:
    """Raises UnclearPath."""
    parts = path.strip("/").split("/")
    prefix = parts[0]
    if prefix == "api":
        start = 1
    elif prefix == "apis":
        start = 2
    else:
        start = 0
    # A group version alone is not a resource.
    if not start or len(parts) < start + 2:
        return RequestInfo(False, path, method.lower())
    group = parts[1] if start == 2 else ""
    version = parts[start]
    rest = parts[start + 1 :]
    verb = _VERBS.get(method, "")
    verb_in_path = rest[0] in _PATH_VERBS
    if verb_in_path:
        if len(rest) < 2:
            raise UnclearPath
        verb = rest[0]
        del rest[0]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            del rest[:2]
    count = len(rest)
    name = rest[1] if count > 1 else ""
    subresource = rest[2] if count > 2 and verb not in _PATH_VERBS else ""
    if not name:
        if verb == "get":
            verb = "list"
            if query:
                if "watch" in query and query.get("watch").lower() not in ("false", "0"):
                    verb = "watch"
                name = _name_of(query)
        if not name and verb == "delete":
            verb = "deletecollection"
    field_selector = label_selector = ""
    if query and not verb_in_path and verb in _WITH_SELECTORS:
        field_selector = query.get("fieldSelector")
        label_selector = query.get("labelSelector")
    return RequestInfo(
        True,
        path,
        verb,
        prefix,
        group,
        version,
        namespace,
        rest[0],
        subresource,
        name,
        tuple(rest),
        field_selector,
        label_selector,
    )


def _name_of(query: Query) -> str:
    """The one metadata.name that a list wants; "" if its options do not parse as a whole."""
    text = query.get("fieldSelector")
    if "metadata.name" not in text:
        return ""
    for number in ("limit", "timeoutSeconds"):
        if number in query and not _is_int64(query.get(number)):
            return ""
    try:
        if "labelSelector" in query:
            labels.parse(query.get("labelSelector"))
        name = fields.parse(text).exact("metadata.name")
    except ApiError:
        return ""
    if not name or name in (".", "..") or "/" in name or "%" in name:
        return ""
    return name


def _is_int64(text: str) -> bool:
    return _INT64.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


def internal_server_error(request: Request, problem: str) -> Response:
    """The 500 of a filter: plain text, no Status."""
    text = f'Internal Server Error: "{_uri(request)}": {problem}\n'
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(500, headers, text.encode("utf-8", "replace"))


def _uri(request: Request) -> str:
    return request.raw_path + (f"?{request.query.text}" if request.query.text else "")
