"""The options of a list or a watch: parsed once from the query, defaulted and checked.

In the order of the real server: numbers, then selectors, then what does not go together (422), then
the fields of the field selector.
https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from kapi import errors
from kapi.errors import FieldError
from kapi.messages import Query
from kapi.registry.resource import ResourceType
from kapi.selector import fields as field_selectors
from kapi.selector import labels as label_selectors

EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"
_INTEGER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)
_UNSIGNED = re.compile(r"[0-9]+\Z", re.ASCII)
_INT64 = range(-(2**63), 2**63)
_UINT64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    labels: label_selectors.Selector = label_selectors.EVERYTHING
    fields: field_selectors.Selector = field_selectors.EVERYTHING
    watch: bool = False
    bookmarks: bool = False
    resource_version: str = ""
    match: str = ""  # resourceVersionMatch
    timeout_seconds: int | None = None
    limit: int = 0
    continue_token: str = ""
    send_initial: bool | None = None  # sendInitialEvents


EVERYTHING = ListOptions()


def parse(
    query: Query,
    resource: ResourceType,
    path_name: str = "",
    *,
    selectable: Collection[str] = (),
) -> ListOptions:
    """The options; `path_name`: the object that the path of a watch names; `selectable`: fields of
    the version asked for.

    Raises ApiError 400, 422.
    """
    options = _decode(query) if query else EVERYTHING
    if not query and not path_name:
        return options
    options = _defaulted(options)
    found = _watch_findings(options) if options.watch else _list_findings(options)
    if found:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", found)
    if not options.fields.empty:
        check_fields(resource, selectable, options.fields)
    if path_name:
        if options.fields.empty:
            return replace(options, fields=field_selectors.named(path_name))
        if options.fields.exact(field_selectors.NAME) != path_name:
            raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")
    return options


def check_fields(
    resource: ResourceType, selectable: Collection[str], selector: field_selectors.Selector
) -> None:
    """Raise ApiError 400 for a field that the resource cannot be selected by."""
    known = resource.custom or bool(resource.field_selectors)
    supported = {field_selectors.NAME, *resource.field_selectors, *selectable}
    if resource.namespaced or not known:
        supported.add(field_selectors.NAMESPACE)
    selector.check(supported, known=known, words=resource.unknown_field)


# -- decoding -------------------------------------------------------------------------------------


def _decode(query: Query) -> ListOptions:
    watch = boolean(query, "watch")
    bookmarks = boolean(query, "allowWatchBookmarks")
    timeout = integer(query, "timeoutSeconds")
    limit = integer(query, "limit")
    return ListOptions(
        watch=watch is True,
        bookmarks=bookmarks is True,
        resource_version=query.get("resourceVersion"),
        match=query.get("resourceVersionMatch"),
        timeout_seconds=timeout,
        limit=max(limit or 0, 0),
        continue_token=query.get("continue"),
        send_initial=boolean(query, "sendInitialEvents"),
        labels=label_selectors.parse(query.get("labelSelector")),
        fields=field_selectors.parse(query.get("fieldSelector")),
    )


def boolean(query: Query, name: str) -> bool | None:
    """Anything but `0` and `false` means true, also nothing; None if it is not there."""
    if name not in query:
        return None
    return query.get(name).lower() not in ("0", "false")


def integer(query: Query, name: str) -> int | None:
    """A number; None if it is not there. Raises ApiError 400 in Go's words."""
    if name not in query:
        return None
    text = query.get(name)
    if not _INTEGER.match(text):
        raise errors.bad_request(_number_error("ParseInt", text, "invalid syntax"))
    value = int(text) if len(text) <= 20 else 1 << 64
    if value not in _INT64:
        raise errors.bad_request(_number_error("ParseInt", text, "value out of range"))
    return value


def _number_error(function: str, text: str, problem: str) -> str:
    return f"strconv.{function}: parsing {errors.quote(text)}: {problem}"


class BadVersion(Exception):
    """A resource version that is no number; the text is the finding."""


def parse_version(text: str) -> int:
    """A resource version as a number. Raises BadVersion."""
    problem = ""
    if not _UNSIGNED.match(text):
        problem = "invalid syntax"
    elif len(text.lstrip("0")) > 20 or int(text) > _UINT64_MAX:
        problem = "value out of range"
    if problem:
        reason = _number_error("ParseUint", text, problem)
        raise BadVersion(f"resourceVersion: Invalid value: {errors.quote(text)}: {reason}")
    return int(text)


# -- defaults and checks --------------------------------------------------------------------------


def _defaulted(options: ListOptions) -> ListOptions:
    """A watch from nowhere is one that begins with what there is."""
    if options.send_initial is not None or options.match or not options.watch:
        return options
    if options.resource_version not in ("", "0"):
        return options
    return replace(options, send_initial=True, match=NOT_OLDER_THAN)


_MATCH = "resourceVersionMatch"


def _list_findings(options: ListOptions) -> list[FieldError]:
    out = []
    match = options.match
    if match:
        if not options.resource_version:
            text = f"{_MATCH} is forbidden unless resourceVersion is provided"
            out.append(errors.field_forbidden(_MATCH, text))
        if options.continue_token:
            text = f"{_MATCH} is forbidden when continue is provided"
            out.append(errors.field_forbidden(_MATCH, text))
        if match not in (EXACT, NOT_OLDER_THAN):
            out.append(errors.not_supported(_MATCH, match, (EXACT, NOT_OLDER_THAN, "")))
        if match == EXACT and options.resource_version == "0":
            text = f'{_MATCH} "exact" is forbidden for resourceVersion "0"'
            out.append(errors.field_forbidden(_MATCH, text))
    if options.send_initial is not None:
        text = "sendInitialEvents is forbidden for list"
        out.append(errors.field_forbidden("sendInitialEvents", text))
    return out


def _watch_findings(options: ListOptions) -> list[FieldError]:
    out = []
    match = options.match
    if options.send_initial is not None and match != NOT_OLDER_THAN:
        text = f"sendInitialEvents requires setting {_MATCH} to {NOT_OLDER_THAN}"
        out.append(errors.field_forbidden(_MATCH, text))
    if match:
        if options.send_initial is None:
            text = f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided"
            out.append(errors.field_forbidden(_MATCH, text))
        if match != NOT_OLDER_THAN:
            out.append(errors.not_supported(_MATCH, match, (NOT_OLDER_THAN,)))
        if options.continue_token:
            text = f"{_MATCH} is forbidden when continue is provided"
            out.append(errors.field_forbidden(_MATCH, text))
    return out
