"""Which form an answer takes (Accept) and a body has (Content-Type), decided as the real server
does.

Two gates decide on Accept. The *route* knows a list of representations and compares names only
(`application/*` and upper case fail there, with a message of its own). The *endpoint* then takes
the first clause, best quality first, that it can serve with its parameters: `as`, `v`, `g` ask
for a transformation, `stream` for a stream. Errors are negotiated too, but never fail: their
fallback is indented JSON. Protocol Buffers say no Table, and of custom objects metadata only.

Callers: handlers through `negotiate`, `content_format` and `patch_format`; whoever answers an
error through `negotiate_error`. Pure;
https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from kapi.errors import ApiError, not_acceptable, unsupported_media_type
from kapi.messages import Query

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
CBOR = "application/cbor"
CBOR_SEQUENCE = "application/cbor-seq"  # of a watch that was asked for as CBOR

BodyFormat = Literal["json", "yaml", "protobuf", "cbor"]
PatchFormat = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True)
class Patch:
    """What a patch means, and how its document is written."""

    form: PatchFormat
    syntax: BodyFormat


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server speaks, each in its order of preference. `streams`: of watches."""

    media_types: tuple[str, ...]
    streams: tuple[str, ...]
    bodies: Mapping[str, BodyFormat]
    patches: Mapping[str, Patch]

    # What a route offers, by name; lists can be watched too. Custom resources have no such gate.
    @property
    def route(self) -> tuple[str, ...]:
        return self.media_types

    @property
    def route_of_lists(self) -> tuple[str, ...]:
        return self.media_types + self.streams

    @property
    def route_of_logs(self) -> tuple[str, ...]:
        return ("text/plain", *self.media_types)

    @property
    def cbor(self) -> bool:
        return CBOR in self.bodies


PLAIN = Offer(
    (JSON, YAML, PROTOBUF),
    (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch"),
    {JSON: "json", YAML: "yaml", PROTOBUF: "protobuf"},
    {
        "application/json-patch+json": Patch("json", "json"),
        "application/merge-patch+json": Patch("merge", "json"),
        "application/strategic-merge-patch+json": Patch("strategic", "json"),
        "application/apply-patch+yaml": Patch("apply", "yaml"),
    },
)
WITH_CBOR = Offer(
    (*PLAIN.media_types, CBOR),
    (*PLAIN.streams, CBOR_SEQUENCE),
    {**PLAIN.bodies, CBOR: "cbor"},
    {**PLAIN.patches, "application/apply-patch+cbor": Patch("apply", "cbor")},
)


def offered(gates: Mapping[str, bool]) -> Offer:
    """What a server speaks by its feature gates."""
    return WITH_CBOR if gates["CBORServingAndStorage"] else PLAIN


ACCEPT_CACHED_MAX = 512  # bytes; longer headers are parsed anew
ACCEPT_CACHE_ENTRIES = 256  # bounds the memory at 128 KiB of headers

META_GROUP = "meta.k8s.io"
_TRANSFORMS = frozenset(
    (kind, META_GROUP, version)
    for kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
    for version in ("v1", "v1beta1")
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The form of an answer. `as_kind` is empty where the object goes out as it is."""

    media_type: str = JSON
    as_kind: str = ""
    as_group: str = ""
    as_version: str = ""
    pretty: bool = False
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of an Accept header that has a type and a subtype."""

    media_type: str
    params: tuple[tuple[str, str], ...]
    quality: float


# -- Accept ---------------------------------------------------------------------------------------


def _parse(accept: str) -> tuple[Clause, ...]:
    found = []
    for part in accept.split(","):
        head, *params = part.strip(" ").split(";")
        kind, slash, subtype = head.partition("/")
        kind, subtype = kind.strip(" "), subtype.strip(" ")
        if not slash or not subtype:
            if kind != "*":
                continue
            subtype = "*"
        if "/" in subtype:
            continue
        quality = 1.0
        pairs = []
        for param in params:
            name, _, value = param.partition("=")
            if not value or "=" in value:
                continue
            if (name := name.strip(" ")) == "q":
                quality = _quality(value)
            else:
                pairs.append((name, value.strip(" ")))
        found.append(Clause(f"{kind}/{subtype}", tuple(pairs), quality))
    found.sort(key=lambda c: (-c.quality, c.media_type.startswith("*"), c.media_type.endswith("*")))
    return tuple(found)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


_parse_cached = lru_cache(ACCEPT_CACHE_ENTRIES)(_parse)


def parse_accept(accept: str) -> tuple[Clause, ...]:
    """The clauses of an Accept header, best first; what is malformed is left out."""
    return _parse_cached(accept) if len(accept) <= ACCEPT_CACHED_MAX else _parse(accept)


_PLAIN = Accepted()
_PLAIN_PRETTY = Accepted(pretty=True)
_PLAIN_HEADERS = frozenset(("", "*/*", JSON, f"{JSON}, */*", f"{JSON},*/*"))


def negotiate(
    accept: str,
    query: Query,
    user_agent: str,
    *,
    transforms: bool,
    watch: bool = False,
    custom: bool = False,
    route: Sequence[str] | None = None,
    offer: Offer = PLAIN,
) -> Accepted:
    """The form of the answer, or ApiError 406.

    `transforms`: the endpoint can answer with Table and PartialObjectMetadata. `route`: the names
    that pass the first gate, empty for none; None: those that are offered. `custom`: the objects
    are of a custom kind.
    """
    pretty = wants_pretty(query, user_agent)
    if accept in _PLAIN_HEADERS:
        return _PLAIN_PRETTY if pretty and not watch else _PLAIN
    if route is None:
        route = offer.route
    if route:
        check_route(accept, route)
    media_types = offer.media_types
    found = _choose(accept, transforms=transforms, custom=custom, media_types=media_types)
    if found is None:
        raise not_acceptable(media_types)
    if watch:
        if found.media_type == YAML:
            raise not_acceptable(offer.streams)
        return Accepted(
            found.media_type, found.as_kind, found.as_group, found.as_version, False, "watch"
        )
    if pretty and not found.pretty:
        return Accepted(
            found.media_type,
            found.as_kind,
            found.as_group,
            found.as_version,
            True,
            found.stream,
        )
    return found


def negotiate_error(accept: str, query: Query, user_agent: str, offer: Offer = PLAIN) -> Accepted:
    """The form of a Status that reports a failure; indented JSON where Accept asks for what is
    not served."""
    pretty = wants_pretty(query, user_agent)
    if accept in _PLAIN_HEADERS:
        return _PLAIN_PRETTY if pretty else _PLAIN
    found = _choose(accept, transforms=False, custom=False, media_types=offer.media_types)
    if found is None:
        return _PLAIN_PRETTY
    return Accepted(found.media_type, pretty=pretty or found.pretty)


def check_route(accept: str, route: Sequence[str]) -> None:
    """The first gate: some part of Accept must name a representation exactly, or be `*/*`."""
    for part in (accept or "*/*").split(","):
        name = part.partition(";")[0].strip(" ")
        if name == "*/*" or name in route:
            return
    raise ApiError(
        406,
        "NotAcceptable",
        "406: Not Acceptable\n\nAvailable representations: " + ", ".join(route),
        details={},
    )


def _choose(
    accept: str, *, transforms: bool, custom: bool, media_types: Sequence[str]
) -> Accepted | None:
    if not accept:
        return _PLAIN
    for clause in parse_accept(accept):
        for media_type in media_types:
            if matches(clause.media_type, media_type):
                found = _with_params(clause, media_type, transforms, custom)
                if found is not None:
                    return found
    return None


def matches(pattern: str, media_type: str) -> bool:
    """Whether a clause's type, wildcards included, covers a media type."""
    if pattern == media_type or pattern == "*/*":
        return True
    return pattern.endswith("/*") and media_type.startswith(pattern[:-1])


def _with_params(
    clause: Clause, media_type: str, transforms: bool, custom: bool
) -> Accepted | None:
    if not clause.params:
        return None if custom and media_type == PROTOBUF else Accepted(media_type)
    params = dict(clause.params)
    target = (params.get("as", ""), params.get("g", ""), params.get("v", ""))
    asks = "as" in params or "g" in params or "v" in params
    if asks and not (transforms and target in _TRANSFORMS):
        return None
    if media_type == PROTOBUF and (target[0] == "Table" or (custom and not asks)):
        return None
    stream = params.get("stream", "")
    if stream not in ("", "watch"):
        return None
    return Accepted(
        media_type, target[0], target[1], target[2], params.get("pretty") == "1", stream
    )


_BROWSERS = ("curl", "Wget", "Mozilla/5.0")


def wants_pretty(query: Query, user_agent: str) -> bool:
    """Whether JSON goes out indented: `?pretty=`, else a guess by who asks."""
    if query.text and (value := query.get("pretty")):
        return value not in ("0", "false")
    return user_agent.startswith(_BROWSERS)


# -- Content-Type ---------------------------------------------------------------------------------

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_MEDIA_TYPE = re.compile(rf"\s*({_TOKEN}(?:/{_TOKEN})?)\s*\Z")
_PARAM = re.compile(rf'\s*;\s*({_TOKEN})\s*=\s*(?:{_TOKEN}|"(?:[^"\\\r\n]|\\.)*")')


def media_type_of(content_type: str) -> str | None:
    """The lower-case media type of a Content-Type header; None if the header is malformed."""
    head, separator, rest = content_type.partition(";")
    match = _MEDIA_TYPE.match(head)
    if match is None:
        return None
    seen = set()
    rest = separator + rest
    while rest.strip() not in ("", ";"):
        param = _PARAM.match(rest)
        if param is None or param[1].lower() in seen:
            return None
        seen.add(param[1].lower())
        rest = rest[param.end() :]
    return match[1].lower()


def content_format(content_type: str, offer: Offer = PLAIN) -> BodyFormat:
    """The format of a body; none said means JSON. Raises ApiError 415."""
    if not content_type or content_type == JSON:
        return "json"
    media_type = media_type_of(content_type)
    found = None if media_type is None else offer.bodies.get(media_type)
    if found is None:
        raise unsupported_media_type(offer.media_types)
    return found


def patch_format(content_type: str, *, custom: bool = False, offer: Offer = PLAIN) -> Patch:
    """The kind of a patch by its Content-Type, or ApiError 415; custom resources have no
    strategic one."""
    known = offer.patches.get(content_type.partition(";")[0])
    if known is not None and not (custom and known.form == "strategic"):
        return known
    if custom:
        raise unsupported_media_type([t for t in offer.patches if "strategic" not in t])
    parts = (part.partition(";")[0].strip(" ") for part in content_type.split(","))
    if not any(part in offer.patches for part in parts):
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    raise unsupported_media_type(tuple(offer.patches))
