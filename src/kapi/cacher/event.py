"""`Item`: one object at one revision. `Event`: one change of one. Both immutable, with a memory.

An item keeps the stored bytes once, cut so that every JSON answer is one concatenation away:

    head  {"kind":"Pod","apiVersion":"v1",        shared by all items of a resource
    tail  "metadata":{…,"uid":"…","resourceVersion":"7",…},"spec":…}

GET is head + tail, a list element is "{" + tail, another version that differs by name only is
another head. Custom kinds have their keys sorted and carry kind and version in lists too: their
head is "{". The resource version, which the store does not hold, is spliced in without decoding.
Decoded objects, labels and fields are made on demand; `encoded` and `Event.frame` hold bytes that
readers share. Nobody may change what an item gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

import orjson

from kapi.codec import json_format, spelled
from kapi.storage.interface import Corrupt, check_readable

Json = dict[str, Any]
Labels = Mapping[str, str]
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


class StoredKind(Protocol):
    """How the stored form calls itself."""

    @property
    def kind(self) -> str: ...
    @property
    def api_version(self) -> str: ...


class Resource(Protocol):
    """The part of a `ResourceType` that the cache works with."""

    @property
    def group(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def storage_prefix(self) -> str: ...
    @property
    def custom(self) -> bool: ...
    @property
    def stored(self) -> StoredKind: ...
    @property
    def field_selectors(self) -> Mapping[str, Callable[[Json], str]]: ...


class Item:
    """One object at one revision."""

    __slots__ = (
        "_encoded",
        "_fields",
        "_object",
        "_splice",
        "head",
        "key",
        "known_labels",
        "name",
        "namespace",
        "rest",
        "revision",
        "tail",
    )

    def __init__(
        self,
        key: str,
        namespace: str,
        name: str,
        revision: int,
        head: bytes,
        tail: bytes,
        splice: tuple[int, int],
        rest: bytes = b"",
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.head = head
        self.tail = tail
        self.rest = rest  # what JSON cannot say: behind it in the store
        self._splice = splice  # where in `tail` the resource version stands: start, end
        self.known_labels: Labels | None = None  # once they were read; for loops over many items
        self._object: Json | None = None
        self._fields: tuple[Any, Mapping[str, str]] | None = None  # and whose they are
        self._encoded: dict[Any, bytes] | None = None

    @property
    def value(self) -> bytes:
        """The stored bytes, without resource version."""
        start, end = self._splice
        return self.head + self.tail[:start] + self.tail[end:] + self.rest

    @property
    def uid(self) -> str:
        """metadata.uid, which stands beside the resource version; empty if there is none."""
        start, end = self._splice
        if len(self.head) > 1:
            match = _UID_BEFORE.search(self.tail, max(0, start - _UID_BYTES_MAX), start)
        else:
            match = _UID_AFTER.match(self.tail, end)
        return match[1].decode() if match is not None else ""

    def stored_json(self) -> bytes:
        """The stored form with its resource version."""
        return self.head + self.tail

    def decode(self) -> Json:
        """The stored form with its resource version, the caller's own."""
        return spelled.restore(json_format.loads(self.head + self.tail), self.rest)

    def object(self) -> Json:
        """The same, remembered and shared: read-only."""
        if self._object is None:
            self._object = self.decode()
        return self._object

    @property
    def labels(self) -> Labels:
        if self.known_labels is None:
            self.known_labels = self._read_labels()
        return self.known_labels

    def _read_labels(self) -> Labels:
        if len(self.head) > 1 and (match := _LABELS.match(self.tail, self._splice[1])):
            if match[1] is None:
                return _NO_LABELS
            try:
                labels: Labels = orjson.loads(match[1])
                return labels
            except orjson.JSONDecodeError:
                pass  # a label holds a brace: look the long way
        return self.peek().get("metadata", {}).get("labels") or _NO_LABELS

    def peek(self) -> Json:
        """The same for one look: what is remembered, or made anew. Read-only."""
        return self._object if self._object is not None else self.decode()

    def fields(self, resource: Resource) -> Mapping[str, str]:
        """The fields that may be selected by, as text; absent ones are empty."""
        if self._fields is None or self._fields[0] is not resource:
            out = {"metadata.name": self.name, "metadata.namespace": self.namespace}
            if resource.field_selectors:
                obj = self.peek()
                for field, value_of in resource.field_selectors.items():
                    out[field] = value_of(obj)
            self._fields = (resource, out)
        return self._fields[1]

    def known_fields(self, form: Hashable) -> Mapping[str, str] | None:
        """What was kept for a form of the object, if it was the last one."""
        return self._fields[1] if self._fields is not None and self._fields[0] is form else None

    def keep_fields(self, form: Hashable, fields: Mapping[str, str]) -> None:
        self._fields = (form, fields)

    def encoded(self, key: Any, make: Callable[[Item], bytes]) -> bytes:
        """Bytes made once per key: (media type, version, transform)."""
        cache = self._encoded
        if cache is None:
            cache = self._encoded = {}
        found = cache.get(key)
        if found is None:
            found = cache[key] = make(self)
        return found

    def known(self, key: Any) -> bytes | None:
        """What `encoded` holds under a key, if anything."""
        return self._encoded.get(key) if self._encoded is not None else None

    def twin(self) -> Item:
        """The same, remembering nothing; for who must keep what it remembers."""
        return Item(
            self.key,
            self.namespace,
            self.name,
            self.revision,
            self.head,
            self.tail,
            self._splice,
            self.rest,
        )

    def forget(self) -> None:
        """Drop what can be made again; when the item is no longer the current one."""
        self._object = self._encoded = None

    def __repr__(self) -> str:
        return f"Item({self.key}@{self.revision})"


_NO_LABELS: Labels = {}

# A string, unrolled: to branch at every character takes three times longer.
_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# Go struct order: metadata up to uid, after which the resource version stands.
_TO_UID = re.compile(
    rb'"metadata":\{(?:"name":%(t)b,?)?(?:"generateName":%(t)b,?)?(?:"namespace":%(t)b,?)?'
    rb'(?:"selfLink":%(t)b,?)?(?:"uid":%(t)b,?)?' % {b"t": _TEXT}
)
# ... and from there to the labels, if there are any.
_LABELS = re.compile(
    rb'(?:"generation":-?[0-9]+,?)?(?:"creationTimestamp":(?:"[^"]*"|null),?)?'
    rb'(?:"deletionTimestamp":(?:"[^"]*"|null),?)?(?:"deletionGracePeriodSeconds":-?[0-9]+,?)?'
    rb'(?:"labels":(\{[^}]*\}))?'
)
# Sorted order: uid is the last key of metadata, and something of the object, or its end, follows.
_LAST_UID = re.compile(rb'"uid":"[^"\\]*"\}(?=\}|,"[^"\\]*":)')
# The uid beside the spliced resource version: before it in struct order, after it in sorted order.
_UID_BYTES_MAX = 80  # what is searched: a uid is a UUID, 45 bytes with its key
_UID_BEFORE = re.compile(rb'"uid":"([^"\\]*)",?\Z')
_UID_AFTER = re.compile(rb',?"uid":"([^"\\]*)"')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')


class Layout:
    """How the items of one resource are cut; made once per resource."""

    def __init__(self, resource: Resource) -> None:
        stored = resource.stored
        api_version, kind = orjson.dumps(stored.api_version), orjson.dumps(stored.kind)
        self.api_version, self.kind = stored.api_version, stored.kind
        self.custom = resource.custom
        if resource.custom:
            self.head = b"{"
            self._start = b'{"apiVersion":%b,"kind":%b,"metadata":{' % (api_version, kind)
        else:
            self.head = b'{"kind":%b,"apiVersion":%b,' % (kind, api_version)
            self._start = self.head + b'"metadata":{'

    def item(self, key: str, namespace: str, name: str, value: bytes, revision: int) -> Item:
        """The item of a stored value."""
        rest = b""
        if value[-1:] == b"]":
            value, rest = spelled.split(value)
        if not value.startswith(self._start):
            check_readable(value)
            value = self._in_order(key, value)
        at = self._uid_end(value) if not self.custom else self._uid_start(value)
        token = b'"resourceVersion":"%d"' % revision
        before, after = value[at - 1 : at], value[at : at + 1]
        if before not in b"{,":
            token = b"," + token
        elif after != b"}":
            token += b","
        cut = len(self.head)
        tail = b"".join((value[cut:at], token, value[at:]))
        splice = (at - cut, at - cut + len(token))
        return Item(key, namespace, name, revision, self.head, tail, splice, rest)

    def again(self, item: Item, revision: int) -> Item:
        """The same object as of another revision: what a deletion shows."""
        return self.item(item.key, item.namespace, item.name, item.value, revision)

    def _in_order(self, key: str, value: bytes) -> bytes:
        """The value with kind, version and metadata where the layout expects them."""
        try:
            obj: Json = json_format.loads(value)
            meta = obj.get("metadata") or {}
            meta.pop("resourceVersion", None)
        except (json_format.JsonSyntaxError, AttributeError, TypeError) as error:
            raise Corrupt(f"{key} is no object: {error}") from error
        obj["metadata"] = meta
        if self.custom:
            return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
        head = {"kind": self.kind, "apiVersion": self.api_version, "metadata": meta}
        return json_format.dumps({**head, **obj, **head})

    def _uid_end(self, value: bytes) -> int:
        match = _TO_UID.match(value, len(self.head))
        assert match is not None, "metadata was put first"
        return match.end()

    def _uid_start(self, value: bytes) -> int:
        """Where the resource version of a sorted object belongs: before uid, or metadata's end."""
        if value.startswith(self._start) and (match := _LAST_UID.search(value, len(self._start))):
            return match.start()
        at = _decoded_place(value)
        return at if at >= 0 else _sorted_place(value)


def _decoded_place(value: bytes) -> int:
    """Where `_sorted_place` finds it, for what has other fields before its metadata; -1: not sure.

    Decoding takes a twentieth of walking. What it gives must stand in the value once, as it is.
    """
    meta = orjson.loads(value).get("metadata") or {}
    text = b'"metadata":' + orjson.dumps(meta, option=orjson.OPT_SORT_KEYS)
    uid = b'"uid":%b}' % orjson.dumps(meta.get("uid"))
    at = value.find(text)
    if at < 0 or not text.endswith(uid) or value.find(text, at + 1) >= 0:
        return -1
    return at + len(text) - len(uid)


def _sorted_place(value: bytes) -> int:
    """The same for any sorted object, by walking its brackets and strings."""
    depth, key, inside = 0, b"", False
    for token in _TOKEN.finditer(value):
        text = token[0]
        if text in b"{[":
            depth += 1
            inside = inside or (depth == 2 and key == b'"metadata"')
        elif text in b"}]":
            if inside and depth == 2:
                return token.start()
            depth -= 1
        elif value[token.end() : token.end() + 1] == b":":
            if depth == 1:
                key = text
            elif inside and depth == 2 and text > b'"resourceVersion"':
                return token.start()
    raise AssertionError("an object without metadata")


class Event:
    """One change, as watchers see it. `item` has the revision of the change, also for a delete."""

    __slots__ = ("_frames", "_left", "item", "layout", "previous", "revision", "type")

    def __init__(self, type_: str, item: Item, previous: Item | None, layout: Layout) -> None:
        self.type = type_
        self.item = item
        self.previous = previous
        self.revision = item.revision
        self.layout = layout
        self._left: Item | None = None
        self._frames: dict[object, bytes] | None = None

    def subject(self, type_: str) -> Item:
        """The object to show: for who no longer selects it, the last that was selected."""
        if type_ != DELETED or self.type == DELETED:
            return self.item
        if self._left is None:
            assert self.previous is not None, "only what was there can leave"
            self._left = self.layout.again(self.previous, self.revision)
        return self._left

    def frame(self, type_: str, key: object, make: Callable[[str, Item], bytes]) -> bytes:
        """The whole frame of a watch, made once per type and form."""
        frames = self._frames
        if frames is None:
            frames = self._frames = {}
        found = frames.get((type_, key))
        if found is None:
            found = frames[(type_, key)] = make(type_, self.subject(type_))
        return found

    def cool(self) -> None:
        """Drop the frames: the crowd of watchers has had them."""
        self._frames = self._left = None

    def __repr__(self) -> str:
        return f"Event({self.type} {self.item!r})"
